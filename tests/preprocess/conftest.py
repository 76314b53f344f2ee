"""A small made-up collection: slices of 64x64, a round nodule, readers who outline it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from lungdx_paddle.preprocess.pipeline import preprocess

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
SIDE = 64
RADIUS_PX = 6
CENTRE_XY = (40, 24)


def _slice_hu(has_nodule: bool) -> np.ndarray:
    """Lung of -850 HU, framed by tissue, with a nodule of 30 HU in it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    hu = np.full((SIDE, SIDE), 40)
    hu[4:-4, 4:-4] = -850
    if has_nodule:
        hu[(x - CENTRE_XY[0]) ** 2 + (y - CENTRE_XY[1]) ** 2 <= RADIUS_PX**2] = 30
    return hu


def _write_slice(path: Path, patient: str, series: str, index: int, has_nodule: bool) -> None:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = CT_IMAGE_STORAGE, f"{series}.{index}"
    header.PatientName, header.PatientBirthDate = "Secret^Name", "19500102"
    header.PatientID, header.Modality = patient, "CT"
    header.StudyInstanceUID, header.SeriesInstanceUID = f"{series}.0.0", series
    header.ImagePositionPatient = ["0", "0", str(2.5 * index)]
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.PixelSpacing, header.SliceThickness = ["0.7", "0.7"], "2.5"
    header.Rows = header.Columns = SIDE
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation = 0
    header.RescaleIntercept, header.RescaleSlope = "-1024", "1"
    header.PixelData = (_slice_hu(has_nodule) + 1024).astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    FileDataset(str(path), header, b"\0" * 128, meta, is_implicit_VR=False).save_as(str(path))


def _outline(radius: int) -> Sequence[tuple[int, int]]:
    """A closed polygon that the readers' area, without the outline itself, lies in."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x = np.rint(CENTRE_XY[0] + radius * np.cos(angles)).astype(int)
    y = np.rint(CENTRE_XY[1] + radius * np.sin(angles)).astype(int)
    return list(zip(x.tolist(), y.tolist()))


def _xml(series: str, marked: Sequence[int], ratings: Sequence[int]) -> str:
    points = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
        for x, y in _outline(RADIUS_PX + 2)
    )
    rois = "".join(
        f"<roi><imageZposition>{2.5 * index}</imageZposition>"
        f"<imageSOP_UID>{series}.{index}</imageSOP_UID><inclusion>TRUE</inclusion>{points}</roi>"
        for index in marked
    )
    sessions = "".join(
        "<readingSession><unblindedReadNodule><noduleID>1</noduleID>"
        f"<characteristics><malignancy>{rating}</malignancy></characteristics>{rois}"
        "</unblindedReadNodule></readingSession>"
        for rating in ratings
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage xmlns="http://www.nih.gov">'
        f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid>"
        f"<StudyInstanceUID>{series}.0.0</StudyInstanceUID></ResponseHeader>"
        f"{sessions}</LidcReadMessage>"
    )


@pytest.fixture
def add_series() -> Callable[..., Path]:
    """A function that writes one series below a folder and returns the series' folder.

    The series has five slices; the nodule is on slices 1 to 3, or on those ``marked``.
    """

    def add(
        collection: Path,
        patient: str = "LIDC-IDRI-0001",
        series: str = "1.2.1",
        ratings: Sequence[int] = (5, 5, 5, 4),
        marked: Sequence[int] = (1, 2, 3),
    ) -> Path:
        folder = collection / patient.replace("/", "_") / series
        folder.mkdir(parents=True)
        for index in range(5):
            _write_slice(folder / f"{index:06d}.dcm", patient, series, index, index in marked)
        (folder / "001.xml").write_text(_xml(series, marked, ratings), encoding="utf-8")
        return folder

    return add


@pytest.fixture
def collection(tmp_path: Path, add_series: Callable[..., Path]) -> Path:
    """Three series of two patients, and a diagnosis table for one of them."""
    folder = tmp_path / "LIDC-IDRI"
    add_series(folder, "LIDC-IDRI-0001", "1.2.1", (5, 5, 5, 4))
    add_series(folder, "LIDC-IDRI-0002", "1.2.2", (1, 2))
    add_series(folder, "LIDC-IDRI-0002", "1.2.3", (3,), (2,))
    table = "Patient ID,Diagnosis,Primary tumor site\nLIDC-IDRI-0001,3,colon cancer\n"
    (folder / "tcia-diagnosis-data.csv").write_text(table, encoding="utf-8")
    return folder


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """A function of a folder: the bytes of everything below it, by name."""
    return lambda out: {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def series_of() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """A function of an output folder: report.json's series by UID."""

    def read(out: Path) -> dict[str, dict[str, Any]]:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return {series["series_uid"]: series for series in report["series"]}

    return read


@pytest.fixture(scope="session")
def lidc_dicom(lidc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LIDC-IDRI-0001 and a part of LIDC-IDRI-0012, unpacked."""
    folder = tmp_path_factory.mktemp("lidc-dicom")
    with zipfile.ZipFile(lidc_folder / "lidc-dicom.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def real_crops(lidc_dicom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preprocessed real scans."""
    out = tmp_path_factory.mktemp("crops")
    preprocess(lidc_dicom, out)
    return out


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """(256, 256) bool."""
    rows, columns = np.mgrid[:256, :256]
    area: np.ndarray = ((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 <= 1
    return area


@pytest.fixture(name="ellipse")
def ellipse_fixture() -> Callable[..., np.ndarray]:
    """A function that draws an ellipse: centre x, y and its two radii in pixels."""
    return ellipse


@pytest.fixture
def chest_hu() -> np.ndarray:
    """(256, 256) HU: body, two lungs with a vessel in one, windpipe, table; in air."""
    hu = np.full((256, 256), -1000, np.int16)
    hu[ellipse(128, 120, 110, 80)] = 40
    hu[ellipse(75, 120, 35, 50) | ellipse(180, 120, 35, 50)] = -850
    hu[ellipse(75, 120, 3, 8)] = 50
    hu[ellipse(128, 80, 8, 8)] = -1000
    hu[215:222, 10:246] = 100
    return hu
