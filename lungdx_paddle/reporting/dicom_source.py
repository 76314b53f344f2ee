"""What a DICOM object about findings takes from the CT, from the model and from this program."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DA, TM

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.description import NAME, Description, sha256_of
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.attributes import LONGEST_LO
from lungdx_paddle.lidc.header import parse_header, quiet
from lungdx_paddle.lidc.regions import Region

MANUFACTURER = "lungdx_paddle"

SERIES_DESCRIPTION = f"{MANUFACTURER}: {RESEARCH_USE}"

UID_ROOT = "2.25."
"""Root of UIDs that are a UUID as a number, open to all (DICOM PS3.5, B.2)."""

UID_NAMESPACE = uuid.UUID("0d7b3f1e-8c0b-5d52-9f0e-4f6c2a1d9b37")
"""Name space of UIDs that follow from what they name; any constant would do."""

MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)
"""Attributes that an object must have and may have empty (type 2)."""

UTF_8 = "ISO_IR 192"
"""As DICOM calls it, (0008,0005)."""

KEPT = (None, "", "ISO_IR 100", UTF_8)
"""Character sets that an object shares with its CT; others, known or not, become UTF-8."""

SEXES = ("M", "F", "O")
"""DICOM (0010,0040)."""


def regions_of(findings: Iterable[Finding]) -> list[tuple[Finding, Region]]:
    """The findings that lie in a CT, with their regions; others, such as of crops, are left out.

    Raises:
        LidcError: there is none, or they are of several series.
    """
    found = [(f, f.region) for f in findings if f.region is not None and f.region.areas]
    series = {region.series.series_uid for _, region in found}
    if len(series) != 1:
        raise LidcError(
            "a DICOM object of findings",
            expected="findings with pixels in one CT series",
            found=f"findings in {len(series)} series" if series else "none",
            fix="give the findings of a CT",
        )
    return found


def source_headers(
    series: Series, indices: Sequence[int], texts: Iterable[str] = ()
) -> list[Dataset]:
    """The headers of some slices' files, without pixels, fit to be referred to.

    What is missing or no date, time or sex is empty; a multi-frame file is there once.

    Args:
        series: the CT.
        indices: of the slices.
        texts: what the object will say; the headers keep their character set where these are
            ASCII, else all is in UTF-8.

    Raises:
        LidcError: a file cannot be read, or lacks the study or the frame of reference, without
            which nothing can belong to the CT.
    """
    headers: dict[str, Dataset] = {}
    in_utf_8 = not all(text.isascii() for text in texts)
    for slice_ in (series.slices[index] for index in indices):
        if str(slice_.file) in headers:
            continue
        if not (slice_.study_uid and slice_.frame_of_reference):
            raise LidcError(
                str(slice_.file),
                expected="StudyInstanceUID and FrameOfReferenceUID, which its reports share",
                found="a slice without",
                fix="export the CT with its UIDs",
            )
        try:
            with slice_.file.open() as stream, quiet():
                header, _, _ = parse_header(stream, None)
                headers[str(slice_.file)] = _filled(header, in_utf_8)
        except Exception as error:  # pydicom raises nearly anything on a damaged file
            raise LidcError(
                str(slice_.file),
                expected="the header of a CT slice",
                found=f"{type(error).__name__}: {' '.join(str(error).split())}",
                fix="export the CT again",
            ) from error
    return list(headers.values())


def _filled(header: Dataset, in_utf_8: bool) -> Dataset:
    for tag in list(header.keys()):
        try:
            header[tag]
        except Exception:  # a value that is none of its kind; pydicom raises nearly anything
            del header[tag]
    for name in MAY_BE_EMPTY:
        if header.get(name) is None or not _is_sane(name, header.get(name)):
            setattr(header, name, "")
    if not header.get("SOPClassUID"):
        header.SOPClassUID = CTImageStorage
    if in_utf_8 or header.get("SpecificCharacterSet") not in KEPT:
        header.decode()
        header.SpecificCharacterSet = UTF_8
    return header


def _is_sane(name: str, value: object) -> bool:
    """Whether a date, a time or a sex is one."""
    try:
        if name.endswith("Date"):
            DA(value)
        elif name.endswith("Time"):
            TM(value)
    except (ValueError, TypeError):
        return False
    return name != "PatientSex" or value in SEXES


def uid_of(*parts: object) -> str:
    """A UID that is always the same for the same parts."""
    return UID_ROOT + str(uuid.uuid5(UID_NAMESPACE, " ".join(map(str, parts))).int)


def new_uid() -> str:
    """A UID that nothing else has."""
    return UID_ROOT + str(uuid.uuid4().int)


def tracking_of(region: Region) -> tuple[str, str]:
    """Name and tracking UID of a nodule.

    The UID is the segment's own where a SEG has one; else it follows from the series and the
    nodule's middle, so that the same mark is the same nodule in every report.
    """
    uid = region.about.get("tracking_uid")
    place = (f"{mm:.1f}" for mm in region.place_mm)
    name = region.name.replace("\\", "/")[:LONGEST_LO].strip()  # a backslash parts values
    name = name or f"nodule {region.number}"
    return name, str(uid or uid_of(region.series.series_uid, *place))


def dicom_bytes(made: Dataset) -> bytes:
    """A DICOM object as a file has it."""
    stream = io.BytesIO()
    with quiet():
        made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def digest_of(description: Description) -> str:
    """SHA-256 of the model's inference.yml, which lists those of its other files."""
    return sha256_of(description.folder / NAME)


def equipment(description: Description) -> dict[str, str]:
    """Who made an object: arguments of highdicom's constructors."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": description.name[:LONGEST_LO],
        "software_versions": __version__,
        "device_serial_number": digest_of(description)[:16],
        "series_description": SERIES_DESCRIPTION,
    }


def parameters(description: Description) -> dict[str, str]:
    """How the model sees a nodule, for an algorithm's identification."""
    center, width = description.window
    calibrated = description.values.get("calibration") is not None
    return {
        "window": f"{center:g}/{width:g} HU",
        "crop rule": description.crop_rule,
        "probabilities": "calibrated" if calibrated else "not calibrated",
        f"SHA-256 of {NAME}": digest_of(description),
    }
