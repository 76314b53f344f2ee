"""Optional packages: which extra brings them, and what to install where one is missing."""

from __future__ import annotations

from lungdx_paddle.errors import InstallError

PACKAGES = {
    "onnx": "paddle2onnx onnxruntime",
    "download": "idc-index",
    "cluster": "distributed",
    "compressed": "'pylibjpeg[all]'",
    "bench": "scikit-image",
}
"""Extra -> the packages that it brings, as words of ``pip install``."""

PACKAGES_OF_MODULE = {
    "paddle": "paddlepaddle setuptools",  # which it imports, and not every wheel requires
    "setuptools": "setuptools",
    "visualdl": "visualdl",
    "matplotlib": "matplotlib",
    "onnxruntime": PACKAGES["onnx"],
}
"""Module that a plain install does without -> what brings it: no more than the task needs."""

WHICH_GPU_WHEEL = (
    "install the Paddle that was built for this card (PyPI's paddlepaddle-gpu 2.6.2: CUDA 11.8, "
    "compute capability 6.1 to 8.6; for later cards Paddle 3 from Paddle's own index)"
)


def install_hint(extra: str) -> str:
    """The ``pip install`` that brings what an extra does, in a checkout and beside a wheel."""
    return f"pip install {PACKAGES[extra]}"


def not_installed(error: ImportError) -> InstallError:
    """The error for a module of :data:`PACKAGES_OF_MODULE` that cannot be imported."""
    module = str(error.name).partition(".")[0]
    return InstallError(
        module,
        expected="PaddlePaddle 2.6 or 3.3" if module == "paddle" else "it to be installed",
        found=str(error),
        fix=f"pip install {PACKAGES_OF_MODULE.get(module, module)}",
    )
