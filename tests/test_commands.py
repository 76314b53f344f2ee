"""The README's commands and every tool, run as a user runs them."""

from __future__ import annotations

import csv
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
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAST = "-c configs/testing.yaml -o data.phantom_patients=6 train.steps=20".split()

NETWORK = "needs a network; its calls are in tests/lidc/test_download.py"
MARKS = ("LIDC-XML-only.zip", "tcia-diagnosis-data-2012-04-20.xls")
SLICES = (
    "python tools/preprocess.py --slices lidc-slices.zip --xml LIDC-IDRI/LIDC-XML-only.zip "
    "--diagnosis LIDC-IDRI/tcia-diagnosis-data-2012-04-20.xls --out crops"
)

BEST = "python tools/train.py -c configs/best.yaml -o data.manifest=crops/manifest.csv"

README_COMMANDS = {
    "python -m venv .venv && . .venv/bin/activate": "done by .ci/run in folders of its own",
    "pip install -e '.[cpu]' && python tools/train.py": "run by .ci/run",
    "pip install -e '.[cpu,test]' && pytest": "run by .ci/run",
    "python tools/download.py --annotations --out LIDC-IDRI": NETWORK,
    "pip install -e '.[download]' && python tools/download.py --diagnosed --out LIDC-IDRI": NETWORK,
    SLICES: "run on real slices, with LUNGDX_LIDC",
    "python tools/preprocess.py --lidc LIDC-IDRI --xml LIDC-IDRI/LIDC-XML-only.zip --out crops": (
        "run below"
    ),
    "python tools/train.py -o data.manifest=crops/manifest.csv": "run below, with fewer steps",
    "python tools/export.py --run output/partial_soft --out inference": "run below",
    BEST: "run on the phantom's crops, with fewer steps",
    "python tools/eval.py --run output/partial_soft": "run below",
    "python tools/predict.py --model inference --manifest crops/manifest.csv": "run below",
    "visualdl --logdir output/partial_soft/vdl --disable-telemetry --port 8040": "run below",
}


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def run(command: str, *more: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a README line in ``folder`` with this interpreter and this clone's tools."""
    words = shlex.split(command)
    assert words[0] == "python"
    words[:2] = [sys.executable, str(ROOT / words[1])]
    words += more
    words = [str(ROOT / word) if word.startswith("configs/") else word for word in words]
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def succeed(command: str, *more: str, folder: Path) -> str:
    ran = run(command, *more, folder=folder)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout


def fail(command: str, *more: str, folder: Path) -> str:
    """The one line on stderr with which a command ends with 2."""
    ran = run(command, *more, folder=folder)
    lines = [line for line in ran.stderr.splitlines() if line and "step/s" not in line]
    assert ran.returncode == 2, ran.stderr
    assert len(lines) == 1, ran.stderr
    return lines[0]


def test_every_readme_command_is_known_here_and_in_ci() -> None:
    assert set(readme_commands()) == set(README_COMMANDS)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("pip install -q", "pip install")
    for command, how in README_COMMANDS.items():
        assert how != "run by .ci/run" or command in ci


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's real-data commands were run on a small phantom."""
    folder = tmp_path_factory.mktemp("chain")
    succeed("python tools/phantom.py --out LIDC-IDRI --patients 6", folder=folder)
    with zipfile.ZipFile(folder / "LIDC-IDRI" / MARKS[0], "w") as archive:
        for path in sorted((folder / "LIDC-IDRI").rglob("*.xml")):
            archive.write(path, path.relative_to(folder))
    commands = [c for c, how in README_COMMANDS.items() if how.startswith("run below")]
    for command in commands[:3]:
        more = FAST if "train.py" in command else []
        more = [*more, "output=output/partial_soft"] if more else []
        succeed(command, *more, folder=folder)
    return folder


def test_the_chain_writes_what_the_table_of_commands_promises(chain: Path) -> None:
    written = {p.name for p in (chain / "output" / "partial_soft").iterdir()}
    names = {"config.yaml", "table2.csv", "vdl", "best_model.pdparams", "metrics.json"}
    assert names | {f"latest.{end}" for end in ("pdparams", "pdopt", "pdstates")} <= written
    assert {"manifest.csv", "crops", "report.json"} <= {p.name for p in (chain / "crops").iterdir()}


def test_eval_scores_the_run_and_draws_it(chain: Path) -> None:
    said = succeed("python tools/eval.py --run output/partial_soft", folder=chain)
    assert "PHANTOM" in said and "quadratic kappa" in said
    written = {path.name for path in (chain / "output" / "partial_soft" / "eval").iterdir()}
    assert written == {"metrics.json", "predictions.csv", "scores.png"}


def test_the_best_config_trains_its_folds_and_answers_as_one(chain: Path) -> None:
    few = "train.steps=2 train.log_every=2 data.folds=2 output=output/best".split()
    said = succeed(BEST, *few, folder=chain)
    assert "split by patient, 2 folds" in said
    succeed("python tools/export.py --run output/best --out best-model", folder=chain)
    said = succeed(
        "python tools/predict.py --model best-model --manifest crops/manifest.csv", folder=chain
    )
    assert {"benign", "malignant"} >= {
        json.loads(x)["pathology"]["class"] for x in said.splitlines()
    }


def test_an_audit_ends_with_the_number_by_patient(chain: Path) -> None:
    more = [*FAST, "train.steps=2", "train.log_every=2", "output=output/audit"]
    said = succeed("python tools/train.py --audit", *more, folder=chain)
    assert "this split leaks" in said and "Split by patient, the same config: test" in said
    assert (chain / "output" / "audit_by_patient" / "metrics.json").is_file()


def test_compare_goes_on_where_it_was(tmp_path: Path) -> None:
    command = "python tools/compare.py --configs configs/testing.yaml configs/hard.yaml --seeds 1"
    small = "-o train.steps=2 train.log_every=1 data.phantom_patients=4 model.fc=16".split()
    first = succeed(command, *small, folder=tmp_path)
    assert "4 trainings, 0 of them finished before" in first and "PHANTOM data, seeds: 1" in first
    again = succeed(command, *small, folder=tmp_path)
    assert "4 trainings, 4 of them finished before" in again


def test_predict_answers_every_row_of_the_manifest(chain: Path) -> None:
    command = "python tools/predict.py --model inference --manifest crops/manifest.csv"
    lines = [json.loads(line) for line in succeed(command, folder=chain).splitlines()]
    with (chain / "crops" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == [row["image"] for row in rows]
    crop = f"crops/{rows[0]['image']}"
    single = succeed(f"python tools/predict.py --model inference {crop}", folder=chain)
    assert json.loads(single)["malignancy"] == lines[0]["malignancy"]
    assert 1 <= lines[0]["malignancy"]["level"] <= 5


def test_preprocessing_killed_three_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    succeed("python tools/phantom.py --out lidc --patients 8", folder=tmp_path)
    whole = "python tools/preprocess.py --lidc lidc --out whole --jobs 2"
    succeed(whole, folder=tmp_path)
    words = [sys.executable, str(ROOT / "tools/preprocess.py"), *whole.split()[2:]]
    words[words.index("whole")] = "killed"
    for finished in (0, 2, 4):
        process = subprocess.Popen(
            words, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL
        )
        while len(list(tmp_path.glob("killed/series/*.json"))) <= finished:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)  # the workers, too
        process.wait()
        assert not (tmp_path / "killed" / "manifest.csv").exists()
    succeed(" ".join(["python tools/preprocess.py", *words[2:]]), folder=tmp_path)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_window_may_begin_with_a_minus(tmp_path: Path) -> None:
    succeed("python tools/phantom.py --out lidc --patients 1", folder=tmp_path)
    window = "python tools/preprocess.py --lidc lidc --out crops --window -600,1500"
    succeed(window, folder=tmp_path)
    assert '"window": [\n  -600.0,' in (tmp_path / "crops" / "report.json").read_text()


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_without_data_a_phantom_is_made_and_said_to_be_one(tmp_path: Path) -> None:
    said = succeed("python tools/train.py", *FAST, folder=tmp_path)
    assert said.count("PHANTOM") >= 2
    for follow in ("visualdl --logdir output/testing/vdl", "tools/export.py", "tools/predict.py"):
        assert follow in said
    again = succeed("python tools/train.py", *FAST, "seed=1", folder=tmp_path)
    assert "PHANTOM" in again
    resumed = succeed(
        "python tools/train.py --resume", *FAST, "seed=1", "train.steps=30", folder=tmp_path
    )
    assert "after step 30" in resumed


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
        ("python tools/predict.py --model gone crops/x.jpg", "run tools/export.py"),
        ("python tools/predict.py --model inference gone.jpg", "gone.jpg"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    chain: Path, command: str, message: str
) -> None:
    (chain / "empty").mkdir(exist_ok=True)
    assert message in fail(command, folder=chain)


def test_resuming_another_network_names_what_differs(chain: Path) -> None:
    command = "python tools/train.py --resume -o data.manifest=crops"
    own = ["-c", "configs/testing.yaml", "-o", "output=output/partial_soft", "model.fc=12"]
    assert "instead of" in fail(command, *own, folder=chain)


def test_without_paddle_a_tool_that_needs_it_says_what_to_install(tmp_path: Path) -> None:
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
        assert "pip install 'lungdx-paddle[cpu]'" in ran.stderr and ran.stderr.count("\n") == 1


def test_a_mistake_of_ours_is_one_line_and_exit_code_1() -> None:
    code = (
        "from lungdx_paddle.commands import cli\n"
        "def main(argv=None): raise ValueError('two\\nlines')\n"
        "cli.run(main)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "ValueError: two lines; this is a mistake of ours" in ran.stderr
    assert "Traceback" not in ran.stderr and ran.stderr.count("\n") == 1


@pytest.mark.lidc
def test_real_dicom_to_crops(lidc_folder: Path, tmp_path: Path) -> None:
    """LIDC-IDRI-0001 is whole; LIDC-IDRI-0012 is a partial download, and that is said."""
    with zipfile.ZipFile(lidc_folder / "lidc-dicom.zip") as archive:
        archive.extractall(tmp_path)
    said = succeed("python tools/preprocess.py --lidc LIDC-IDRI --out crops", folder=tmp_path)
    with (tmp_path / "crops" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = [row for row in rows if row["patient_id"] == "LIDC-IDRI-0001"]
    assert {row["nodule"] for row in first} == {"0"}
    assert {row["malignancy_ratings"] for row in first} == {"5;5;5;4"}
    assert len(first) == 9
    assert any("LIDC-IDRI-0012" in line and "missing" in line for line in said.splitlines())


@pytest.mark.lidc
def test_real_slices_to_a_trained_model(lidc_folder: Path, tmp_path: Path) -> None:
    """The README's way to real data, on 40 patients of the set of slices."""
    (tmp_path / "lidc-slices.zip").symlink_to(lidc_folder / "lidc-slices-sample.zip")
    (tmp_path / "LIDC-IDRI").mkdir()
    for name in MARKS:
        (tmp_path / "LIDC-IDRI" / name).symlink_to(lidc_folder / name)
    said = succeed(SLICES, folder=tmp_path)
    assert "978 crops of 40 patients" in said
    assert "stretched" in said
    train = "python tools/train.py -o data.manifest=crops/manifest.csv"
    said = succeed(train, *FAST, "output=output/partial_soft", folder=tmp_path)
    assert "PHANTOM" not in said
    with (tmp_path / "output/partial_soft/table2.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["global_step_value"] == "20"
    assert 0 <= float(last["accuracy_test_value"]) <= 1
