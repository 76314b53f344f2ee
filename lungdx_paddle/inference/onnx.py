"""An exported model as ONNX, for runtimes other than Paddle's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import paddle

from lungdx_paddle.errors import InstallError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.files import write_together

OPSET = 17
"""Version of ONNX's operators: of 2022, known to ONNX Runtime from 1.12."""


def require_paddle2onnx() -> ModuleType:
    """Import paddle2onnx, whose versions each serve one series of Paddle.

    Raises:
        InstallError: it is not installed, or serves another Paddle.
    """
    try:
        import paddle2onnx
    except (ImportError, ValueError) as error:  # ValueError: made for another Paddle
        fix = install_hint("onnx")
        if sys.version_info >= (3, 13):
            fix = "export with Python 3.10 to 3.12; there is no paddle2onnx for later ones yet"
        elif paddle.__version__.startswith("2."):
            fix = "pip install paddle2onnx==1.3.1"
        raise InstallError(
            "paddle2onnx",
            expected=f"the one for Paddle {paddle.__version__}",
            found=str(error).split(". ")[0],
            fix=fix,
        ) from error
    return paddle2onnx


def write_onnx(model: Path) -> None:
    """Write ``model.onnx`` from the program and the weights that Paddle saved as ``model``.

    Raises:
        InstallError: paddle2onnx is not installed.
        OutputError: the file cannot be written.
    """
    convert = require_paddle2onnx().export
    ending = ".pdmodel" if paddle.__version__.startswith("2.") else ".json"
    program, weights, out = (model.with_suffix(end) for end in (ending, ".pdiparams", ".onnx"))
    # Given a file name, version 2 would fold constants with a tool that installs packages.
    content = convert(str(program), str(weights), opset_version=OPSET, verbose=False)
    write_together({out: content})
