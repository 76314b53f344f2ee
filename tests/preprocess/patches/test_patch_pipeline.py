"""The set of slices becomes crops, a manifest and a report; an earlier result stays whole."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import LidcError, OutputError
from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.preprocess.patches import patch_pipeline as module
from lungdx_paddle.preprocess.report import Report
from lungdx_paddle.workers import executor


def test_rows_say_what_the_xml_says_of_the_pictures(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], tmp_path: Path, made: Any
) -> None:
    table = tmp_path / "diagnosis.csv"
    table.write_text(
        f"Patient ID,Diagnosis,Primary tumor site\n{made.ONE},3,colon cancer\n", "utf-8"
    )
    report = run(diagnosis=table)
    uid = made.series_of(made.ONE)[0]
    seen = [(r.nodule, r.sop_uid, r.z_mm, r.readers, r.malignancy_ratings) for r in rows()]
    assert seen == [
        (0, f"{uid}.3", -92.5, 2, (5, 4, 5)),
        (0, f"{uid}.4", -90.0, 3, (5, 4, 5)),
        (0, f"{uid}.5", -87.5, 1, (5, 4, 5)),
        (1, f"{uid}.7", -82.5, 1, (2,)),
        (1, f"{uid}.8", -80.0, 1, (2,)),
    ]
    first = rows()[0]
    assert (first.series_uid, first.pixel_spacing_mm, first.window) == (uid, 0.703125, (20, 2040))
    assert (first.diagnosis, first.primary_site) == (3, "colon cancer")
    assert not report.left_out and not report.series[0].missing_slices
    assert (report.crops, report.diagnosed_patients) == (5, 1)


def test_more_processes_give_the_same(
    run: Callable[..., Report],
    pictures: Path,
    xml: Path,
    tmp_path: Path,
    made: Any,
    state: Callable[..., Any],
) -> None:
    made.write_folder(
        pictures / "LIDC-IDRI-0003" / "nodule-0", made.enclosed(made.NODULE), (250, 290), [3, 4, 5]
    )
    made.write_xml(xml / "003.xml", made.series_of("LIDC-IDRI-0003")[0], [made.NODULE])
    run()
    alone = state(tmp_path / "out")
    with executor(2) as pool:
        run(pool=pool)
    assert state(tmp_path / "out") == alone


def test_patients_without_xml_are_reported_and_the_others_done(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    made.write_folder(
        pictures / "LIDC-IDRI-0002" / "nodule-0", made.enclosed(made.NODULE), (250, 290), [3, 4]
    )
    made.write_folder(
        pictures / "unknown" / "nodule-0", made.enclosed(made.NODULE), (250, 290), [3, 4]
    )
    report = run()
    assert "no LIDC XML file" in reasons(report)["unknown/nodule-0"]
    assert [s.patient_id for s in report.having("failed")] == ["LIDC-IDRI-0002", "unknown"]
    assert {row.patient_id for row in rows()} == {made.ONE}


def test_a_bug_in_one_patient_costs_only_that_one(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Any,
) -> None:
    made.write_folder(
        pictures / "LIDC-IDRI-0003" / "nodule-0", made.enclosed(made.NODULE), (250, 290), [3, 4, 5]
    )
    made.write_xml(xml / "003.xml", made.series_of("LIDC-IDRI-0003")[0], [made.NODULE])
    real = module.crop_patient

    def break_one(patient_id: str, *rest: Any) -> Any:
        if patient_id == made.ONE:
            raise ZeroDivisionError("by zero")
        return real(patient_id, *rest)

    monkeypatch.setattr(module, "crop_patient", break_one)
    report = run()
    assert "ZeroDivisionError: by zero" in report.having("failed")[0].reason
    assert {row.patient_id for row in rows()} == {"LIDC-IDRI-0003"}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: folder / "gone.zip", "gone.zip.*found nothing"),
        (lambda folder: folder, "expected pictures of nodules.*--xml"),
    ],
)
def test_without_xml_it_is_one_clear_error_and_the_earlier_result_is_whole(
    run: Callable[..., Report],
    tmp_path: Path,
    break_it: Callable[[Path], Path],
    message: str,
    state: Callable[..., Any],
) -> None:
    run()
    before = state(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LidcError, match=message):
        run(xml=break_it(tmp_path / "empty"))
    assert state(tmp_path / "out") == before


def test_a_folder_without_pictures_or_a_broken_archive_is_one_clear_error(
    run: Callable[..., Report], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LidcError, match="nodule-0/images/slice-0.png, found none"):
        run(tmp_path / "empty")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(LidcError, match="broken.zip: expected a zip archive"):
        run(tmp_path / "broken.zip")


def test_a_full_disk_leaves_the_earlier_result_whole(
    run: Callable[..., Report],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: Callable[..., Any],
) -> None:
    run()
    before = state(tmp_path / "out")
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "n01_s000.jpg":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(Path, "write_bytes", full)
        run()
    after = state(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    run()
    assert state(tmp_path / "out") == before
