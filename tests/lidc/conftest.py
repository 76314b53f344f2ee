"""Small LIDC-shaped files made on the spot: DICOM slices and XML readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lungdx_paddle.lidc import Nodule, group_readings, read_annotations

CT = "1.2.840.10008.5.1.4.1.1.2"
CHARACTERISTICS = (
    "subtlety internalStructure calcification sphericity margin lobulation spiculation texture "
    "malignancy"
).split()


def save(header: Dataset, path: Path, syntax: str) -> Path:
    """Write a dataset as a DICOM file, whatever version of pydicom is installed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = header.get("SOPInstanceUID", "1.2.3")
    meta.TransferSyntaxUID = syntax
    file = FileDataset(
        str(path),
        header,
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if int(pydicom.__version__.split(".")[0]) >= 3:
        file.save_as(path, enforce_file_format=True)
    else:
        file.save_as(path, write_like_original=False)
    return path


def ct_header(z_mm: float, stored: np.ndarray, changes: dict[str, Any]) -> Dataset:
    """One CT slice as GE writes it, with changes.

    None leaves an attribute out; a DataElement sets how it is written.
    """
    values: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": f"1.2.3.{int(z_mm * 1000) + 10**6}",
        "SeriesInstanceUID": "1.2.3",
        "StudyInstanceUID": "1.2",
        "PatientID": "LIDC-IDRI-9999",
        "Modality": "CT",
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "InstanceNumber": 1,
        "SliceThickness": 2.5,
        "ImagePositionPatient": [-10.0, -20.0, z_mm],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.8, 0.7],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": stored.dtype.itemsize * 8,
        "HighBit": stored.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "WindowCenter": -600,
        "WindowWidth": 1600,
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        **changes,
    }
    header = Dataset()
    for name, value in values.items():
        if isinstance(value, DataElement):
            header.add(value)
        elif value is not None:
            setattr(header, name, value)
    return header


@pytest.fixture
def write_slice(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes one CT slice into ``scan`` below the test's folder.

    ``stored`` are its values, else all are 1024, which is 0 HU; further keywords change
    attributes, None leaves one out.
    """

    def write(
        z_mm: float = 0.0,
        name: str | None = None,
        stored: np.ndarray | None = None,
        syntax: str = ExplicitVRLittleEndian,
        **changes: Any,
    ) -> Path:
        stored = np.full((6, 5), 1024, np.int16) if stored is None else stored
        header = ct_header(z_mm, stored, {k: v for k, v in changes.items() if k != "PixelData"})
        data = (
            stored.astype(stored.dtype.newbyteorder(">"))
            if syntax == ExplicitVRBigEndian
            else stored
        )
        header.PixelData = changes.get("PixelData", data.tobytes())
        header["PixelData"].VR = "OW"
        header["PixelData"].is_undefined_length = "PixelData" in changes
        return save(header, tmp_path / "scan" / (name or f"{z_mm:g}.dcm"), syntax)

    return write


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[[Dataset, str], Path]:
    """A function that writes any dataset into ``scan`` below the test's folder."""
    return lambda header, name: save(header, tmp_path / "scan" / name, ExplicitVRLittleEndian)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The folder that ``write_slice`` writes into."""
    return tmp_path / "scan"


def square(left: int, top: int, side: int) -> list[tuple[int, int]]:
    """The outline of a square as LIDC draws it: every pixel of the border, closed."""
    right, bottom = left + side - 1, top + side - 1
    points = [(x, top) for x in range(left, right)] + [(right, y) for y in range(top, bottom)]
    points += [(x, bottom) for x in range(right, left, -1)]
    points += [(left, y) for y in range(bottom, top, -1)]
    return [*points, points[0]]


@pytest.fixture(name="square")
def square_fixture() -> Callable[[int, int, int], list[tuple[int, int]]]:
    """A function of left, top and side: the outline of a square, inside side - 2 pixels wide."""
    return square


def roi(
    points: Sequence[tuple[int, int]], sop: str = "1.1", z: str = "0.0 ", inclusion: str = "TRUE"
) -> str:
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points
    )
    return (
        f"<roi><imageZposition>{z}</imageZposition><imageSOP_UID>{sop}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edges}</roi>"
    )


def nodule(*rois: str, ratings: Sequence[Any] | None = (3,) * 9, name: str = "IL057_1") -> str:
    """One reader's nodule; ratings None: no characteristics, (): an empty element."""
    block = ""
    if ratings is not None:
        inner = "".join(f"<{n}>{r}</{n}>" for n, r in zip(CHARACTERISTICS, ratings))
        block = f"<characteristics>{inner}</characteristics>"
    marks = "".join(rois)
    return f"<unblindedReadNodule><noduleID>{name}</noduleID>{block}{marks}</unblindedReadNodule>"


def non_nodule(x: int, y: int, sop: str = "1.1") -> str:
    return (
        f"<nonNodule><nonNoduleID>n</nonNoduleID><imageZposition>0</imageZposition>"
        f"<imageSOP_UID>{sop}</imageSOP_UID><locus><xCoord>{x}</xCoord><yCoord>{y}</yCoord>"
        f"</locus></nonNodule>"
    )


def message(*sessions: str, series: str = "1.2.3", root: str = "LidcReadMessage") -> bytes:
    body = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} uid="1.9" xmlns="http://www.nih.gov">'
        f"<ResponseHeader><Version>1.8.1</Version><SeriesInstanceUid>{series} </SeriesInstanceUid>"
        f"<StudyInstanceUID>1.2</StudyInstanceUID></ResponseHeader>{body}</{root}>"
    ).encode()


class Xml:
    """Builds LIDC XML: ``xml.message(xml.nodule(xml.roi(points)), ...)``, one string a session."""

    message = staticmethod(message)
    nodule = staticmethod(nodule)
    non_nodule = staticmethod(non_nodule)
    roi = staticmethod(roi)


@pytest.fixture
def xml() -> Xml:
    """The builder of LIDC XML."""
    return Xml()


@pytest.fixture
def group(xml: Any) -> Callable[..., list[Nodule]]:
    """A function of sessions (strings of nodules): the nodules at 0.5 mm pixels, 2 mm slices."""

    def nodules(
        *sessions: str,
        slice_mm: float | None = 2.0,
        pixel_mm: float | tuple[float, float] = 0.5,
        z_mm: dict[str, float] | None = None,
    ) -> list[Nodule]:
        annotations = read_annotations(("x.xml", xml.message(*sessions)))
        return group_readings(annotations, pixel_mm, slice_mm, z_mm)

    return nodules
