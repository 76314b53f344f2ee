"""Write the phantom's files: DICOM slices, LIDC XML, the diagnosis table."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from lungdx_paddle.files import write_text
from lungdx_paddle.phantom.geometry import Grid
from lungdx_paddle.phantom.simulated_readers import Session

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MANUFACTURER = "lungdx_paddle phantom"
DIAGNOSIS_TABLE = "tcia-diagnosis-phantom.csv"

UID_ROOT = "2.25."
"""Root of UIDs that are a UUID as a number, open to all (DICOM PS3.5, B.2)."""

UID_NAMESPACE = uuid.UUID("6f1d4f0e-3c39-5f0a-9a53-0d6a1c6c7a11")
"""Name space of the phantom's UUIDs (version 5); any constant would do."""

_CODES = (
    "0=Unknown 1=benign or non-malignant disease 2= malignant, primary lung cancer "
    "3 = malignant metastatic"
)
_METHODS = (
    "0 = unknown 1 = review of radiological images to show 2 years of stable nodule 2 = biopsy "
    "3 = surgical resection 4 = progression or response"
)
DIAGNOSIS_COLUMNS = (
    "TCIA Patient ID",
    f"Diagnosis at the Patient Level {_CODES}",
    f"Diagnosis Method {_METHODS}",
    "Primary tumor site for metastatic disease",
)
NODULE_COLUMNS = (
    f"Nodule {{}} Diagnosis at the Nodule Level {_CODES}",
    f"Nodule {{}} Diagnosis Method at the Nodule Level {_METHODS}",
)
"""The columns of TCIA's table, each on one line; it has two for each of five nodules."""


@dataclass(frozen=True)
class Maker:
    """How a scanner manufacturer stores HU; the slope is 1."""

    model: str
    """ManufacturerModelName."""
    signed: bool
    bits_stored: int
    intercept: int
    padding: int
    """Stored value outside the reconstruction circle."""
    from_head: bool
    """Whether InstanceNumber 1 is the most cranial slice."""


GE = Maker("signed 16 bit, -1024", True, 16, -1024, -2000, True)
SIEMENS = Maker("unsigned 12 bit, -1024", False, 12, -1024, 0, False)
PHILIPS = Maker("unsigned 12 bit, -1000", False, 12, -1000, 0, True)
MAKERS: tuple[Maker, ...] = (GE, SIEMENS, PHILIPS, GE, GE, GE, GE, SIEMENS, GE, GE)
"""Patients take these in turn, about as often as LIDC has them."""


class SeriesNames:
    """A series' identifiers.

    Args:
        patient_id: PHANTOM-0001 and so on.
        name: a text of this series alone, from which its UIDs follow.
        slices: how many slices it has.
    """

    def __init__(self, patient_id: str, name: str, slices: int) -> None:
        self.patient_id, self.name = patient_id, name
        self.study_uid, self.series_uid = self.uid("study"), self.uid("series")
        self.sop_uids = [self.uid(f"slice {index}") for index in range(slices)]
        # Named as TCIA names folders.
        study, series = f"01-01-2000-{self.study_uid[-5:]}", f"3000001-{self.series_uid[-5:]}"
        self.folder = Path(patient_id, study, series)

    def uid(self, part: str) -> str:
        """UID of a part of the series."""
        return UID_ROOT + str(uuid.uuid5(UID_NAMESPACE, f"{self.name} {part}").int)


def write_slices(
    folder: Path,
    names: SeriesNames,
    volume_hu: np.ndarray,
    grid: Grid,
    maker: Maker,
    rng: np.random.Generator,
) -> None:
    """Write one DICOM file a slice; file names stand in no relation to position.

    Args:
        folder: where; it exists.
        names: identifiers.
        volume_hu: (slices, rows, columns), the caudal slice first.
        grid: where the voxels lie.
        maker: how HU are stored.
        rng: shuffles the file names.
    """
    low, high = (-(2**15), 2**15 - 1) if maker.signed else (0, 2**maker.bits_stored - 1)
    stored = np.rint(volume_hu - maker.intercept).clip(low, high)
    stored = stored.astype("<i2" if maker.signed else "<u2")
    stored[:, ~grid.inside_circle] = maker.padding
    header = _series_header(names, grid, maker)
    corner_mm = float(grid.axis_mm[0])
    numbers = rng.permutation(grid.slices) + 1
    for index, (sop_uid, z_mm) in enumerate(zip(names.sop_uids, grid.z_mm.tolist())):
        header.SOPInstanceUID = sop_uid
        header.InstanceNumber = grid.slices - index if maker.from_head else index + 1
        header.ImagePositionPatient = [f"{v:.6g}" for v in (corner_mm, corner_mm, z_mm)]
        header.SliceLocation = f"{z_mm:.6g}"
        header.PixelData = stored[index].tobytes()
        _save(folder / f"{numbers[index]:06d}.dcm", header)


def write_xml(path: Path, names: SeriesNames, grid: Grid, sessions: Sequence[Session]) -> None:
    """Write the readers' marks as LIDC does (namespace http://www.nih.gov)."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<LidcReadMessage uid="{names.uid("message")}" xmlns="http://www.nih.gov" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation='
        '"http://www.nih.gov http://troll.rad.med.umich.edu/lidc/LidcReadMessage.xsd">',
        "<ResponseHeader>",
        "<Version>1.8.1</Version>",
        "<TaskDescription>Second unblinded read</TaskDescription>",
        f"<SeriesInstanceUid>{names.series_uid}</SeriesInstanceUid>",
        "<ResponseDescription>1 - Reading complete</ResponseDescription>",
        f"<StudyInstanceUID>{names.study_uid}</StudyInstanceUID>",
        "</ResponseHeader>",
    ]
    places = [
        (f"<imageZposition>{z_mm:.6f} </imageZposition>", f"<imageSOP_UID>{uid}</imageSOP_UID>")
        for uid, z_mm in zip(names.sop_uids, grid.z_mm.tolist())
    ]
    for number, session in enumerate(sessions):
        lines += [
            "<readingSession>",
            "<annotationVersion>3.12</annotationVersion>",
            f"<servicingRadiologistID>{number}</servicingRadiologistID>",
        ]
        for reading in session.readings:
            lines += ["<unblindedReadNodule>", f"<noduleID>{reading.nodule_id}</noduleID>"]
            if reading.characteristics:
                ratings = (f"<{name}>{n}</{name}>" for name, n in reading.characteristics.items())
                lines += ["<characteristics>", *ratings, "</characteristics>"]
            for index, points in reading.contours:
                lines += ["<roi>", *places[index], "<inclusion>TRUE</inclusion>"]
                lines += [_point("edgeMap", x, y) for x, y in points.tolist()]
                lines.append("</roi>")
            lines.append("</unblindedReadNodule>")
        for mark, (index, x, y) in enumerate(session.non_nodules, 1):
            lines += ["<nonNodule>", f"<nonNoduleID>Non-nodule {mark:03d}</nonNoduleID>"]
            lines += [*places[index], _point("locus", x, y), "</nonNodule>"]
        lines.append("</readingSession>")
    lines.append("</LidcReadMessage>\n")
    write_text(path, "\n".join(lines))


def _point(tag: str, x: int, y: int) -> str:
    return f"<{tag}><xCoord>{x}</xCoord><yCoord>{y}</yCoord></{tag}>"


class DiagnosisRow(NamedTuple):
    """A row of the diagnosis table."""

    patient_id: str
    code: int
    method: int
    site: str
    nodules: int
    """How many nodules are listed; code and method are the patient's."""


def write_diagnoses(path: Path, rows: Sequence[DiagnosisRow]) -> None:
    """Write rows under TCIA's column names, with columns for as many nodules as are listed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = range(1, 1 + max((row.nodules for row in rows), default=0))
    columns = [column.format(number) for number in numbers for column in NODULE_COLUMNS]
    writer.writerow([*DIAGNOSIS_COLUMNS, *columns])
    for row in rows:
        nodules = (row.code, row.method) * row.nodules
        writer.writerow([*row[:4], *nodules, *[""] * (len(columns) - len(nodules))])
    write_text(path, text.getvalue())


def _series_header(names: SeriesNames, grid: Grid, maker: Maker) -> Dataset:
    header = Dataset()
    header.SOPClassUID = CT_IMAGE_STORAGE
    header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    header.StudyDate = header.SeriesDate = header.ContentDate = "20000101"
    header.StudyTime = header.ContentTime = header.AccessionNumber = header.StudyID = ""
    header.Modality, header.BodyPartExamined = "CT", "CHEST"
    header.Manufacturer, header.ManufacturerModelName = MANUFACTURER, maker.model
    header.PatientID = names.patient_id
    header.PatientName = header.PatientBirthDate = header.PatientSex = ""
    header.ReferringPhysicianName = ""
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = "computed; no person was scanned"
    header.StudyInstanceUID, header.SeriesInstanceUID = names.study_uid, names.series_uid
    header.FrameOfReferenceUID = names.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.SeriesNumber, header.AcquisitionNumber, header.PatientPosition = 3000001, 1, "HFS"
    header.KVP, header.ConvolutionKernel = "120", "STANDARD"
    header.SliceThickness = f"{grid.slice_mm:g}"
    header.PixelSpacing = [f"{grid.pixel_mm:.6f}"] * 2
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.Rows = header.Columns = grid.rows
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = (
        16,
        maker.bits_stored,
        maker.bits_stored - 1,
    )
    header.PixelRepresentation = int(maker.signed)
    header.add_new(0x00280120, "SS" if maker.signed else "US", maker.padding)
    header.RescaleIntercept, header.RescaleSlope = str(maker.intercept), "1"
    header.WindowCenter, header.WindowWidth = "-600", "1600"
    return header


def _save(path: Path, header: Dataset) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # pydicom puts the true length
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID_ROOT + str(UID_NAMESPACE.int)
    file = FileDataset(str(path), header, b"\0" * 128, meta, is_implicit_VR=False)
    file.save_as(str(path))
