"""The shape of its masks says where in the scans a picture lies, or that it is not sure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.manifest import Manifest, ManifestRow
from lungdx_paddle.preprocess.report import Report


def test_both_scans_of_a_patient_are_told_apart_within_one_folder(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    made: Any,
) -> None:
    """As in LIDC-IDRI-0132: the set's second scan wrote over the first slices of the first's."""
    first, second = made.series_of(made.TWO_SERIES)
    made.write_xml(xml / "a.xml", first, [made.NODULE])
    made.write_xml(xml / "b.xml", second, [made.OTHER])
    folder = pictures / made.TWO_SERIES / "nodule-0"
    made.write_folder(folder, made.enclosed(made.NODULE), (250, 290), [3, 4, 5])
    made.write_folder(folder, made.enclosed(made.OTHER), (60, 70), [7])
    report = run()
    two = [(r.series_uid, r.nodule, r.readers) for r in rows() if r.patient_id == made.TWO_SERIES]
    assert two == [(first, 0, 3), (first, 0, 1), (second, 1, 1)]
    missing = {s.series_uid: len(s.missing_slices) for s in report.series}
    assert (missing[first], missing[second]) == (1, 1)


def test_a_mask_that_fits_nothing_costs_only_its_slice(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    strange = np.zeros((128, 128), np.uint8)
    strange[20:55, 30:90] = 255
    (pictures / made.ONE / "nodule-0" / "mask-0" / "slice-1.png").write_bytes(made.png(strange))
    report = run()
    assert "fit no outline" in reasons(report)[f"{made.ONE}/nodule-0/slice-1"]
    assert len(rows()) == 4


def test_outlines_that_are_alike_in_two_places_are_left_out(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    far_away = [(2, {k + 9: r._replace(left=r.left + 300) for k, r in made.OTHER[0][1].items()})]
    made.write_xml(
        xml / "001.xml", made.series_of(made.ONE)[0], [made.NODULE, made.OTHER, far_away]
    )
    report = run()
    assert "two places alike" in reasons(report)[f"{made.ONE}/nodule-0/slice-0"]
    assert reasons(report)[f"{made.ONE}, nodule 1 of 1 readers"] == "no picture gave a crop of it"
    assert {row.nodule for row in rows()} == {0}


def test_a_mask_that_wrapped_around_to_the_last_slice_is_left_out(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    """As in LIDC-IDRI-0305: the picture is of slice 9, its mask of slice 6."""
    nodule = [(2, {**made.OTHER[0][1], 6: made.Rectangle(100, 120, 8, 13)})]
    made.write_xml(xml / "001.xml", made.series_of(made.ONE)[0], [made.NODULE, nodule])
    wrapped = [{7: nodule[0][1][7], 8: nodule[0][1][8], 9: nodule[0][1][6]}]
    made.write_folder(pictures / made.ONE / "nodule-0", wrapped, (60, 70), [7, 8, 9])
    report = run()
    assert "another slice" in reasons(report)[f"{made.ONE}/nodule-0/slice-2"]
    assert [row.z_mm for row in rows() if row.nodule == 1] == [-82.5, -80.0]


def test_specks_prove_nothing(
    run: Callable[..., Report], pictures: Path, xml: Path, made: Any, reasons: Callable[..., Any]
) -> None:
    speck = [(2, {7: made.Rectangle(100, 120, 2, 2)})]
    made.write_xml(xml / "001.xml", made.series_of(made.ONE)[0], [made.NODULE, speck])
    made.write_folder(pictures / made.ONE / "nodule-0", made.enclosed(speck), (60, 70), [7, 8])
    report = run()
    assert "too few" in reasons(report)[f"{made.ONE}/nodule-0/slice-0"]
    assert "no reader has a mask" in reasons(report)[f"{made.ONE}/nodule-0/slice-1"]


@pytest.mark.lidc
def test_nearly_every_picture_of_the_real_sample_finds_its_place(
    sample: tuple[Report, Manifest],
) -> None:
    report, manifest = sample
    assert sum(s.slices for s in report.series) == 978
    assert len(manifest) == 978
    left = [entry.path for entry in report.left_out if "slice" in entry.path]
    assert left == ["LIDC-IDRI-0305/nodule-7/slice-7", "LIDC-IDRI-0933/nodule-0/slice-2"]
    # Where a patient has two series the set's second scan wrote over the first.
    unseen = {entry.path.split(",")[0] for entry in report.left_out} - set(left)
    assert unseen == {"LIDC-IDRI-0132", "LIDC-IDRI-0151", "LIDC-IDRI-0608"}
