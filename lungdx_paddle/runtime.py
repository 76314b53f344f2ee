"""Set up Paddle before it computes: environment variables, device, threads, seeds."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import platform
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import ModuleType

import numpy as np

from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.extras import WHICH_GPU_WHEEL, not_installed

MKL_CPU_TYPE = "MKL_DEBUG_CPU_TYPE"

THREADS, OPENMP_THREADS = "LUNGDX_THREADS", "OMP_NUM_THREADS"
"""Threads of a training on the CPU: the first that is set, or one a core of the machine, which
its processes share.

With two, each of the network's towers is computed in one of them (training/parallel/threads.py),
to the same bits as with one.  Where there are more threads than towers, or a single tower, matrix
products take the rest; they sum in another order, so the same bits come back with the same
number only, and they are half as fast where another process wants one of the cores, since
threads that wait for each other spin.
"""

MOST_THREADS = 1024
"""More than any machine has cores; OpenMP aborts the process at some higher number."""

_IMPORT_NOISE = "No ccache found"
"""Beginning of a warning at Paddle's import; it matters only for compiling custom operators."""

_PADDLE_NOISE = (
    _IMPORT_NOISE,
    "When training, we now always track global mean and variance",  # at each BN layer
    "Tensor do not have 'place' interface",  # at its own call, when it compiles a network
)
"""Beginnings of warnings that Paddle gives to everyone and no user can act on."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
_LARGEST_KEPT = 32 * 2**20
"""Bytes; the most that every version of the GNU C library takes."""


_users_openmp_threads = "" if "paddle" in sys.modules else os.environ.get(OPENMP_THREADS, "")
"""Paddle overwrites it when it is imported."""


_users_home: str | None = None
"""The home folder, where :func:`ensure_home` has set another; ``~``: there is none."""


def prepare_environment(
    environment: MutableMapping[str, str] = os.environ, vendor: str | None = None
) -> None:
    """Set what Paddle's libraries read when they are loaded, unless the user has set it.

    Paddle's warning that it found no ccache is ignored, too; every other one stays.  It must
    precede ``import paddle``; the package calls it when it is imported, and nothing else
    happens then.

    Args:
        environment: where to set it.
        vendor: the processor's maker; None: that of this machine.
    """
    warnings.filterwarnings("ignore", message=_IMPORT_NOISE, category=UserWarning)
    # The MKL in Paddle's wheel looks at the processor's maker and takes a slow path on one by
    # AMD (a training step of this network: 1515 ms instead of 400).
    if (vendor or cpu_field("vendor_id")) == "AuthenticAMD":
        environment.setdefault(MKL_CPU_TYPE, "5")  # as on an Intel processor with AVX2
    # Paddle's C++ logs warnings that are noise on a CPU (ccache, oneDNN), but matter on a GPU.
    hidden = environment.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    has_gpu = not hidden and any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg")))
    environment.setdefault("GLOG_minloglevel", "1" if has_gpu else "2")
    # From 1.30 on ONNX Runtime writes telemetry files and looks up its maker's host.
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # At any number but 1, such as clusters set, Paddle prints two lines of warning when it is
    # imported.  The number counts all the same: see chosen_threads.
    if OPENMP_THREADS in environment and "paddle" not in sys.modules:
        environment[OPENMP_THREADS] = "1"


def process_of(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank from 0, count) of the processes that ``paddle.distributed.launch`` started.

    A process that was started alone is (0, 1).
    """
    rank, count = (environment.get(f"PADDLE_{name}", "") for name in ("TRAINER_ID", "TRAINERS_NUM"))
    return (int(rank), int(count)) if rank.isdigit() and count.isdigit() else (0, 1)


def quiet_paddle() -> None:
    """Hide those of Paddle's warnings that a user cannot act on."""
    for beginning in _PADDLE_NOISE:
        warnings.filterwarnings("ignore", message=beginning, category=UserWarning)


def ensure_home() -> None:
    """Set HOME to a temporary folder for caches if the home folder is not writable.

    VisualDL (``~/.visualdl``), Matplotlib and Paddle (``~/.cache``) would end or warn.

    Raises:
        OutputError: no folder is writable.
    """
    global _users_home
    home = os.path.expanduser("~") if os.environ.get("HOME") != "" else "~"
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=home):
        return
    try:
        temporary = tempfile.mkdtemp(prefix="lungdx-home-")
    except OSError as error:
        raise OutputError(
            "HOME and TMPDIR",
            expected="a folder that can be written to",
            found=f"none ({error.strerror})",
            fix="set TMPDIR to one",
        ) from error
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    os.environ["HOME"], _users_home = temporary, home


def expand_home(path: str) -> str:
    """A path whose ``~`` is the user's home folder, as a shell has it.

    Raises:
        ConfigError: there is none.
    """
    if not re.match(r"~(/|$)", path):
        return os.path.expanduser(path)
    home = os.path.expanduser("~") if _users_home is None else _users_home
    if home == "~":
        fix = "write the path without ~, or set HOME"
        raise ConfigError(path, expected="a home folder for ~", found="none", fix=fix)
    return home + path[1:]


def set_up(device: str | None, seed: int) -> str:
    """Choose the device and seed every generator that training draws from.

    To be called before a network is built, whose weights lie where it is built.

    Args:
        device: cpu, gpu or None for a GPU where Paddle has one.
        seed: for Python, NumPy and Paddle.

    Returns:
        The device in Paddle's words: ``cpu`` or ``gpu:0``.

    Raises:
        InstallError: Paddle is not installed.
        ConfigError: a GPU is wanted and this Paddle has none, or cannot compute on it.
    """
    paddle = require_paddle()
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not has_gpu:
        raise ConfigError(
            "--device gpu",
            expected="a Paddle with CUDA and a visible GPU",
            found=f"paddlepaddle {paddle.__version__} without one",
            fix=f"use --device cpu, or on a machine with a GPU {WHICH_GPU_WHEEL}",
        )
    # Paddle's own handler can hang a process that receives SIGTERM.
    paddle.disable_signal_handler()
    if has_gpu and device != "cpu":
        paddle.device.set_device("gpu")
        check_gpu()
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})
    else:
        paddle.device.set_device("cpu")
        _keep_freed_memory()
    paddle.framework.core.set_num_threads(chosen_threads())  # of each matrix product
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
    return str(paddle.device.get_device())


def check_gpu() -> None:
    """Compute one small product on the GPU.

    Raises:
        ConfigError: it fails, as it does where Paddle holds no code for the card.
    """
    paddle = require_paddle()
    try:
        ones = paddle.ones([8, 8])
        total = float((ones @ ones).sum())
        found = "" if total == 8**3 else f"{total} as the sum of a product that is 512"
    except Exception as error:  # OSError, RuntimeError and others, by the version of Paddle
        found = " ".join(str(error).split())[-200:]
    if found:
        major, minor = paddle.device.cuda.get_device_capability()
        raise ConfigError(
            f"{paddle.device.cuda.get_device_name()}, compute capability {major}.{minor}",
            expected=f"a GPU that paddlepaddle {paddle.__version__} computes on",
            found=found,
            fix=f"use --device cpu, or {WHICH_GPU_WHEEL}",
        )


def chosen_threads(environment: Mapping[str, str] = os.environ) -> int:
    """How many threads to use on the CPU: see :data:`THREADS`.

    Raises:
        ConfigError: it is no sensible number.
    """
    name, value = THREADS, environment.get(THREADS)
    if value is None and _is_number(_users_openmp_threads):
        name, value = OPENMP_THREADS, _users_openmp_threads
    if value is None:
        here = environment.get("PADDLE_LOCAL_SIZE", "")  # processes of this machine
        return max(1, available_cores() // (int(here) if _is_number(here) else 1))
    if not _is_number(value):
        raise ConfigError(
            name,
            expected=f"a number of threads from 1 to {MOST_THREADS}",
            found=repr(value[:40]),
            fix=f"set {THREADS} to {available_cores()} for this machine, or unset it",
        )
    return int(value)


def require_paddle() -> ModuleType:
    """Import paddle.

    Raises:
        InstallError: it is not installed, or its installation is broken.
    """
    try:
        import paddle
    except Exception as error:  # a broken installation raises anything
        raise not_installed(error, "paddle") from error
    if _is_number(_users_openmp_threads):
        os.environ[OPENMP_THREADS] = _users_openmp_threads  # for processes that this one starts
    return paddle


def _keep_freed_memory() -> None:
    """Let malloc reuse freed memory instead of returning it to the system.

    Each operation takes new memory for its result, and Paddle frees it soon after.  The system
    hands out memory page by page, filled with zeros: a sixth of a training step and, with two
    threads that wait for each other there, a quarter.
    """
    # Without one arena each thread keeps what it freed for itself: 130 MB more.
    _set_malloc({_MMAP_THRESHOLD: _LARGEST_KEPT, _TRIM_THRESHOLD: 2**30, _ARENA_MAX: 1})


def return_freed_memory() -> None:
    """Have malloc give large blocks back to the system as soon as they are freed.

    A service reads CTs in one thread after the other; without this each thread's heap keeps the
    most that it ever held.
    """
    # The threshold, of a slice, would grow with what is freed if it were not set.
    _set_malloc({_MMAP_THRESHOLD: 2**18, _ARENA_MAX: 2})


def _set_malloc(options: Mapping[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    if mallopt is not None:  # musl has none
        for option, value in options.items():
            mallopt(option, value)


def _is_number(value: str) -> bool:
    # Python converts no number of thousands of digits.
    return value.isdecimal() and 0 < int(value[:9]) <= MOST_THREADS


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_field(name: str) -> str:
    """A field of Linux's ``/proc/cpuinfo``, such as ``model name``; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
