"""Checkpoints: weights and optimizer as safetensors, bound together by ``latest.json``.

``latest.json`` names the step, the digest of each of the two files, and the training: files of
two checkpoints are never read as one, nor a checkpoint of other settings or another split.
safetensors holds arrays and nothing else: reading a crafted file runs no code (``paddle.load``
does).  Arrays are compared with the network name by name, since ``Layer.set_state_dict`` skips
what does not fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import paddle
import safetensors
import safetensors.numpy

from lungdx_paddle.disk import put_in_place, sync
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.files import UnreadableError, read_file, read_json, writing
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.training.optimizer import Optimizer

WEIGHTS, OPTIMIZER, STATE = "latest.safetensors", "latest_optimizer.safetensors", "latest.json"
CHECKPOINT = (WEIGHTS, OPTIMIZER, STATE)
"""The files of a checkpoint, in a run's folder."""

MOST_STEPS = 10**9
"""Of a training: years of it.  A step above that comes from a damaged file."""

LARGEST_BYTES = 2**34
"""Of a checkpoint's file: the dense unit's optimizer has 2.8 GB, more than other files may."""

_NEXT = ".next"
"""Ending of a new checkpoint's files until all three are on disk."""

_ADAM = ("moment1_0", "moment2_0", "beta1_pow_acc_0", "beta2_pow_acc_0")
"""What Adam keeps of each parameter: two moments of its shape, and two numbers."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class CheckpointState:
    """What stands in ``latest.json``."""

    step: int
    """Training steps done."""
    weights: str
    """Digest of ``latest.safetensors``."""
    optimizer: str
    """Digest of ``latest_optimizer.safetensors``."""
    training: str
    """Digest of the settings and crops it was trained with."""
    own: str = ""
    """Digest of the four above; a checkpoint of an earlier version has none."""

    @property
    def checksum(self) -> str:
        """What :attr:`own` is while the file is as it was written."""
        return digest(f"{self.step} {self.weights} {self.optimizer} {self.training}".encode())


def digest(content: bytes) -> str:
    """BLAKE2b of a file's content, 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """The digest of a file of a run.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return digest(read_file(path, LARGEST_BYTES))
    except OSError as error:
        raise CheckpointError(
            str(path),
            expected="a file of a training",
            found=error.strerror or str(error),
            fix="copy the whole output folder again, or train anew",
        ) from error


def save_checkpoint(
    folder: Path, network: TwoTaskNetwork, optimizer: Optimizer, step: int, training: str
) -> None:
    """Write weights, optimizer and step as one: a reader finds this checkpoint or the one before.

    Args:
        folder: where.
        network: its parameters and buffers are written.
        optimizer: of the network.
        step: training steps done.
        training: digest of the settings and crops.

    Raises:
        OutputError: a file cannot be written; the checkpoint before is whole.
    """
    arrays = {name: np.array(value.numpy()) for name, value in network.state_dict().items()}
    # Adam's moments under the network's names: Paddle's own count up with every layer built.
    moments: Arrays = {}
    known = {k: v for k, v in optimizer.state_dict().items() if hasattr(v, "numpy")}
    for name, parameter in network.named_parameters():
        prefix = parameter.name + "_"
        for key in [key for key in known if key.startswith(prefix)]:
            moments[f"{name}/{key[len(prefix) :]}"] = np.array(known.pop(key).numpy())
    weights, adam = safetensors.numpy.save(arrays), safetensors.numpy.save(moments)
    state = CheckpointState(step, digest(weights), digest(adam), training)
    state = replace(state, own=state.checksum)
    text = json.dumps(asdict(state), indent=1) + "\n"
    with writing(folder):
        new = [folder / f"{name}{_NEXT}" for name in CHECKPOINT]
        for path, content in zip(new, (weights, adam, text.encode())):
            path.write_bytes(content)
        sync((*new, folder))
        _rename_next(folder)


def load_checkpoint(
    folder: Path, network: TwoTaskNetwork, optimizer: Optimizer, training: str
) -> int:
    """Restore a network and its optimizer; returns the number of steps done.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, its files are of two checkpoints,
            or it is of another network or training.
    """
    state = read_checkpoint_state(folder, training)
    load_weights(network, folder, training)
    arrays = _read_arrays(folder / OPTIMIZER, state.optimizer)
    expected, moments = {}, {}
    trained = [(n, p) for n, p in network.named_parameters() if not p.stop_gradient]
    for name, parameter in trained:  # the others are batch normalisation's running statistics
        for moment in _ADAM:
            key = f"{name}/{moment}"
            expected[key] = (1,) if "pow" in moment else tuple(parameter.shape)
            if key in arrays:
                moments[f"{parameter.name}_{moment}"] = paddle.to_tensor(arrays[key])
    found = {key: tuple(np.shape(value)) for key, value in arrays.items()}
    check_same_shapes(str(folder / OPTIMIZER), expected, found)
    optimizer.set_state_dict(moments)
    return state.step


def read_checkpoint_state(folder: Path, training: str) -> CheckpointState:
    """Read ``latest.json``, completing a checkpoint that a killed process left half renamed.

    Raises:
        CheckpointError: there is no checkpoint, its state is damaged, or it is of another
            training than the one whose digest is given.
    """
    # The state is written last and renamed last: while its new file is there, and both others
    # exist with its digests under either name, the new checkpoint is whole.
    state = _read_state(folder / f"{STATE}{_NEXT}")
    if state is not None:
        wanted = ((WEIGHTS, state.weights), (OPTIMIZER, state.optimizer))
        paths = {name: (folder / f"{name}{_NEXT}", folder / name) for name, _ in wanted}
        if all(
            any(path.is_file() and file_digest(path) == known for path in paths[name])
            for name, known in wanted
        ):
            with writing(folder):
                _rename_next(folder)
    missing = [name for name in CHECKPOINT if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            str(folder),
            expected="the checkpoint of an earlier training",
            found=f"no {', '.join(missing)}",
            fix="train without --resume first, or name that training's folder with -o output=DIR",
        )
    state = _read_state(folder / STATE)
    if state is None:
        raise CheckpointError(
            str(folder / STATE),
            expected=f"JSON with a step from 0 to {MOST_STEPS} and three digests",
            found="something else",
            fix="train again without --resume",
        )
    if state.training != training:
        raise CheckpointError(
            str(folder / STATE),
            expected="the checkpoint of the training that config.yaml and split.csv describe",
            found="one of other settings, crops or another split",
            fix="copy the whole output folder again, or train anew",
        )
    return state


def load_weights(network: TwoTaskNetwork, folder: Path, training: str) -> None:
    """Load the weights of a checkpoint, which must fit the network exactly.

    Raises:
        CheckpointError: they are missing or damaged, not of this checkpoint, not finite, or of
            another network or training; the message names what differs.
    """
    state, path = read_checkpoint_state(folder, training), folder / WEIGHTS
    try:
        arrays = _read_arrays(path, state.weights)
    except CheckpointError:
        if read_checkpoint_state(folder, training) == state:
            raise
        return load_weights(network, folder, training)  # a running training has replaced it
    own = network.state_dict()
    check_same_shapes(
        str(path),
        {name: tuple(value.shape) for name, value in own.items()},
        {name: tuple(np.shape(value)) for name, value in arrays.items()},
    )
    network.set_state_dict({name: paddle.to_tensor(value) for name, value in arrays.items()})


def check_same_shapes(
    where: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Compare two networks by the names and shapes of their weights.

    Raises:
        CheckpointError: they differ; the message names the first few differences.
    """
    differences = [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is unknown" for name in sorted(found) if name not in expected),
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


def _read_arrays(path: Path, expected: str) -> Arrays:
    """The arrays of a safetensors file whose digest is ``expected``: float32, and finite."""
    fix = "copy the whole output folder again, or train anew"
    arrays: Arrays = {}
    try:
        content = read_file(path, LARGEST_BYTES)
        found = "" if digest(content) == expected else "a file of another checkpoint, or damaged"
        arrays = {} if found else safetensors.numpy.load(content)
    except OSError as error:
        found = error.strerror or str(error)
    except KeyError as error:  # such as BF16, which NumPy does not have
        found = f"values of the type {error.args[0]}"
    except (safetensors.SafetensorError, ValueError) as error:
        found = f"no safetensors file ({error})"
    if found:
        wanted = f"the file whose digest {STATE} names ({expected}), of float32"
        raise CheckpointError(str(path), expected=wanted, found=found, fix=fix)
    other = [f"{name} is {v.dtype}" for name, v in arrays.items() if v.dtype != np.float32]
    endless = [f"{name} is not finite" for name, v in arrays.items() if not np.isfinite(v).all()]
    if other or endless:
        raise CheckpointError(
            str(path),
            expected="finite float32 values",
            found="; ".join((other or endless)[:3]),
            fix=fix if other else "train again with a lower train.learning_rate",
        )
    return arrays


def _read_state(path: Path) -> CheckpointState | None:
    try:
        state = CheckpointState(**read_json(path))
    except (UnreadableError, TypeError):
        return None
    whole = type(state.step) is int and 0 <= state.step <= MOST_STEPS
    texts = all(isinstance(d, str) for d in (state.weights, state.optimizer, state.training))
    return state if whole and texts and state.own in ("", state.checksum) else None


def _rename_next(folder: Path) -> None:
    for name in CHECKPOINT:  # each is on the disk before the next: the state is the last
        # A reader may complete it at the same time.
        put_in_place({folder / f"{name}{_NEXT}": folder / name}, lost_ok=True)
