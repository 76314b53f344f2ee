"""What is set before Paddle starts, only where it helps and never against the user."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from lungdx_paddle import runtime
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.runtime import chosen_threads, prepare_environment, set_up

CORES = len(os.sched_getaffinity(0))
HAS_GPU = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process without LUNGDX_THREADS and OMP_NUM_THREADS but as given."""
    kept = {k: v for k, v in os.environ.items() if k not in ("LUNGDX_THREADS", "OMP_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    ("vendor", "before", "after"),
    [
        ("AuthenticAMD", {}, {"MKL_DEBUG_CPU_TYPE": "5"}),
        ("AuthenticAMD", {"MKL_DEBUG_CPU_TYPE": "4"}, {"MKL_DEBUG_CPU_TYPE": "4"}),
        ("GenuineIntel", {}, {}),
    ],
)
def test_mkl_is_given_its_path_on_amd_only(
    vendor: str, before: dict[str, str], after: dict[str, str]
) -> None:
    environment = dict(before)
    prepare_environment(environment, vendor)
    assert environment.items() >= after.items()
    assert ("MKL_DEBUG_CPU_TYPE" in environment) == bool(after)


def test_an_import_is_silent_and_other_warnings_stay() -> None:
    code = "import lungdx_paddle.data.dataset, warnings; warnings.warn('of a user')"
    ran = python(code, PYTHONWARNINGS="default::UserWarning")
    assert "of a user" in ran.stderr and "ccache" not in ran.stderr


@pytest.mark.parametrize(
    ("own", "threads"),
    [
        ({"LUNGDX_THREADS": "7", "OMP_NUM_THREADS": "3"}, "7 7 3"),
        ({"OMP_NUM_THREADS": "3"}, "3 None 3"),
        ({"OMP_NUM_THREADS": "no number"}, f"{CORES} None 1"),
        ({"OMP_NUM_THREADS": "-3"}, f"{CORES} None 1"),
        ({"OMP_NUM_THREADS": "9" * 5000}, f"{CORES} None 1"),
        ({}, f"{CORES} None 1"),
    ],
)
def test_a_user_chooses_the_threads_and_paddle_does_not_warn(
    own: dict[str, str], threads: str
) -> None:
    code = (
        "import os, lungdx_paddle, paddle\n"
        "from lungdx_paddle.runtime import chosen_threads, set_up\n"
        "set_up('cpu', 0)\n"
        "print(chosen_threads(), os.environ.get('LUNGDX_THREADS'), os.environ['OMP_NUM_THREADS'])"
    )
    ran = python(code, **own)
    # The last number is there again for processes that this one starts.
    assert ran.stdout == f"{threads}\n"
    assert "OMP" not in ran.stderr


@pytest.mark.parametrize("wrong", ["abc", "", "0", "-1", "1.5", "100000", "9" * 5000])
def test_threads_that_cannot_be_are_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGDX_THREADS", wrong)
    with pytest.raises(ConfigError, match="LUNGDX_THREADS: expected a number of threads from 1"):
        set_up("cpu", 0)


def test_the_package_writes_no_number_of_threads() -> None:
    environment: dict[str, str] = {}
    prepare_environment(environment, "GenuineIntel")
    assert "LUNGDX_THREADS" not in environment
    assert 1 <= chosen_threads(environment) <= (os.cpu_count() or 1)


def test_a_users_own_log_level_stays() -> None:
    environment = {"GLOG_minloglevel": "0"}
    prepare_environment(environment, "GenuineIntel")
    assert environment["GLOG_minloglevel"] == "0"


def test_paddles_warnings_are_hidden_only_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/nvidiactl")
    for visible, level in (({}, "1"), ({"CUDA_VISIBLE_DEVICES": ""}, "2")):
        environment = dict(visible)
        prepare_environment(environment, "GenuineIntel")
        assert environment["GLOG_minloglevel"] == level


def test_the_environment_is_ready_before_paddle_is_imported() -> None:
    code = (
        "import os, sys\n"
        "import lungdx_paddle\n"
        "wanted = {'GLOG_minloglevel', 'ORT_DISABLE_TELEMETRY'}\n"
        "sys.exit('paddle' in sys.modules or not wanted <= set(os.environ))"
    )
    python(code)


def test_a_seed_settles_every_generator() -> None:
    draws = []
    for _ in range(2):
        assert set_up("cpu", seed=3) == "cpu"
        draws.append((float(np.random.rand()), float(paddle.rand([1]).item())))
    assert draws[0] == draws[1]


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="use --device cpu, or on a machine with a GPU install"):
        set_up("gpu", seed=0)


@pytest.mark.skipif(not HAS_GPU, reason="there is no GPU")
def test_a_gpu_computes() -> None:
    assert set_up("gpu", seed=0).startswith("gpu")


def test_a_card_that_paddle_holds_no_code_for_is_one_line_with_its_capability(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(shape: list[int]) -> None:
        raise OSError("(External) CUDA error(209), no kernel image is available")

    cuda = SimpleNamespace(
        get_device_name=lambda: "H100", get_device_capability=lambda: (9, 0), device_count=lambda: 1
    )
    fake = SimpleNamespace(ones=fail, __version__="2.6.2", device=SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(runtime, "require_paddle", lambda: fake)
    with pytest.raises(ConfigError, match=r"H100, compute capability 9\.0: .*no kernel.*Paddle 3"):
        runtime.check_gpu()


def test_the_package_can_train_for_a_user_without_a_home() -> None:
    ran = python("import lungdx_paddle.training.trainer", HOME="/dev/null/nobody")
    assert ran.returncode == 0, ran.stderr
