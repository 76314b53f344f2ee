"""Findings of an upload are those of the command for the same files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient

from lungdx_paddle.commands import predict_nodules
from lungdx_paddle.inference import predictor as module
from lungdx_paddle.inference.predictor import Predictor


@pytest.fixture
def command(
    brightness: Predictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[dict[str, Any]]]:
    """A function of arguments: the lines of `lungdx predict` with the same model."""
    brightness.__class__.notes = []  # type: ignore[assignment, method-assign]
    monkeypatch.setattr(module, "Predictor", lambda *_: brightness)

    def run(*words: str | Path) -> list[dict[str, Any]]:
        predict_nodules.main(["--model", "m", *map(str, words)])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_points_and_marks_in_a_ct_are_answered_as_by_the_command(
    client: TestClient, ct: Path, zipped: bytes, with_marks: bytes, command: Any
) -> None:
    points = {"nodule": ["40,40,4", "50.5,50,2"]}
    response = client.post("/predict", files={"files": zipped}, data=points)
    words = ["--nodule", "40,40,4", "--nodule", "50.5,50,2"]
    assert response.json()["findings"] == command("--series", ct, *words)
    assert response.json()["note"] == "research use, not a medical device"
    z_mm = response.json()["findings"][0]["place_mm"][2]
    for name, value in (("nodule", f"40,40,z={z_mm}"), ("box", "30,30,2,50,50,6")):
        response = client.post("/predict", files={"files": zipped}, data={name: [value]})
        assert response.json()["findings"] == command("--series", ct, f"--{name}", value)
    (xml,) = ct.glob("*.xml")
    response = client.post("/predict", files={"files": with_marks})
    assert response.json()["findings"] == command("--series", ct, "--xml", xml)


def test_crops_are_answered_as_by_the_command_under_the_names_that_they_came_with(
    client: TestClient, write_crops: Callable[..., Path], command: Any
) -> None:
    paths = sorted(write_crops(patients=1).parent.rglob("*.jpg"))
    files = [("files", (f"folder/{path.name}", path.read_bytes())) for path in paths]
    found = client.post("/predict", files=files).json()["findings"]
    expected = command(*paths)
    assert [finding.pop("image") for finding in found] == [path.name for path in paths]
    assert found == [{k: v for k, v in line.items() if k != "image"} for line in expected]


def test_what_cannot_be_predicted_is_refused_in_one_sentence(
    client: TestClient, zipped: bytes, with_marks: bytes, write_crops: Callable[..., Path]
) -> None:
    crop = next(write_crops(patients=1).parent.rglob("*.jpg")).read_bytes()
    label_map = (Path(__file__).parents[2] / "fuzz/corpus/segmentation/labelmap.dcm").read_bytes()
    for files, nodule, sentence in (
        ([zipped, label_map], [], "the series 1.2.3 that file 11 describes"),
        ([zipped], [], "expected crops alone; or a CT and one of nodule, point-mm, box (fields)"),
        ([with_marks], ["1,1,1"], "found 0 crops, 11 other files, marks: nodule, XML"),
        ([crop, zipped], [], "found 1 crops, 10 other files, marks: none"),
        ([crop], ["1,1,1"], "found 1 crops, 0 other files, marks: nodule"),
        ([zipped], ["1,1"], "--nodule 1,1: expected x,y,slice"),
        ([zipped], ["1,1,instance=99"], "slice instance=99: expected one slice of that name"),
        ([zipped], ["128,1,1"], "found a point outside the CT"),
        ([crop[:-20]], [], "file 1: expected a 32x32"),
        ([b"\x89PNG\r\n\x1a\n"], [], "file 1: expected a 32x32"),
        ([b"hello"], ["1,1,1"], "the upload: expected the slices of a CT"),
        ([b"<x/>"], [], "file 1: "),
        ([b"<x"], [], "file 1: "),
        ([zipped], ["1,1,1"] * 101, "up to 100 places, series-uid, found 101 places"),
    ):
        sent = [("files", content) for content in files]
        response = client.post("/predict", files=sent, data={"nodule": nodule})
        found = response.json()["detail"]
        assert response.status_code == 422 and sentence in found, found
        assert "\n" not in found and "lungdx-serve" not in found


def test_a_field_that_is_no_option_is_refused_and_named(client: TestClient, zipped: bytes) -> None:
    fields = {"nodule": "1,1,1", "point_mm": "1,2,3"}
    response = client.post("/predict", files=[("files", zipped)], data=fields)
    assert response.status_code == 422 and "found point_mm;" in response.json()["detail"]


@pytest.mark.parametrize(
    ("cosines", "sides"),
    [
        ([1, 0, 0, 0, 1, 0], "RLAP"),
        ([-1, 0, 0, 0, -1, 0], "LRPA"),  # prone
        ([0, 1, 0, 1, 0, 0], "APRL"),
    ],
)
def test_the_patients_sides_follow_the_orientation(
    client: TestClient, ct: Path, tmp_path: Path, cosines: list[int], sides: str
) -> None:
    files = []
    for path in ct.glob("*.dcm"):
        header = pydicom.dcmread(path)
        z_mm = float(header.ImagePositionPatient[2])
        normal = np.cross(cosines[:3], cosines[3:])
        header.ImageOrientationPatient = cosines
        header.ImagePositionPatient = list(normal * z_mm)
        header.save_as(tmp_path / "turned.dcm")
        files.append(("files", (tmp_path / "turned.dcm").read_bytes()))
    (series,) = client.post("/scans", files=files).json()["series"]
    assert "".join(series["sides"].values()) == sides
