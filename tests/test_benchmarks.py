"""The benchmarks run and write what they promise; how fast anything is, no test says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.settings import Config
from lungdx_paddle.training.trainer import train

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PREPROCESS = BENCHMARKS / "preprocess.py"
MACHINE = {"cpu": "C", "cores": 2, "system": "L", "commit": "0", "date": "D", "versions": {}}


def run(
    *words: str, code: str = "", script: Path = PREPROCESS, folder: Path
) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else [str(script)]
    return subprocess.run(
        [sys.executable, *start, *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_preprocess_times_every_stage_on_a_phantom_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image, of the extra bench, is not installed")
    ran = run("--quick", "--out", "there", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Data: phantom" in ran.stdout
    record = json.loads((tmp_path / "there" / "preprocess.json").read_text(encoding="utf-8"))
    assert record["data"] == "phantom"
    stages = {stage["stage"]: stage for stage in record["stages"]}
    assert list(stages) == [
        "headers",
        "pixels to HU",
        "headers, and pixels to HU",
        "window and threshold",
        "areas and their holes",
        "closing",
        "the paper's lung mask, these three",
        "our lung mask, slice by slice",
        "pixels to HU, and our lung mask of the series",
        "DICOM and XML to crops",
        "DICOM to JPG of every slice",
        "DICOM to JPG, lung mask and parenchyma",
        "all: DICOM to masks of every slice, and crops",
    ]
    assert all(stage in ran.stdout for stage in stages)
    for name in ("headers", "headers, and pixels to HU", "areas and their holes", "closing"):
        for beside in stages[name]["beside"].values():
            assert beside["same"] == 1, f"{name}: not the same work"
    assert {"cpu", "cores", "date", "versions"} <= set(record["machine"])
    assert record["machine"]["cpu"] in (tmp_path / "there" / "preprocess.md").read_text()


def test_without_scikit_image_one_line_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys, runpy\n"
        "sys.modules['skimage'] = None\n"
        f"sys.argv = [{str(PREPROCESS)!r}]\n"
        f"sys.path.insert(0, {str(PREPROCESS.parent)!r})\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    ran = run(code=code, folder=tmp_path)
    assert ran.returncode == 2
    assert "pip install -e '.[bench]'" in ran.stderr and ran.stderr.count("\n") == 1


def test_a_collection_instead_of_one_series_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image, of the extra bench, is not installed")
    small = PhantomSettings(rows=64, slices=4)
    write_phantom(tmp_path / "two", patients=2, jobs=1, settings=small)
    ran = run("--lidc", "two", folder=tmp_path)
    assert ran.returncode == 2
    assert "expected one CT series and its LIDC XML file, found 2;" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_inference_times_every_batch_beside_onnx_runtime(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime, of the extra onnx, is not installed")
    train(make_config("mine", "train.steps=1", "train.log_every=1"), "cpu")
    words = ["--quick", "--out", "there", "--run", "mine"]
    ran = run(*words, script=BENCHMARKS / "inference.py", folder=tmp_path)
    if "expected the one for Paddle" in ran.stderr:
        pytest.skip(ran.stderr)
    assert ran.returncode == 0, ran.stderr
    assert "Model: mine" in ran.stdout
    record = json.loads((tmp_path / "there" / "inference.json").read_text(encoding="utf-8"))
    measured = [(row["threads"], row["batch"]) for row in record["speeds"]]
    assert {(1, 1), (1, 32), (1, 512)} <= set(measured)
    for row in record["speeds"]:
        assert row["beside"]["ONNX Runtime"]["largest_difference"] < 1e-4
        assert row["crops_per_s"] > 0
    assert set(record["start"]) == {"help_s", "first_prediction_s"}
    assert {"cpu", "cores", "date", "versions"} <= set(record["machine"])


def test_growth_times_series_and_crops_and_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime, of the extra onnx, is not installed")
    ran = run("--quick", "--out", "there", script=BENCHMARKS / "growth.py", folder=tmp_path)
    if "expected the one for Paddle" in ran.stderr:
        pytest.skip(ran.stderr)
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "there" / "growth.json").read_text(encoding="utf-8"))
    assert [row["size"] for row in record["series"] + record["crops"]] == [1, 1, 8]
    assert (tmp_path / "there" / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_growth_says_what_a_second_core_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    growth = pytest.importorskip("growth")
    record = {"rounds": 3, "slices_a_series": 64, "machine": MACHINE}
    record["series"] = [{"size": 16, "seconds": {"1": 8.0, "2": 5.0}}]
    record["crops"] = [{"size": 512, "seconds": {"1": 0.2, "2": 0.1}}]
    rows = [re.sub(" +", " ", line) for line in growth.table(record).splitlines()]
    assert "| size | s, 1 core | s, 2 cores | gain | one core |" in rows
    assert "| 16 series | 8.000 | 5.000 | 1.60 x | 128 slices/s |" in rows
    assert "| 512 crops | 0.200 | 0.100 | 2.00 x | 2560 crops/s |" in rows


def test_a_soak_says_what_grows_and_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    soak = pytest.importorskip("soak")
    minutes = np.arange(1.0, 121.0)
    flat, leaks = np.full(120, 500.0), 500.0 + minutes
    growth = {
        name: soak.growth_of(np.stack([minutes, mb, handles, np.full(120, 7)], axis=1))
        for name, mb, handles in (
            ("training", flat, np.full(120, 6)),
            ("serve", leaks, np.full(120, 12)),
            ("node", flat, 6 + minutes),
        )
    }
    assert growth["training"]["mb_an_hour"] == 0
    assert growth["serve"]["mb_an_hour"] == pytest.approx(60)
    assert (growth["node"]["handles_early"], growth["node"]["handles_late"]) == (66, 126)
    record = {"minutes": 120, "growth": growth, "machine": MACHINE}
    page = soak.table({**record, "done": {"serve": 9}, "wrong": {"serve: ReadTimeout": 2}})
    assert "went wrong: serve: ReadTimeout 2" in page
    (serve,) = (line for line in page.splitlines() if line.startswith("| serve"))
    assert "9 requests" in serve and "+60.0" in serve


def test_one_command_runs_them_all_and_says_what_is_missing(tmp_path: Path) -> None:
    code = (  # as where scikit-image and paddle2onnx are not installed
        "import sys, runpy\n"
        "sys.modules['skimage'] = sys.modules['paddle2onnx'] = None\n"
        f"sys.argv[0] = {str(BENCHMARKS / 'run.py')!r}\n"
        "sys.path.insert(0, __import__('os').path.dirname(sys.argv[0]))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    words = ["--quick", "--out", "there", "--torch-python", "no-such-python"]
    ran = run(*words, code=code, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "PyTorch: left out, no-such-python does not have it" in ran.stderr
    assert "1, Paddle as it comes" in ran.stdout
    record = json.loads((tmp_path / "there" / "benchmarks.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in record["train_step"]["rows"]] == ["ours", "Paddle as it comes"]
    assert "[bench]" in record["preprocess"]["left_out"]
    assert "paddle2onnx" in record["inference"]["left_out"]
    page = (tmp_path / "there" / "benchmarks.md").read_text(encoding="utf-8")
    assert "## Training step" in page and "not a medical device" in page
