"""Two-task diagnosis of lung nodules on PaddlePaddle.

LIDC-IDRI scans become 32x32 nodule crops (:mod:`lungdx_paddle.lidc`,
:mod:`lungdx_paddle.preprocess`), crops become a two-task network
(:mod:`lungdx_paddle.data`, :mod:`lungdx_paddle.models`, :mod:`lungdx_paddle.training`),
the network becomes a model file (:mod:`lungdx_paddle.inference`).

For research use; not a medical device.
"""

from lungdx_paddle.about import __version__
from lungdx_paddle.runtime import prepare_environment

__all__ = ["__version__"]

prepare_environment()
