"""Two-task diagnosis of lung nodules on PaddlePaddle.

LIDC-IDRI scans become 32x32 nodule crops (:mod:`lungdx_paddle.lidc`,
:mod:`lungdx_paddle.preprocess`), crops become a two-task network
(:mod:`lungdx_paddle.data`, :mod:`lungdx_paddle.models`, :mod:`lungdx_paddle.training`),
the network becomes a model file (:mod:`lungdx_paddle.inference`).

For research use; not a medical device.
"""

__version__ = "0.1.0"

RESEARCH_USE = "research use, not a medical device"
"""Stands wherever a result is shown."""

__all__ = ["RESEARCH_USE", "__version__"]

# Below the constants, which the submodules import from here.
from lungdx_paddle.runtime import prepare_environment  # noqa: E402

prepare_environment()
