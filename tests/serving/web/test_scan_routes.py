"""What the page does: open a CT, look at slices, click, correct, remove, close."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient

from lungdx_paddle.inference.locate import one_series, regions_of_readings
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.scan_findings import findings_from_points
from lungdx_paddle.lidc import Series, read_annotations
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.preprocess.window import apply_window


@pytest.fixture(scope="module")
def series(ct: Path) -> Series:
    return one_series(ct)[0]


@pytest.fixture(scope="module")
def nodule(ct: Path, series: Series) -> Region:
    """What the readers outlined."""
    (xml,) = ct.glob("*.xml")
    return regions_of_readings(series, read_annotations(xml))[0][0]


def decoded(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_ct_that_is_opened_is_described(
    client: TestClient, zipped: bytes, series: Series
) -> None:
    response = client.post("/scans", files={"files": zipped})
    assert response.status_code == 201
    (found,) = response.json()["series"]
    assert found["series_uid"] == series.series_uid
    assert (found["slices"], found["rows"], found["columns"]) == series.shape_zyx
    assert found["spacing_mm"] == list(series.spacing_zyx_mm)
    assert found["z_mm"] == pytest.approx(series.z_mm, abs=0.01)
    assert found["sides"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert found["instances"] == [s.instance for s in series.slices]


def test_a_slice_is_a_picture_in_the_models_window_or_another(
    client: TestClient, scan: str, series: Series
) -> None:
    path = f"{scan}/series/0/slices/3.png"
    for window, query in (((20, 2040), ""), ((-600, 1500), "?center=-600&width=1500")):
        response = client.get(path + query)
        assert response.headers["content-type"] == "image/png"
        assert response.headers["cache-control"] == "no-store"
        assert (decoded(response.content) == apply_window(series.slice_hu(3), *window)).all()
    for query in ("?center=20&width=0", "?center=9999&width=1", "?center=nan&width=9"):
        refused = client.get(path + query)
        assert refused.status_code == 422 and len(refused.json()["detail"]) < 300
    assert client.get(f"{scan}/series/0/slices/10.png").status_code == 404
    assert client.get(f"{scan}/series/1/slices/0.png").status_code == 404
    assert client.get("/scans/unknown/series/0/slices/0.png").status_code == 404


def test_a_click_is_answered_as_the_command_answers_the_point(
    client: TestClient, scan: str, ct: Path, nodule: Region
) -> None:
    x, y, index = nodule.place_px
    response = client.post(f"{scan}/series/0/findings", json={"point": [x, y, index]})
    assert response.status_code == 201
    found = response.json()
    predictor: Predictor = client.app.app.app.state.service.predictor  # type: ignore[attr-defined]
    (expected,) = findings_from_points(predictor, ct, [(x, y, index)])
    assert expected.region is not None
    outlines = found.pop("outlines")
    assert found == {**expected.to_dict(), "nodule": 1} | (
        {"warnings": found["warnings"]} if "warnings" in found else {}
    )
    assert {int(i) for i in outlines} == set(expected.region.areas)
    assert outlines[str(index)] == found["outline"]


def test_a_nodule_is_corrected_shown_and_removed(
    client: TestClient, scan: str, nodule: Region
) -> None:
    x, y, index = nodule.place_px
    ball = {"ball": {"place": [x, y, index], "radius_mm": 6.5}}
    first = client.post(f"{scan}/series/0/findings", json={"point": [x, y, index]}).json()
    second = client.post(f"{scan}/series/0/findings", json=ball).json()
    assert (first["nodule"], second["nodule"]) == (1, 2) and second["marked_by"] == "drawn"
    corrected = client.put(f"{scan}/findings/1", json=ball).json()
    assert corrected == {**second, "nodule": 1} and corrected != first
    off = client.put(f"{scan}/findings/1", json={"outlines": {str(index): []}}).json()
    assert set(off["outlines"]) == set(corrected["outlines"]) - {str(index)}
    crop = decoded(client.get(f"{scan}/findings/2/crop.png").content)
    assert crop.shape == (32, 32)
    bad = client.put(f"{scan}/findings/1", json={"outlines": {"99": []}})
    assert bad.status_code == 422 and "on one of 10 slices" in bad.json()["detail"]
    assert client.delete(f"{scan}/findings/1").status_code == 204
    gone = client.put(f"{scan}/findings/1", json=ball)
    assert gone.status_code == 404 and "it was removed" in gone.json()["detail"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "expected one of point, ball and outlines"),
        ({"point": [1, 2]}, "point.2: Field required"),
        ({"point": ["a", 1, 1]}, "point.0: Input should be a valid number"),
        ([], "the request: Input should be a valid dictionary"),
    ],
)
def test_a_mark_that_is_none_is_refused_in_a_sentence(
    client: TestClient, scan: str, body: object, sentence: str
) -> None:
    response = client.post(f"{scan}/series/0/findings", json=body)
    assert response.status_code == 422 and sentence in response.json()["detail"]


def test_of_several_series_the_axial_ones_are_offered_the_longest_first(
    client: TestClient, ct: Path, tmp_path: Path
) -> None:
    files = [("files", path.read_bytes()) for path in ct.glob("*.dcm")]
    for number, path in enumerate(sorted(ct.glob("*.dcm"))[:3]):
        other = pydicom.dcmread(path)
        other.SeriesInstanceUID, other.SOPInstanceUID = "1.2.3", f"1.2.3.{number}"
        other.save_as(tmp_path / "other.dcm")
        files.append(("files", (tmp_path / "other.dcm").read_bytes()))
    series = client.post("/scans", files=files).json()["series"]
    assert [found["slices"] for found in series] == [10, 3]
    coronal = []
    for path in ct.glob("*.dcm"):
        other = pydicom.dcmread(path)
        other.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        other.ImagePositionPatient = [0, float(other.ImagePositionPatient[2]), 0]
        other.save_as(tmp_path / "other.dcm")
        coronal.append(("files", (tmp_path / "other.dcm").read_bytes()))
    refused = client.post("/scans", files=coronal)
    assert refused.status_code == 422
    assert "expected axial slices, the only ones that the model knows" in refused.json()["detail"]


def test_the_nodules_of_a_series_are_saved_as_report_sr_and_seg(
    client: TestClient, scan: str, nodule: Region
) -> None:
    pytest.importorskip("highdicom", reason="the extra sr is not installed")
    refused = client.get(f"{scan}/series/0/report.dcm")
    assert refused.status_code == 409 and "click one first" in refused.json()["detail"]
    client.post(f"{scan}/series/0/findings", json={"point": list(nodule.place_px)})
    page = client.get(f"{scan}/series/0/report.html")
    assert page.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert page.text.startswith("<!") and "ROE" not in page.text
    for name, kind in (("report.dcm", "SR"), ("outlines.dcm", "SEG")):
        response = client.get(f"{scan}/series/0/{name}")
        assert response.headers["content-type"] == "application/dicom"
        made = pydicom.dcmread(io.BytesIO(response.content))
        assert made.Modality == kind and made.PatientName == "ROE^RICHARD"
    assert client.get(f"{scan}/series/0/report.pdf").status_code == 422


def test_a_seg_that_was_saved_marks_the_same_nodule(
    client: TestClient, scan: str, zipped: bytes, nodule: Region
) -> None:
    pytest.importorskip("highdicom", reason="the extra sr is not installed")
    ball = {"ball": {"place": list(nodule.place_px), "radius_mm": 6.5}}
    drawn = client.post(f"{scan}/series/0/findings", json=ball).json()
    seg = client.get(f"{scan}/series/0/outlines.dcm").content
    files = [("files", zipped), ("files", seg)]
    (found,) = client.post("/predict", files=files).json()["findings"]
    assert found["marked_by"] == "SEG"
    for name in ("outline", "place_mm", "malignancy", "pathology"):
        assert found[name] == drawn[name]
