"""A made-up set of slices: every area is a rectangle, so that a test can say what is where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import CROP_RULES, Manifest, ManifestRow, read_manifest
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.patches import patch_pipeline
from lungdx_paddle.preprocess.patches.patch_pipeline import preprocess_slices
from lungdx_paddle.preprocess.patches.slice_hu import PictureHU
from lungdx_paddle.preprocess.report import Report

ONE, TWO_SERIES = "LIDC-IDRI-0001", "LIDC-IDRI-0132"


class Rectangle(NamedTuple):
    """Pixels of a scan that a reader enclosed."""

    left: int
    top: int
    columns: int
    rows: int


Reading = tuple[int, dict[int, Rectangle]]
"""A malignancy rating, and what was enclosed by slice of the series."""

TIP = Rectangle(301, 350, 7, 6)
NODULE: list[Reading] = [
    (5, {3: Rectangle(300, 350, 9, 8), 4: Rectangle(299, 349, 11, 10)}),
    (4, {3: Rectangle(301, 350, 8, 9), 4: Rectangle(299, 348, 12, 11), 5: TIP}),
    (5, {4: Rectangle(300, 349, 10, 12)}),
]
OTHER: list[Reading] = [(2, {7: Rectangle(100, 120, 14, 7), 8: Rectangle(101, 121, 9, 5)})]


def series_of(patient: str) -> list[str]:
    return sorted(uid for uid, facts in known_series().items() if facts.patient_id == patient)


def write_xml(path: Path, series_uid: str, nodules: Sequence[list[Reading]]) -> None:
    """The outline is one pixel wider than what it encloses; slices are the series' own step."""
    step_mm = known_series()[series_uid].slice_spacing_mm

    def roi(k: int, r: Rectangle) -> str:
        left, top, right, bottom = r.left - 1, r.top - 1, r.left + r.columns, r.top + r.rows
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        points = "".join(
            f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
            for (x0, y0), (x1, y1) in zip(corners, corners[1:])
            for x, y in zip(
                np.linspace(x0, x1, 160).round().astype(int),
                np.linspace(y0, y1, 160).round().astype(int),
            )
        )
        return (
            f"<roi><imageZposition>{-100 + step_mm * k}</imageZposition>"
            f"<imageSOP_UID>{series_uid}.{k}</imageSOP_UID><inclusion>TRUE</inclusion>{points}</roi>"
        )

    sessions = ""
    for reader in range(4):
        readings = "".join(
            f"<unblindedReadNodule><noduleID>{n}</noduleID><characteristics><malignancy>{rating}"
            "</malignancy></characteristics>"
            + "".join(roi(k, r) for k, r in enclosed.items())
            + "</unblindedReadNodule>"
            for n, nodule in enumerate(nodules)
            for rating, enclosed in nodule[reader : reader + 1]
        )
        sessions += f"<readingSession>{readings}</readingSession>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{series_uid}</SeriesInstanceUid><StudyInstanceUID>1</StudyInstanceUID>"
        f"</ResponseHeader>{sessions}</LidcReadMessage>",
        encoding="utf-8",
    )


def png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def gray_at(corner_xy: tuple[int, int], k: int) -> np.ndarray:
    """A piece of the made-up scan: every pixel's gray follows from its place and slice.

    From black to white, as the set's pictures.
    """
    y, x = np.mgrid[corner_xy[1] : corner_xy[1] + 128, corner_xy[0] : corner_xy[0] + 128]
    return ((x * 7 + y * 13 + k * 29) % 256).astype(np.uint8)


def write_folder(
    folder: Path,
    readings: Sequence[Mapping[int, Rectangle]],
    corner_xy: tuple[int, int],
    slices: Sequence[int],
) -> None:
    """One ``nodule-n`` of the set: ``slices`` of the series become slice-0, slice-1, ..."""
    for k, z in enumerate(slices):
        files = {"images": gray_at(corner_xy, z)}
        for j in range(4):
            mask = np.zeros((128, 128), np.uint8)
            if j < len(readings) and z in readings[j]:
                r = readings[j][z]
                left, top = r.left - corner_xy[0], r.top - corner_xy[1]
                mask[top : top + r.rows, left : left + r.columns] = 255
            files[f"mask-{j}"] = mask
        for name, picture in files.items():
            path = folder / name / f"slice-{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(picture))


def enclosed(nodule: list[Reading]) -> list[dict[int, Rectangle]]:
    return [areas for _, areas in nodule]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two nodules of one patient, with masks and folders in another order than the XML's."""
    folder = tmp_path / "set" / ONE
    write_folder(folder / "nodule-0", enclosed(OTHER), (60, 70), [7, 8])
    write_folder(folder / "nodule-1", enclosed(NODULE)[::-1], (250, 290), [3, 4, 5])
    return folder.parent


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """The XML file of that patient's series."""
    write_xml(tmp_path / "xml" / "001.xml", series_of(ONE)[0], [NODULE, OTHER])
    return tmp_path / "xml"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[int, PictureHU]]:
    """The HU of the made-up pictures by folder and slice, which a test may change.

    In the window 20/2040 their gray values stay what they are.
    """
    patients = (ONE, TWO_SERIES, "LIDC-IDRI-0003")
    own = PictureHU(-1000, 1040, "exact-voi", 0)
    known = {f"{p}/nodule-{n}": dict.fromkeys(range(9), own) for p in patients for n in range(3)}
    monkeypatch.setattr(patch_pipeline, "known_hu", lambda: known)
    return known


@pytest.fixture
def run(
    tmp_path: Path, pictures: Path, xml: Path, known: dict[str, dict[int, PictureHU]]
) -> Callable[..., Report]:
    """A function that preprocesses the set into ``tmp_path / "out"``."""

    def run(slices: Path = pictures, **more: Any) -> Report:
        return preprocess_slices(slices, tmp_path / "out", **{"xml": xml, **more})

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[], list[ManifestRow]]:
    """A function that reads the manifest that was written."""
    return lambda: list(read_manifest(tmp_path / "out").rows)


class Made:
    """The made-up set's parts, for tests that change it."""

    ONE, TWO_SERIES, NODULE, OTHER, Rectangle = ONE, TWO_SERIES, NODULE, OTHER, Rectangle
    series_of = staticmethod(series_of)
    write_xml = staticmethod(write_xml)
    png = staticmethod(png)
    gray_at = staticmethod(gray_at)
    write_folder = staticmethod(write_folder)
    enclosed = staticmethod(enclosed)


@pytest.fixture
def made() -> type[Made]:
    """Functions and areas that the made-up set consists of."""
    return Made


@pytest.fixture
def reasons() -> Callable[[Report], dict[str, str]]:
    """A function of a report: why each picture or nodule was left out."""
    return lambda report: {entry.path: entry.reason for entry in report.left_out}


@pytest.fixture
def state() -> Callable[[Path], dict[str, bytes]]:
    """A function of a folder: every file of a run but its report."""

    def read(folder: Path) -> dict[str, bytes]:
        paths = (p for p in folder.rglob("*") if p.is_file() and p.name != "report.json")
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    return read


@pytest.fixture(scope="session")
def sample(
    lidc_folder: Path, sample_xml: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Report, Manifest]:
    """The 40 real patients of the sample, straight from the zip archives, stretched."""
    return _crops(lidc_folder, sample_xml, tmp_path_factory, CropSettings(window=None))


@pytest.fixture(scope="session", params=CROP_RULES)
def sample_hu(
    lidc_folder: Path,
    sample_xml: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> tuple[Report, Manifest]:
    """The same in HU, by either rule."""
    return _crops(lidc_folder, sample_xml, tmp_path_factory, CropSettings(request.param))


def _crops(
    lidc: Path, xml: Path, temporary: pytest.TempPathFactory, crops: CropSettings
) -> tuple[Report, Manifest]:
    out = temporary.mktemp("sample")
    report = preprocess_slices(lidc / "lidc-slices-sample.zip", out, xml=xml, crops=crops)
    return report, read_manifest(out)
