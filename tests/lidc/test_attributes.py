"""What is broken in a header is refused, or ignored and noted, by what it is needed for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lungdx_paddle.lidc import find_series
from lungdx_paddle.lidc.attributes import NUMBERS, TAG, TEXTS, Need

WriteSlice = Callable[..., Path]

PLACE, DIRECTIONS = "ImagePositionPatient", "ImageOrientationPatient"


def rewrite(path: Path, name: str, value: bytes, vr: bytes = b"DS") -> None:
    """Give an attribute of text any bytes, and any representation."""
    group, element = divmod(TAG[name], 0x10000)
    tag = group.to_bytes(2, "little") + element.to_bytes(2, "little")
    value += b" " * (len(value) % 2)
    content = path.read_bytes()
    start = content.index(tag + b"DS")
    end = start + 8 + int.from_bytes(content[start + 6 : start + 8], "little")
    new = tag + vr + len(value).to_bytes(2, "little") + value
    path.write_bytes(content[:start] + new + content[end:])


BROKEN = {
    b"n/a": "is no number: 'n/a'",
    b"1.5,0": "is no number: '1.5,0'",
    b"1_0": "is no number: '1_0'",
    b"nan": "is not finite: 'nan'",
    b"-inf": "is not finite: '-inf'",
    b"1e300": "is out of range",
    b"1e999": "is not finite: '1e999'",
    b"\xb2": "is no number: '\\xb2'",
    b"\x1b[2J": "is no number: '\\x1b[2J'",
    b"9" * 5000: "is not finite: '" + "9" * 40 + "...'",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("name", ["RescaleIntercept", "RescaleSlope"])
def test_a_broken_rescale_costs_the_slice(
    write_slice: WriteSlice, scan: Path, name: str, text: bytes
) -> None:
    rewrite(write_slice(0), name, text)
    write_slice(2.5)
    (series,), (skipped,) = find_series(scan)
    assert skipped.reason.startswith(f"{name} {BROKEN[text]}")
    assert series.volume_hu()[0, 0, 0] == 0


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("name", ["WindowCenter", "SliceThickness"])
def test_what_only_helps_is_ignored_and_noted_where_it_is_broken(
    write_slice: WriteSlice, scan: Path, name: str, text: bytes
) -> None:
    rewrite(write_slice(0), name, text)
    (series,), skipped = find_series(scan)
    (warning,) = series.warnings
    assert not skipped
    assert warning.startswith(f"1 slice: {name} {BROKEN[text]}") and warning.endswith(", ignored")
    assert warning.isprintable() and len(warning) < 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RescaleSlope": 0}, "RescaleSlope is 0 or next to it: 0"),
        ({"RescaleSlope": "1e-300"}, "RescaleSlope is 0 or next to it: 1e-300"),
        ({"RescaleIntercept": "1e30"}, "RescaleIntercept is out of range"),
        ({"PixelSpacing": ["1e-300", "1e-300"]}, "PixelSpacing is out of range (0.1 to 5)"),
        ({"PixelSpacing": ["-0.7", "0.7"]}, "PixelSpacing is out of range"),
        ({"PixelSpacing": "0.7"}, "PixelSpacing has 1 numbers where 2 are known"),
        ({PLACE: ["0", "0", "1e200"]}, f"{PLACE} is out of range"),
        ({DIRECTIONS: ["1", "0", "0", "0.9", "0.4", "0"]}, "no two directions at right angles"),
        ({DIRECTIONS: ["0.5", "0", "0", "0", "1", "0"]}, "no two directions at right angles"),
        ({"PixelRepresentation": 3}, "PixelRepresentation is out of range (0 to 1): '3'"),
        ({"Rows": 65535}, "Rows is out of range (1 to 8192): '65535'"),
        ({"BitsAllocated": 12}, "12 bits a pixel"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "a colour image"),
        ({"NumberOfFrames": 10**9}, "1000000000 frames, where up to 3000 are known"),
        ({"SOPInstanceUID": "1." * 600 + "1"}, "SOPInstanceUID has 1201 characters: '1.1."),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*value:UserWarning")  # of pydicom, which writes them
def test_a_needed_value_beyond_sense_costs_the_slice(
    write_slice: WriteSlice, scan: Path, changes: dict[str, Any], reason: str
) -> None:
    write_slice(0, **changes)
    series, (skipped,) = find_series(scan)
    assert series == [] and reason in skipped.reason


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"WindowWidth": 0}, "WindowWidth is out of range (0.001 to 100000): '0"),
        ({"SliceThickness": -1}, "SliceThickness is out of range (0.01 to 100): '-1"),
        ({"BitsStored": 17}, "BitsStored 17 of 16 bits, ignored"),
        ({"BitsStored": 12}, "HighBit 15 with 12 bits stored, ignored"),
        ({"RescaleType": "OD"}, "RescaleType 'OD': the values may be no HU"),
        ({"SamplesPerPixel": 0}, "SamplesPerPixel is out of range (1 to 64): '0', ignored"),
        ({"InstanceNumber": 10**11}, "InstanceNumber is out of range"),
    ],
    ids=str,
)
def test_a_helpful_value_beyond_sense_is_noted(
    write_slice: WriteSlice, scan: Path, changes: dict[str, Any], note: str
) -> None:
    write_slice(0, **changes)
    (series,), skipped = find_series(scan)
    assert not skipped and series.slice_hu(0)[0, 0] == 0
    assert any(note in warning for warning in series.warnings)


@pytest.mark.parametrize("name", sorted({*NUMBERS, *TEXTS}))
def test_a_missing_attribute_costs_the_slice_only_if_it_is_needed(
    write_slice: WriteSlice, scan: Path, name: str
) -> None:
    write_slice(0, **{name: None})
    series, skipped = find_series(scan)
    need = NUMBERS[name].need if name in NUMBERS else TEXTS[name]
    if need is Need.NEEDED:
        assert [s.reason for s in skipped] == [f"no {name}"]
    else:
        assert series[0].slice_hu(0).shape == (6, 5)
        assert len(series[0].warnings) == (need is Need.STATED)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_blanks_and_nuls_around_values_are_padding(
    write_slice: WriteSlice, scan: Path, syntax: str
) -> None:
    path = write_slice(syntax=syntax, PatientID="AB1234CD", RescaleIntercept="-1000.00")
    content = path.read_bytes().replace(b"AB1234CD", b" AB123\0\0")
    path.write_bytes(content.replace(b"-1000.00", b" -1000\0 "))
    (series,), _ = find_series(scan)
    assert (series.patient_id, series.warnings) == ("AB123", ())
    assert series.slice_hu(0)[0, 0] == 24


def test_one_value_written_twice_is_one_value(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(0, RescaleSlope=[1, 1])
    write_slice(2.5, RescaleSlope=[1, 2])
    (series,), (skipped,) = find_series(scan)
    assert len(series.slices) == 1
    assert skipped.reason.startswith("RescaleSlope has 2 numbers where 1 are known: ")


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("PixelSpacing", b"0,75\\0,75 ", (0.75, 0.75)),
        ("PixelSpacing", b"1,250\\1,250 ", (1.25, 1.25)),  # 1250 mm it is not
        ("ImagePositionPatient", b"-36,0\\0\\-1,5E2 ", (-36, 0, -150)),
        ("ImagePositionPatient", b"-170,250\\0\\-9,500 ", (-170.25, 0, -9.5)),
        ("RescaleIntercept", b"-1024,0 ", -1024),
    ],
)
def test_a_decimal_comma_is_read_and_told(
    write_slice: WriteSlice, scan: Path, name: str, written: bytes, meant: object
) -> None:
    rewrite(write_slice(), name, written)
    (series,), _ = find_series(scan)
    s = series.slices[0]
    found = {
        "PixelSpacing": s.pixel_spacing_mm,
        "ImagePositionPatient": s.position_mm,
        "RescaleIntercept": s.intercept,
    }
    assert found[name] == meant
    (warning,) = series.warnings
    assert warning.startswith(f"1 slice: {name} is written with a decimal comma: ")


@pytest.mark.parametrize("written", [b"-1,024", b"1,024.0 ", b"1,024,0 ", b",5", b"1,"])
def test_a_comma_that_may_mean_something_else_is_no_decimal(
    write_slice: WriteSlice, scan: Path, written: bytes
) -> None:
    rewrite(write_slice(), "RescaleIntercept", written)
    _, (skipped,) = find_series(scan)
    assert skipped.reason.startswith("RescaleIntercept is no number: ")


def test_identifiers_are_printable_whatever_the_file_holds(
    write_slice: WriteSlice, scan: Path
) -> None:
    path = write_slice(PatientID="AAAAAAAA")
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"A\x1b[31m\nB"))
    (series,), _ = find_series(scan)
    assert series.patient_id == r"A\x1b[31m\nB"
    (warning,) = series.warnings
    assert warning.startswith("1 slice: PatientID has unprintable characters: ")
    assert warning.isprintable()


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # of pydicom, which writes it
def test_long_identifiers_stay_different(write_slice: WriteSlice, scan: Path) -> None:
    for number, end in enumerate("XY"):
        write_slice(name=end, PatientID="P" * 5000 + end, SeriesInstanceUID=f"1.{number}")
    series, _ = find_series(scan)
    assert len({s.patient_id for s in series}) == 2
    assert all(len(s.patient_id) < 64 for s in series)
    assert series[0].warnings[0].startswith("1 slice: PatientID has 5001 characters: 'PPP")


def test_names_of_other_scripts_are_read_by_their_character_set(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(SpecificCharacterSet="ISO_IR 192", PatientID="患者1")
    (series,), _ = find_series(scan)
    assert (series.patient_id, series.warnings) == ("患者1", ())


def test_numbers_in_another_representation_are_read(write_slice: WriteSlice, scan: Path) -> None:
    rewrite(write_slice(), "RescaleSlope", np.float64(0.5).tobytes(), b"FD")
    (series,), _ = find_series(scan)
    assert series.slices[0].slope == 0.5
