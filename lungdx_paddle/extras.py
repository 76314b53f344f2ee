"""Optional packages: which extra brings them, and what to install where one is missing."""

from __future__ import annotations

import dis
from importlib.metadata import packages_distributions

from lungdx_paddle.errors import InstallError

PACKAGES = {
    "onnx": "paddle2onnx onnxruntime",
    "serve": "fastapi uvicorn python-multipart jinja2",
    "download": "idc-index",
    "cluster": "distributed",
    "compressed": "'pylibjpeg[all]'",
    "excel": "openpyxl",
    "report": "jinja2",
    "bench": "scikit-image",
    "node": "pynetdicom highdicom",
}
"""Extra -> the packages that it brings, as words of ``pip install``."""

PACKAGES_OF_MODULE = {
    "paddle": "paddlepaddle setuptools",  # which it imports, and not every wheel requires
    "setuptools": "setuptools",
    "visualdl": "visualdl",
    "matplotlib": "matplotlib",
    "onnxruntime": PACKAGES["onnx"],
    "pynetdicom": PACKAGES["node"],
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart"), PACKAGES["serve"]),
}
"""Module that a plain install does without -> what brings it: no more than the task needs."""

WHICH_GPU_WHEEL = (
    "install the Paddle that was built for this card (PyPI's paddlepaddle-gpu 2.6.2: CUDA 11.8, "
    "compute capability 6.1 to 8.6; for later cards Paddle 3 from Paddle's own index)"
)


def install_hint(extra: str) -> str:
    """The ``pip install`` that brings what an extra does, in a checkout and beside a wheel."""
    return f"pip install {PACKAGES[extra]}"


def failed_import(error: Exception) -> InstallError | None:
    """The error to show where another's package could not be imported; None for other failures.

    A package that is installed and broken raises anything while it is imported: a library of the
    system is missing, a file of it is cut off, or it was built for another version of NumPy.
    """
    module = error.name if isinstance(error, ImportError) else ""
    place = error.__traceback__
    while place is not None and not module:
        for step in dis.get_instructions(place.tb_frame.f_code):
            if step.offset == place.tb_lasti and step.opname == "IMPORT_NAME":
                module = "" if _is_ours(step.argval) else step.argval
        place = place.tb_next
    return not_installed(error, module) if module and not _is_ours(module) else None


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def not_installed(error: Exception, module: str) -> InstallError:
    """The error for a module that cannot be imported: it is not installed, or is broken.

    Args:
        error: what its import raised.
        module: its name, or that of a module inside it, where the error does not say it.
    """
    named = str(error.name) if isinstance(error, ModuleNotFoundError) else ""
    missing = named != "" and "." not in named
    module = (named or module).partition(".")[0]
    package = PACKAGES_OF_MODULE.get(module) or " ".join(
        sorted(set(packages_distributions().get(module, [module])))
    )
    expected = "it to be installed" if missing else "an installation that can be imported"
    return InstallError(
        module,
        expected="PaddlePaddle 2.6 or 3.3" if module == "paddle" else expected,
        found=str(error) if missing else f"{type(error).__name__}: {' '.join(str(error).split())}",
        fix=f"pip install {'' if missing else '--force-reinstall '}{package}",
    )
