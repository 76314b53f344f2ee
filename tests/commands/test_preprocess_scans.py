"""What ``tools/preprocess.py`` accepts and prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.commands.preprocess_scans import main, report_lines, skipped_lines
from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.lidc import Skipped
from lungdx_paddle.lidc.sources import UNPACK
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.preprocess.report import DONE, FAILED, UNMARKED, Report, SeriesReport


def report(*series: SeriesReport, skipped: tuple[Skipped, ...] = ()) -> Report:
    return Report(
        crop="paper",
        window=(20.0, 2040.0),
        series=series,
        diagnosed_patients=1,
        elsewhere=(),
        skipped=skipped,
    )


def done(number: int, **more: object) -> SeriesReport:
    patient = f"LIDC-IDRI-{number:04d}"
    return SeriesReport(patient, f"1.2.{number}", DONE, "", slices=9, nodules=1, crops=2, **more)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found neither"),
        (["--slices", "x"], "--slices without --xml"),
        (["--annotations-only"], "--annotations-only without --xml"),
        (["--slices", "x", "--lidc", "y"], "--lidc and --slices"),
        (["--slices", "x", "--xml", "y", "--window", "header"], "pictures have no header"),
        (["--slices", "x", "--xml", "y", "--stretched", "--window", "lung"], "found --window lung"),
        (["--lidc", "x", "--stretched"], "--stretched: expected --slices"),
        (
            ["--slices", "x", "--xml", "y", "--jpg"],
            "--jpg, --lungs: expected --lidc",
        ),
        (["--lungs", "paper"], "found neither"),
        (["--manifest", "x"], "--manifest without --diagnosis"),
        (["--manifest", "x", "--lidc", "y", "--diagnosis", "z"], "--lidc and --manifest"),
    ],
)
def test_arguments_that_make_no_sense_are_one_clear_error(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        main([*arguments, "--out", str(tmp_path)])


def test_the_closing_lines_are_few_however_many_series_lack_something() -> None:
    missing = tuple({"sop_uid": f"1.2.3.{k}", "z_mm": 2.5 * k} for k in range(9))
    many = [done(k, missing_slices=missing, warnings=("uneven steps",)) for k in range(100)]
    many += [SeriesReport(f"P{k}", f"1.3.{k}", FAILED, "cut off", slices=1) for k in range(100)]
    many += [SeriesReport(f"Q{k}", f"1.4.{k}", UNMARKED, "no XML", slices=1) for k in range(100)]
    lines = report_lines(report(*many))
    assert lines[0] == "100 of 300 series done: 100 nodules, 200 crops of 300 patients"
    assert "100 series without LIDC XML: Q0, Q1, Q2 and 97 more" in lines
    assert any(line.startswith("900 outlined slices missing") for line in lines)
    assert len(lines) < 12
    assert not any("1.2.3." in line for line in lines), "UIDs stand in report.json"


def test_one_of_a_kind_is_singular() -> None:
    missing = ({"sop_uid": "1.2.3", "z_mm": 2.5},)
    lines = report_lines(report(done(1, missing_slices=missing)))
    assert lines[0] == "1 of 1 series done: 1 nodule, 2 crops of 1 patient"
    assert "1 outlined slice missing, see report.json: LIDC-IDRI-0001 (1)" in lines


def test_files_that_were_left_out_are_named_by_kind() -> None:
    skipped = [Skipped(f"{k}.xml", "a chest X-ray reading, no CT") for k in range(283)]
    copy = "one more XML file of a series, whose most complete one is used"
    skipped += [Skipped(f"c{k}.xml", f"{copy}: {k}.xml") for k in range(17)]
    skipped += [Skipped("a.txt", "no DICOM file")]
    assert skipped_lines(skipped) == [
        "283 files left out: a chest X-ray reading, no CT",
        f"17 files left out: {copy}",
        "1 file left out: no DICOM file",
    ]


def test_an_archive_that_is_not_read_is_named_before_single_files() -> None:
    skipped = [Skipped(f"{k}.txt", f"no {k}") for k in range(5)]
    skipped += [Skipped(f"{k}.txt", "no DICOM file") for k in range(9)]
    skipped.append(Skipped("a.rar", f"an archive of another kind than zip{UNPACK}"))
    assert skipped_lines(skipped)[0] == (
        "1 file left out: an archive of another kind than zip; unpack it"
    )


def test_why_there_are_no_pathology_labels() -> None:
    none = replace(report(done(1)), diagnosed_patients=0)
    lack = "the crops lack pathology labels; train them with -o data.label_set=none"
    assert f"no diagnosis table: {lack}" in report_lines(none)
    lines = report_lines(replace(none, diagnosis_notes=("2 IDs of 2 are no patient's here",)))
    assert lines[1:3] == ["2 IDs of 2 are no patient's here", f"no patient has a diagnosis: {lack}"]


def test_the_phantom_is_cropped_by_either_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantom(tmp_path / "lidc", 1, settings=PhantomSettings(rows=128, slices=8), jobs=1)
    for rule in ("paper", "context"):
        out = tmp_path / rule
        main(["--lidc", str(tmp_path / "lidc"), "--out", str(out), "--crop", rule, "--jobs", "1"])
        printed = capsys.readouterr().out
        assert printed.startswith("1 of 1 series done: ")
        assert printed.endswith(f"written to {out}\n")
    sizes = [len(read_manifest(tmp_path / rule)) for rule in ("paper", "context")]
    assert sizes[0] == sizes[1] > 0


@pytest.fixture
def chests(tmp_path: Path) -> Path:
    """Two small phantoms with their XML."""
    folder = tmp_path / "chests"
    write_phantom(folder, patients=2, jobs=1, settings=PhantomSettings(rows=96, slices=5))
    return folder


def without_xml(folder: Path) -> Path:
    for path in folder.rglob("*.xml"):
        path.unlink()
    return folder


def test_the_slices_of_a_ct_without_any_xml_become_jpg(
    chests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(["--lidc", str(without_xml(chests)), "--out", str(out), "--jpg", "--jobs", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "10 slices of 2 of 2 series as JPG: slices.csv"
    assert "no crops: there is no LIDC XML of these series" in printed
    assert sorted(path.name for path in out.iterdir()) == ["slices", "slices.csv", "slices.json"]


def test_without_crops_the_reason_is_told(
    chests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted(chests.rglob("*.xml"))
    first.write_bytes(first.read_bytes()[:300])
    second.write_bytes(second.read_bytes().replace(b"</SeriesInst", b".9</SeriesInst"))
    main(["--lidc", str(chests), "--out", str(tmp_path / "out"), "--jpg", "--jobs", "1"])
    printed = capsys.readouterr().out
    assert f"left out: chests/{first.relative_to(chests).as_posix()}: expected a LIDC" in printed
    assert "no crops: there is no LIDC XML of these series, but of 1 others" in printed


def test_slices_with_lungs_and_crops_come_of_one_run(
    chests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(["--lidc", str(chests), "--out", str(out), "--lungs", "corrected", "--jobs", "1"])
    printed = capsys.readouterr().out
    assert "10 slices of 2 of 2 series as JPG, with lung masks (corrected): slices.csv" in printed
    assert f"{len(read_manifest(out))} crops of 2 patients" in printed
    assert len(list(out.rglob("*_mask.png"))) == len(list(out.rglob("*_lungs.jpg"))) == 10


def test_without_jpg_no_slice_is_written(chests: Path, tmp_path: Path) -> None:
    main(["--lidc", str(chests), "--out", str(tmp_path / "out"), "--jobs", "1"])
    assert not (tmp_path / "out" / "slices").exists()
    assert len(read_manifest(tmp_path / "out")) > 0


def test_jpg_with_an_xml_folder_of_other_series_names_what_is_missing(
    chests: Path, tmp_path: Path
) -> None:
    (tmp_path / "xml").mkdir()
    words = ["--xml", str(tmp_path / "xml"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    with pytest.raises(LidcError, match="none for 2 series.*--xml"):
        main(["--lidc", str(without_xml(chests)), "--jpg", *words])
    assert (tmp_path / "out" / "slices.csv").is_file(), "the slices are written all the same"
