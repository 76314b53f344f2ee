"""The README's commands and every tool, run as a user runs them.

The README's chain runs in processes of its own; what follows from it is called in this one,
which saves the seconds that each import of Paddle takes.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lungdx_paddle.__main__ import COMMANDS
from lungdx_paddle.commands import cli

ROOT = Path(__file__).parent.parent
FAST = " -c configs/testing.yaml -o data.phantom_patients=6"

NETWORK = "needs a network; its calls are in tests/lidc/test_download.py"
SLICES = (
    "python tools/preprocess.py --slices lidc-slices.zip --xml LIDC-IDRI/LIDC-XML-only.zip "
    "--diagnosis LIDC-IDRI/tcia-diagnosis-data-2012-04-20.xls --out crops"
)

SCANS = "python tools/preprocess.py --lidc LIDC-IDRI --xml LIDC-IDRI/LIDC-XML-only.zip --out crops"
TRAIN, EXPORT, EVAL, PREDICT = (
    "python tools/train.py -o data.manifest=crops/manifest.csv",
    "python tools/export.py --run output/partial_soft --out inference",
    "python tools/eval.py --run output/partial_soft",
    "python tools/predict.py --model inference --manifest crops/manifest.csv",
)
CONTEXT = SLICES.replace("--out crops", "--crop context --out context")
BEST = "python tools/train.py -c configs/best.yaml -o data.manifest=context/manifest.csv"

README_COMMANDS = {
    "python -m venv .venv && . .venv/bin/activate": "run by .ci/run, in a folder of its own",
    "pip install -e '.[cpu]' && python tools/train.py": "run by .ci/run",
    "pip install -e '.[cpu,test]' && pytest": "run by .ci/run",
    "python tools/download.py --annotations --out LIDC-IDRI": NETWORK,
    SLICES: "run on real slices, with LUNGDX_LIDC",
    TRAIN: "run below, with fewer steps",
    EVAL: "run below",
    EXPORT: "run below",
    PREDICT: "run below",
    "visualdl --logdir output/partial_soft/vdl --disable-telemetry --port 8040": "run below",
    CONTEXT: "run on real slices, with LUNGDX_LIDC",
    BEST: "run on the phantom's crops, with fewer steps",
}


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def words_of(command: str) -> list[str]:
    """The words of ``python tools/X.py ...``, with this clone's tool."""
    words = shlex.split(command)
    assert words[0] == "python"
    return [str(ROOT / words[1]), *words[2:]]


def start(command: str, folder: Path, **environment: str) -> str:
    """What a README line prints, in a process of its own that ends with 0."""
    ran = subprocess.run(
        [sys.executable, *words_of(command)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a README line in this process: (exit code, stdout, stderr)."""

    def called(command: str, folder: Path) -> tuple[int, str, str]:
        tool, *words = words_of(command)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [tool, *words])
        module = importlib.import_module(f"lungdx_paddle.commands.{COMMANDS[Path(tool).stem][0]}")
        capsys.readouterr()
        code = cli.exit_code(module.main, words)
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def succeed(call: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """A function that runs a README line and returns what it prints."""

    def succeeded(command: str, folder: Path) -> str:
        code, out, err = call(command, folder)
        assert code == 0, err
        return out

    return succeeded


@pytest.fixture
def fail(call: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """A function that returns the one line on stderr with which a command ends with 2."""

    def failed(command: str, folder: Path) -> str:
        code, _, err = call(command, folder)
        lines = [line for line in err.splitlines() if line and "step/s" not in line]
        assert code == 2 and len(lines) == 1, err
        return lines[0]

    return failed


def test_every_readme_command_is_known_here_and_in_ci() -> None:
    assert set(readme_commands()) == set(README_COMMANDS)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("pip install -q", "pip install")
    for command, how in README_COMMANDS.items():
        assert how != "run by .ci/run" or command in ci


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's real-data commands were run on a small phantom."""
    folder = tmp_path_factory.mktemp("chain")
    start("python tools/phantom.py --out LIDC-IDRI --patients 6", folder)
    with zipfile.ZipFile(folder / "LIDC-IDRI" / "LIDC-XML-only.zip", "w") as archive:
        for path in sorted((folder / "LIDC-IDRI").rglob("*.xml")):
            archive.write(path, path.relative_to(folder))
    start(SCANS, folder)
    start(f"{TRAIN}{FAST} output=output/partial_soft", folder, OMP_NUM_THREADS="4")
    start(EXPORT, folder)
    return folder


def test_the_chain_writes_what_the_table_of_commands_promises(chain: Path) -> None:
    written = {p.name for p in (chain / "output" / "partial_soft").iterdir()}
    names = {"config.yaml", "split.csv", "environment.json", "table2.csv", "vdl", "curves.png"}
    names |= {"latest.safetensors", "latest_optimizer.safetensors", "latest.json"}
    assert names | {"predictions.csv", "metrics.json"} <= written
    assert {"manifest.csv", "crops", "report.json"} <= {p.name for p in (chain / "crops").iterdir()}


def test_eval_scores_the_run_and_draws_it(chain: Path) -> None:
    printed = start(EVAL, chain)
    assert "PHANTOM" in printed and "kappa" in printed
    written = {path.name for path in (chain / "output" / "partial_soft" / "eval").iterdir()}
    assert written == {"metrics.json", "predictions.csv", "scores.png"}


def test_eval_does_not_write_over_the_runs_own_results(
    chain: Path, fail: Callable[..., str]
) -> None:
    run = "output/partial_soft"
    refused = fail(f"python tools/eval.py --run {run} --all --out {run}/../partial_soft", chain)
    assert "--out: expected another folder than the run's" in refused


def test_the_best_config_trains_its_folds_and_answers_as_one(
    chain: Path, succeed: Callable[..., str]
) -> None:
    few = (
        "train.steps=2 train.log_every=2 data.folds=2 output=output/best "
        "model.conv1=4 model.conv2=6 model.fc=10"
    )
    succeed(SCANS.replace("--out crops", "--crop context --out context"), chain)
    printed = succeed(f"{BEST} {few}", chain)
    assert "2 folds by patient, each by a network without it" in printed
    succeed("python tools/export.py --run output/best --out best-model", chain)
    printed = succeed(
        "python tools/predict.py --model best-model --manifest context/manifest.csv", chain
    )
    assert {"benign", "malignant"} >= {
        json.loads(x)["pathology"]["class"] for x in printed.splitlines()
    }


def test_an_audit_ends_with_the_number_by_patient(chain: Path, succeed: Callable[..., str]) -> None:
    few = f"{FAST} data.manifest=crops train.steps=2 train.log_every=2 output=output/audit"
    printed = succeed(f"python tools/train.py --audit {few}", chain)
    assert "this split leaks" in printed and "Split by patient, the same config: test" in printed
    assert (chain / "output" / "audit_by_patient" / "metrics.json").is_file()


def test_compare_continues_where_it_was(chain: Path, succeed: Callable[..., str]) -> None:
    command = (
        "python tools/compare.py --configs configs/testing.yaml configs/hard.yaml --seeds 1 "
        "-o data.manifest=crops train.steps=2 train.log_every=1 model.fc=16"
    )
    first = succeed(command, chain)
    assert "4 trainings, 0 of them finished before" in first
    assert "PHANTOM data, seeds: 1" in (chain / "output/compare/figure7.md").read_text()
    assert "PHANTOM data, seeds: 1" in first and "split by patient, both: accuracy" in first
    assert "4 trainings, 4 of them finished before" in succeed(command, chain)


def test_predict_answers_every_row_of_the_manifest(
    chain: Path, succeed: Callable[..., str]
) -> None:
    lines = [json.loads(line) for line in start(PREDICT, chain).splitlines()]
    with (chain / "crops" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == [row["image"] for row in rows]
    crop = f"crops/{rows[0]['image']}"
    single = succeed(f"python tools/predict.py --model inference {crop}", chain)
    assert json.loads(single)["malignancy"] == lines[0]["malignancy"]
    assert 1 <= lines[0]["malignancy"]["level"] <= 5


def test_a_window_may_begin_with_a_minus(
    chain: Path, tmp_path: Path, succeed: Callable[..., str]
) -> None:
    one = next(path for path in (chain / "LIDC-IDRI").iterdir() if path.is_dir())
    command = f"python tools/preprocess.py --lidc {one} --out crops --window -600,1500"
    succeed(command, tmp_path)
    assert '"window": [\n  -600.0,' in (tmp_path / "crops" / "report.json").read_text()


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_without_data_a_phantom_is_made_and_named_as_one(
    tmp_path: Path, succeed: Callable[..., str]
) -> None:
    printed = succeed(f"python tools/train.py{FAST}", tmp_path)
    assert printed.count("PHANTOM") >= 2
    for follow in ("visualdl --logdir output/testing/vdl", "tools/export.py", "tools/predict.py"):
        assert follow in printed
    longer = succeed(f"python tools/train.py --resume{FAST} train.steps=30", tmp_path)
    assert "after step 30" in longer and "PHANTOM" in longer


@pytest.fixture
def dashboard(chain: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(Path(sys.executable).with_name("visualdl")), "--logdir", "output/partial_soft/vdl"]
    words += ["--disable-telemetry", "--port", str(port)]
    server = subprocess.Popen(
        words,
        cwd=chain,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


def get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept-Language": "en"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_the_dashboard_opens_and_every_page_has_something(dashboard: str) -> None:
    assert b"VisualDL" in get(f"{dashboard}/app/index?language=en")
    answer: dict = json.loads(get(f"{dashboard}/app/api/scalar/tags"))
    assert answer["status"] == 0
    (tags,) = answer["data"]["tags"]  # one run
    assert {"loss/total", "accuracy_test/total", "share_malignancy/fc"} <= set(tags)
    for page, tag in (
        ("image", "crops/test"),
        ("histogram", "shares_pathology/pool1"),
        ("pr-curve", "pr/malignancy: above 3.5 against below 2.5"),
        ("roc-curve", "roc/malignancy: above 3.5 against below 2.5"),
    ):
        (tags,) = json.loads(get(f"{dashboard}/app/api/{page}/tags"))["data"]["tags"]
        assert tag in tags
    (trial,) = json.loads(get(f"{dashboard}/app/api/hparams/list"))["data"]
    assert trial["hparams"]["sharing/unit"] == "channel"
    assert 0 <= trial["metrics"]["accuracy_test/total"] <= 1
    embedded = json.loads(get(f"{dashboard}/app/api/embedding/list"))["data"]
    assert [entry["name"].split("/vdl/")[1] for entry in embedded] == [
        "fc/malignancy",
        "fc/pathology",
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python tools/train.py -o train.step=5", "the nearest is 'train.steps'"),
        ("python tools/train.py -c gone.yaml", "gone.yaml"),
        ("python tools/train.py -o data.manifest=gone.csv", "gone.csv"),
        ("python tools/train.py -o output=/proc/x data.manifest=crops", "/proc/x"),
        ("python tools/train.py --device gpu -o data.manifest=crops", "use --device cpu"),
        (
            "python tools/train.py --resume -o data.manifest=crops output=new",
            "train without --resume",
        ),
        ("python tools/preprocess.py --lidc empty --out x", "empty"),
        ("python tools/preprocess.py --lidc gone --out x", "gone"),
        ("python tools/preprocess.py --lidc LIDC-IDRI --out /proc/x", "/proc/x"),
        ("python tools/preprocess.py --slices LIDC-IDRI --out x", "--slices without --xml"),
        ("python tools/preprocess.py --slices LIDC-IDRI --xml LIDC-IDRI --out x", "slice-0.png"),
        ("python tools/download.py --patients LIDC-IDRI-9999 --out x", "LIDC-IDRI-9999"),
        ("python tools/phantom.py --out /proc/x", "/proc/x"),
        ("python tools/export.py --run gone --out y", "no such folder"),
        ("python tools/predict.py --model gone --manifest crops", "run tools/export.py"),
        ("python tools/predict.py --model inference gone.jpg", "gone.jpg"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    chain: Path, fail: Callable[..., str], command: str, message: str
) -> None:
    (chain / "empty").mkdir(exist_ok=True)
    assert message in fail(command, chain)


def test_resuming_another_network_names_what_differs(chain: Path, fail: Callable[..., str]) -> None:
    own = f"{FAST} data.manifest=crops output=output/partial_soft model.fc=12"
    assert "instead of" in fail(f"python tools/train.py --resume{own}", chain)


def test_a_tool_that_needs_paddle_names_what_to_install(tmp_path: Path) -> None:
    for tool, words in (("train", []), ("eval", ["--run", "output/partial_soft"])):
        code = (
            "import sys, runpy\n"
            "sys.modules['paddle'] = None\n"
            f"sys.argv = {[str(ROOT / 'tools' / f'{tool}.py'), *words]!r}\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 2
        assert "pip install paddlepaddle setuptools" in ran.stderr and ran.stderr.count("\n") == 1


@pytest.mark.lidc
def test_real_dicom_to_crops(
    lidc_folder: Path, tmp_path: Path, succeed: Callable[..., str]
) -> None:
    """LIDC-IDRI-0001 is whole; LIDC-IDRI-0012 is a partial download, and that is reported."""
    with zipfile.ZipFile(lidc_folder / "lidc-dicom.zip") as archive:
        archive.extractall(tmp_path)
    printed = succeed("python tools/preprocess.py --lidc LIDC-IDRI --out crops", tmp_path)
    with (tmp_path / "crops" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = [row for row in rows if row["patient_id"] == "LIDC-IDRI-0001"]
    assert {row["nodule"] for row in first} == {"0"}
    assert {row["malignancy_ratings"] for row in first} == {"5;5;5;4"}
    assert len(first) == 9
    assert any("LIDC-IDRI-0012" in line and "missing" in line for line in printed.splitlines())


@pytest.mark.lidc
def test_real_slices_to_a_trained_model(
    lidc_folder: Path, sample_xml: Path, tmp_path: Path, succeed: Callable[..., str]
) -> None:
    """The README's way to real data, on 40 patients of the set of slices."""
    (tmp_path / "lidc-slices.zip").symlink_to(lidc_folder / "lidc-slices-sample.zip")
    (tmp_path / "LIDC-IDRI").mkdir()
    for path in (sample_xml, lidc_folder / "tcia-diagnosis-data-2012-04-20.xls"):
        (tmp_path / "LIDC-IDRI" / path.name).symlink_to(path)
    printed = succeed(SLICES, tmp_path)
    assert "789 crops of 40 patients" in printed
    assert "left out: 36, its HU are not known: LIDC-IDRI-0132/nodule-0/slice-" in printed
    assert "789 crops of 40 patients" in succeed(CONTEXT, tmp_path)
    printed = succeed(f"{TRAIN}{FAST} output=output/partial_soft", tmp_path)
    assert "PHANTOM" not in printed
    with (tmp_path / "output/partial_soft/table2.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["global_step_value"] == "20"
    assert 0 <= float(last["accuracy_test_value"]) <= 1
