"""A model folder that is damaged, mixed or made by a stranger is refused in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest
import yaml

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.inference.description import Description, read_description
from lungdx_paddle.inference.predictor import Predictor

PROGRAM = "inference.pdmodel"
"""The program that both Paddle 2.6 and, through OpenVINO, Paddle 3 read."""


@pytest.fixture
def rewrite(model: Path) -> Callable[..., Path]:
    """A function that changes the model's inference.yml by a function of its values."""

    def change(by: Callable[[dict[str, Any]], Any]) -> Path:
        path = model / "inference.yml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        by(values)
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return model

    return change


def zeros(path: Path) -> None:
    path.write_bytes(bytes(5000))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("name", [PROGRAM, "inference.pdiparams"])
@pytest.mark.parametrize("damage", [zeros, cut_off, one_bit, pipe, folder])
def test_a_damaged_file_is_refused_before_a_runtime_reads_it(
    model: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(model / name)
    with pytest.raises(CheckpointError, match=f"{name}: expected the file whose SHA-256 is in"):
        Predictor(model)


def test_files_of_two_exports_are_refused(model: Path, onnx: Path) -> None:
    shutil.copy(onnx / "inference.pdiparams", model)
    with pytest.raises(CheckpointError, match="found another file; it is damaged or of another"):
        Predictor(model)


def test_a_file_that_the_export_did_not_write_is_refused(model: Path) -> None:
    (model / "inference.onnx").write_bytes(b"of somebody else")
    pytest.importorskip("onnxruntime")
    with pytest.raises(CheckpointError, match=r"inference.onnx: expected .* found another file"):
        Predictor(model)


def test_the_digests_are_those_of_sha256sum(model: Path) -> None:
    lines = [f"{digest}  {name}" for name, digest in read_description(model).digests.items()]
    assert {PROGRAM, "inference.pdiparams", "weights.pdparams"} <= {x.split()[1] for x in lines}
    if shutil.which("sha256sum"):
        checked = subprocess.run(
            ["sha256sum", "-c", "--quiet"], input="\n".join(lines), text=True, cwd=model
        )
        assert checked.returncode == 0


def test_a_folder_of_before_the_digests_answers_with_a_note(
    rewrite: Callable[..., Path], model: Path
) -> None:
    assert Predictor(model).notes == []
    rewrite(lambda values: values.pop("sha256"))
    (note,) = Predictor(model).notes
    assert "no digests of its files" in note and note.endswith("run tools/export.py again")


def test_what_is_no_program_does_not_crash_paddle_even_without_digests(
    rewrite: Callable[..., Path], model: Path
) -> None:
    rewrite(lambda values: values.pop("sha256"))
    for damage in (zeros, cut_off):
        damage(model / PROGRAM)
        with pytest.raises(CheckpointError, match=f"{PROGRAM}: expected a model that can be read"):
            Predictor(model)


BAD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "without outputs": lambda v: v.update(outputs=[]),
    "or input": lambda v: v.update(input={"window": 3}),
    "output without a task": lambda v: v["outputs"].append(3),
    "tasks other than malignancy and pathology": lambda v: v["outputs"][0].update(task="age"),
    "or one twice": lambda v: v["outputs"][0].update(task="pathology"),
    "classes of pathology": lambda v: v["outputs"][1].update(classes=["a", ""]),
    "classes of malignancy": lambda v: v["outputs"][0].update(classes=["one", "two"]),
    "list of different names": lambda v: v["outputs"][1].update(classes=["a", "a"]),
    "that are no list": lambda v: v["outputs"][1].update(classes="benign"),
    "no finite numbers": lambda v: v["input"]["window"].update(center=float("nan")),
    "width above 0": lambda v: v["input"]["window"].update(width=0),
    "a window whose": lambda v: v["input"]["window"].update(width=10**400),
    "whose center and width": lambda v: v["input"]["window"].update(center="left"),
    "another crop rule": lambda v: v["input"].update(crop="round"),
    "name of the model": lambda v: v.update(model=[1]),
    "name of its data": lambda v: v.update(training={"data": [3]}),
    "a calibration of cuts that are no 4": lambda v: v.update(
        calibration={**Calibration().to_dict(), "cuts": [2, 3]}
    ),
    "a calibration of other entries": lambda v: v.update(calibration="hot"),
    "a sha256 that is no list": lambda v: v.update(sha256={"inference.json": [3]}),
}


@pytest.mark.parametrize("found", list(BAD))
def test_every_value_that_is_used_is_checked(found: str, rewrite: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=f"description of an exported model, found .*{found}"):
        read_description(rewrite(BAD[found]))


BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n"
    for below, name in zip("abcdefghijk", "bcdefghijkl")
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "outputs: *l\ninput: {window: *l}\n",
        BOMB + "outputs: [{task: malignancy, classes: *l}]\ninput: {window: {center: 0}}\n",
        BOMB + "model: *l\n",
        "[" * 100_000,
        "outputs: 2026-13-45\n",
        "!!int x\n",
        "!!python/object/apply:os.getcwd []\n",
        "a: b: c\n",
        "",
    ],
    ids=["bomb", "bomb-classes", "bomb-name", "deep", "date", "tag", "code", "syntax", "empty"],
)
def test_a_description_of_a_stranger_ends_in_one_short_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="the description of an exported model") as error:
        read_description(tmp_path)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [pipe, folder, link_to_itself])
def test_a_description_that_is_no_file_is_refused(
    model: Path, damage: Callable[[Path], None]
) -> None:
    damage(model / "inference.yml")
    with pytest.raises(CheckpointError, match="inference.yml: expected the description"):
        read_description(model)


def test_a_description_of_any_length_is_not_read(model: Path) -> None:
    with open(model / "inference.yml", "ab") as file:
        file.truncate(2**33)
    with pytest.raises(CheckpointError, match="found more than 65536 bytes"):
        read_description(model)


def test_a_description_says_what_it_is_of(model: Path) -> None:
    described = read_description(model)
    assert isinstance(described, Description)
    assert described.name == "testing" and described.crop_rule == "paper"
    assert described.window == (20.0, 2040.0)
    assert list(described.tasks) == ["malignancy", "pathology"]
    assert described.has(PROGRAM) and not described.has("inference.onnx")
    assert described.values["versions"]["paddle"] == paddle.__version__
