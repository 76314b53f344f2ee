"""What must be settled before Paddle computes: its environment, device, threads, seeds."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import sys
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import ModuleType

import numpy as np

from lungdx_paddle.errors import ConfigError, InstallError

MKL_CPU_TYPE = "MKL_DEBUG_CPU_TYPE"
AVX2 = "5"
"""The code path that MKL takes on an Intel processor with AVX2."""

THREADS = "LUNGDX_THREADS"
"""Threads of a training on the CPU; unless set: OMP_NUM_THREADS, or one a core of the machine,
which its processes share.

With two, each of the network's towers is computed in one of them (training/threads.py), to the
same bits as with one.  Where there are more threads than towers, or a single tower, matrix
products take the rest; they sum in another order, so the same bits come back with the same
number only, and they are half as fast where another process wants one of the cores, since
threads that wait for each other spin.
"""

MOST_THREADS = 1024
"""More than any machine has cores; OpenMP aborts the process at some higher number."""

_PADDLE_NOISE = (
    "No ccache found",  # when imported: of use only to one who compiles operators
    "When training, we now always track global mean and variance",  # at each BN layer
    "Tensor do not have 'place' interface",  # at its own call, when it compiles a network
)
"""Beginnings of warnings that Paddle gives to everyone and no user can act on."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
_LARGEST_KEPT = 32 * 2**20
"""Bytes; the most that every version of the GNU C library takes."""


def prepare_environment(
    environment: MutableMapping[str, str] = os.environ, vendor: str | None = None
) -> None:
    """Set what Paddle's libraries read when they are loaded, unless the user has set it.

    The MKL inside the Paddle wheel asks who made the processor and takes a slow path on
    one by AMD (a training step of this network: 1515 ms instead of 400).  It is told to
    take the AVX2 path there.  This must precede ``import paddle``, so the package calls
    it when it is imported; it is the one thing that happens at import.

    Args:
        environment: where to set it.
        vendor: the processor's maker; None: asked of the machine.
    """
    if (vendor or _cpu_vendor()) == "AuthenticAMD":
        environment.setdefault(MKL_CPU_TYPE, AVX2)
    # When it is imported, Paddle writes its own choice into OMP_NUM_THREADS: what the user
    # had set there must be read before.
    own = environment.get("OMP_NUM_THREADS", "") if "paddle" not in sys.modules else ""
    here = environment.get("PADDLE_LOCAL_SIZE", "1")
    each = max(1, _cores() // int(here)) if here.isdigit() and int(here) else _cores()
    environment.setdefault(THREADS, own if own.isdigit() and int(own) else str(each))
    # Paddle's C++ side logs warnings of its own making (ccache, oneDNN) at start.
    environment.setdefault("GLOG_minloglevel", "2")


def process_of(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank from 0, count) of the processes that ``paddle.distributed.launch`` started.

    A process that was started alone is (0, 1).
    """
    rank, count = (environment.get(f"PADDLE_{name}", "") for name in ("TRAINER_ID", "TRAINERS_NUM"))
    return (int(rank), int(count)) if rank.isdigit() and count.isdigit() else (0, 1)


def quiet_paddle() -> None:
    """Keep those of Paddle's warnings from the screen that a tool's user cannot act on."""
    for beginning in _PADDLE_NOISE:
        warnings.filterwarnings("ignore", message=beginning, category=UserWarning)


def set_up(device: str | None, seed: int) -> str:
    """Choose the device and seed every generator that training draws from.

    Args:
        device: cpu, gpu or None for a GPU where Paddle has one.
        seed: for Python, NumPy and Paddle.

    Returns:
        The device in Paddle's words: ``cpu`` or ``gpu:0``.

    Raises:
        InstallError: Paddle is not installed.
        ConfigError: a GPU is asked for and this Paddle has none.
    """
    paddle = require_paddle()
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not has_gpu:
        raise ConfigError(
            "--device gpu",
            expected="a Paddle with CUDA and a visible GPU",
            found=f"paddlepaddle {paddle.__version__} without one",
            fix="use --device cpu, or pip install 'lungdx-paddle[gpu]' on a machine with a GPU",
        )
    chosen = "gpu" if has_gpu and device != "cpu" else "cpu"
    paddle.device.set_device(chosen)
    use_threads(chosen_threads())
    _keep_freed_memory()
    # Paddle's own handler can hang a process that is asked to end.
    paddle.disable_signal_handler()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
    return str(paddle.device.get_device())


def chosen_threads() -> int:
    """How many threads to use on the CPU: :data:`THREADS`.

    Raises:
        ConfigError: it is no sensible number.
    """
    value = os.environ[THREADS]
    if not value.isdigit() or not 1 <= int(value) <= MOST_THREADS:
        raise ConfigError(
            THREADS,
            expected=f"a number of threads from 1 to {MOST_THREADS}",
            found=repr(value),
            fix=f"set it to {_cores()} for this machine, or unset it",
        )
    return int(value)


def use_threads(count: int) -> None:
    """Let each of Paddle's matrix products on the CPU use so many threads."""
    require_paddle().framework.core.set_num_threads(count)


def require_paddle() -> ModuleType:
    """Import paddle.

    Raises:
        InstallError: it is not installed.
    """
    try:
        import paddle
    except ImportError as error:
        raise without_paddle(error) from error
    return paddle


def without_paddle(error: ImportError) -> InstallError:
    """What to say where Paddle is needed and cannot be imported."""
    return InstallError(
        "paddle",
        expected="PaddlePaddle 2.6 or 3.3",
        found=str(error),
        fix="pip install 'lungdx-paddle[cpu]' (or [gpu])",
    )


def _keep_freed_memory() -> None:
    """Let the C library use again what it freed, instead of giving it back to the system.

    Each operation takes new memory for its result, and Paddle frees it soon after.  The system
    hands out memory page by page, filled with zeros: a sixth of a training step and, with two
    threads that wait for each other there, a quarter.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    if mallopt is not None:  # musl has none
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, 2**30)
        mallopt(_ARENA_MAX, 1)  # or each thread keeps what it freed for itself: 130 MB more


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_vendor() -> str:
    if platform.system() != "Linux":
        return ""  # the variable is known to help MKL on Linux only
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")]
    return found[0] if found else ""
