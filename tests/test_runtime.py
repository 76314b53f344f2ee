"""What is set before Paddle starts, only where it helps and never against the user."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.runtime import prepare_environment, set_up


@pytest.mark.parametrize(
    ("vendor", "before", "after"),
    [
        ("AuthenticAMD", {}, {"MKL_DEBUG_CPU_TYPE": "5"}),
        ("AuthenticAMD", {"MKL_DEBUG_CPU_TYPE": "4"}, {"MKL_DEBUG_CPU_TYPE": "4"}),
        ("GenuineIntel", {}, {}),
    ],
)
def test_mkl_is_told_its_path_on_amd_only(
    vendor: str, before: dict[str, str], after: dict[str, str]
) -> None:
    environment = dict(before)
    prepare_environment(environment, vendor)
    environment.pop("GLOG_minloglevel")
    environment.pop("LUNGDX_THREADS")
    assert environment == after


@pytest.mark.parametrize(
    ("own", "threads"),
    [({"LUNGDX_THREADS": "7", "OMP_NUM_THREADS": "3"}, "7"), ({"OMP_NUM_THREADS": "3"}, "3")],
)
def test_a_user_chooses_the_threads(own: dict[str, str], threads: str) -> None:
    code = (
        "import os\n"
        "import lungdx_paddle, paddle\n"
        "from lungdx_paddle.runtime import set_up\n"
        "set_up('cpu', 0)\n"
        "print(os.environ['LUNGDX_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "LUNGDX_THREADS"}
    environment.update(own)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split()[-1] == threads


@pytest.mark.parametrize("wrong", ["abc", "", "0", "-1", "1.5", "100000"])
def test_threads_that_cannot_be_are_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGDX_THREADS", wrong)
    with pytest.raises(ConfigError, match="LUNGDX_THREADS: expected a number of threads from 1"):
        set_up("cpu", 0)


def test_without_a_choice_there_is_a_thread_a_core() -> None:
    environment: dict[str, str] = {}
    prepare_environment(environment, "GenuineIntel")
    assert 1 <= int(environment["LUNGDX_THREADS"]) <= (os.cpu_count() or 1)


def test_a_users_own_log_level_stays() -> None:
    environment = {"GLOG_minloglevel": "0"}
    prepare_environment(environment, "GenuineIntel")
    assert environment["GLOG_minloglevel"] == "0"


def test_the_environment_is_ready_before_paddle_is_imported() -> None:
    code = (
        "import os, sys\n"
        "import lungdx_paddle\n"
        "sys.exit('paddle' in sys.modules or 'GLOG_minloglevel' not in os.environ)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_seed_settles_every_generator() -> None:
    import paddle

    draws = []
    for _ in range(2):
        assert set_up("cpu", seed=3) == "cpu"
        draws.append((float(np.random.rand()), float(paddle.rand([1]).item())))
    assert draws[0] == draws[1]


def test_a_gpu_that_is_not_there_is_named() -> None:
    import paddle

    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        assert set_up("gpu", seed=0).startswith("gpu")
        return
    with pytest.raises(ConfigError, match="use --device cpu, or pip install"):
        set_up("gpu", seed=0)
