"""Checkpoints: to go on training (latest) and to use (best_model).

Files hold plain arrays under the network's own names.  They are read by an unpickler that
builds arrays and nothing else, since ``paddle.load`` runs whatever code a file holds, and
they are compared with the network name by name, since ``Layer.set_state_dict`` skips what
does not fit.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.files import write_together
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.training.optimizer import Optimizer

LATEST, BEST = "latest", "best_model"
_ENDINGS = ("pdparams", "pdopt", "pdstates")

Arrays = dict[str, np.ndarray]


def save_weights(network: TwoTaskNetwork, path: Path) -> None:
    """Write a network's weights and buffers, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_together({path: _pickled(_arrays(network.state_dict()))})


def load_weights(network: TwoTaskNetwork, path: Path) -> None:
    """Load weights that fit exactly.

    Raises:
        CheckpointError: the file cannot be read or is of another network; the message
            names what differs.
    """
    arrays = read_arrays(path)
    own = network.state_dict()
    check_same_shapes(
        str(path),
        {name: tuple(value.shape) for name, value in own.items()},
        {name: tuple(np.shape(value)) for name, value in arrays.items()},
    )
    network.set_state_dict({name: paddle.to_tensor(value) for name, value in arrays.items()})


def save_latest(
    folder: Path,
    network: TwoTaskNetwork,
    optimizer: Optimizer,
    state: Mapping[str, Any],
) -> None:
    """Write latest.pdparams, .pdopt and .pdstates as one: all three or none.

    Args:
        folder: the run's output folder.
        network: its weights go to .pdparams.
        optimizer: its moments go to .pdopt, under the network's names.
        state: plain values, such as the step; they go to .pdstates as JSON.

    Raises:
        OutputError: a file cannot be written; the earlier checkpoint is whole.
    """
    moments = _optimizer_arrays(network, optimizer)
    contents = (
        _pickled(_arrays(network.state_dict())),
        _pickled(moments),
        json.dumps(dict(state), indent=1).encode(),
    )
    write_together({folder / f"{LATEST}.{end}": c for end, c in zip(_ENDINGS, contents)})


def load_latest(folder: Path, network: TwoTaskNetwork, optimizer: Optimizer) -> dict[str, Any]:
    """Put a network and its optimizer where :func:`save_latest` left them.

    Returns:
        The state that was saved with them.

    Raises:
        CheckpointError: there is none, or it is of another network.
    """
    paths = [folder / f"{LATEST}.{end}" for end in _ENDINGS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise CheckpointError(
            str(folder),
            expected="the checkpoint of an earlier run",
            found=f"no {', '.join(missing)}",
            fix="train without --resume first, or name that run's folder with -o output=DIR",
        )
    load_weights(network, paths[0])
    _load_optimizer(network, optimizer, paths[1])
    return _read_state(paths[2])


def read_arrays(path: Path) -> Arrays:
    """Read {name: array} from a file that :func:`save_weights` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything but arrays.
    """
    found = ""
    arrays: Any = None
    try:
        arrays = _ArraysOnly(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        found = error.strerror or str(error)
    except Exception as error:  # a damaged pickle can raise nearly anything
        found = f"a damaged or foreign file ({type(error).__name__}: {error})"
    if not found and not isinstance(arrays, dict):
        found = f"a {type(arrays).__name__}"
    if found:
        raise CheckpointError(
            str(path),
            expected="weights written by tools/train.py",
            found=found,
            fix="give the folder of a finished run",
        )
    return {str(name): value for name, value in arrays.items()}


def check_same_shapes(
    where: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Compare two networks by the names and shapes of their weights.

    Raises:
        CheckpointError: they differ; the message names the first few differences.
    """
    differences = [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is unknown" for name in found if name not in expected),
        *(
            f"{name} is {list(found[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ),
    ]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise CheckpointError(
            where,
            expected="weights of the network that the config describes",
            found=f"another network: {'; '.join(differences[:3])}{more}",
            fix="use the config.yaml that lies beside the checkpoint",
        )


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain containers; anything else in the file is refused."""

    _ALLOWED = {("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy")}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and (name, module.split(".")[-1]) in self._ALLOWED:
            # NumPy 2 renamed numpy.core; either spelling may stand in the file.
            return np.empty(0).__reduce__()[0] if name == "_reconstruct" else getattr(np, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def _pickled(arrays: Arrays) -> bytes:
    return pickle.dumps(arrays, protocol=4)


def _arrays(state: Mapping[str, Any]) -> Arrays:
    return {name: np.array(value.numpy()) for name, value in state.items()}


def _optimizer_arrays(network: TwoTaskNetwork, optimizer: Optimizer) -> Arrays:
    """Moments under the network's names: Paddle's own count up with every layer built."""
    state = {k: v for k, v in optimizer.state_dict().items() if hasattr(v, "numpy")}
    renamed: Arrays = {}
    for name, parameter in network.named_parameters():
        prefix = parameter.name + "_"
        for key in [key for key in state if key.startswith(prefix)]:
            renamed[f"{name}/{key[len(prefix) :]}"] = np.array(state.pop(key).numpy())
    return renamed


def _load_optimizer(network: TwoTaskNetwork, optimizer: Optimizer, path: Path) -> None:
    names = {name: parameter.name for name, parameter in network.named_parameters()}
    state = {}
    for key, value in read_arrays(path).items():
        name, _, moment = key.rpartition("/")
        if name not in names:
            check_same_shapes(str(path), {}, {key: tuple(np.shape(value))})
        state[f"{names[name]}_{moment}"] = paddle.to_tensor(value)
    optimizer.set_state_dict(state)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            str(path),
            expected="the state of a run as JSON",
            found=" ".join(str(error).split()),
            fix="train again without --resume",
        ) from None
    return dict(state)
