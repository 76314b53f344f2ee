"""Crops of the set are those of the scans, but for the set's gray values."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest
from lungdx_paddle.preprocess.crop import crop_nodule
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.report import Report


def test_a_crop_is_that_of_the_scan(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], tmp_path: Path, made: Any
) -> None:
    run()
    area = np.zeros((512, 512), bool)
    area[349:359, 300:310] = True  # what two of the three readers of slice 4 made.enclosed
    area[349:359, 299] = True
    scan = np.zeros((512, 512), np.uint8)
    scan[290:418, 250:378] = made.gray_at((250, 290), 4)
    expected, _ = crop_nodule(scan, area)
    image = cv2.imread(str(tmp_path / "out" / rows()[1].image), cv2.IMREAD_UNCHANGED)
    assert np.abs(image.astype(int) - expected).mean() < 3  # JPG


def test_a_reader_whom_the_set_lacks_still_counts(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path, made: Any
) -> None:
    for k in range(3):
        (pictures / made.ONE / "nodule-1" / "mask-0" / f"slice-{k}.png").unlink()
    run()
    assert [row.readers for row in rows()] == [2, 3, 1, 1, 1]


def test_a_nodule_that_reaches_over_its_picture_is_left_out(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    """The masks of the picture's own readers fit; another reader's area does not."""
    wide = made.Rectangle(299, 340, 150, 40)
    uid = made.series_of(made.ONE)[0]
    readings = [(r, dict(areas)) for r, areas in made.NODULE] + [(3, {5: wide})]
    made.write_xml(pictures.parent / "xml" / "001.xml", uid, [readings, made.OTHER])
    report = run()
    assert "picture's edge" in reasons(report)[f"nodule 0 on {made.ONE}/nodule-1/slice-2"]
    assert [row.z_mm for row in rows() if row.nodule == 0] == [-92.5, -90.0]


@pytest.mark.parametrize(
    ("corner_xy", "shown"), [((250, 290), True), ((275, 290), True), ((283, 290), False)]
)
def test_by_context_the_picture_must_hold_what_surrounds_the_nodule(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    corner_xy: tuple[int, int],
    shown: bool,
    made: Any,
) -> None:
    shutil.rmtree(pictures / made.ONE / "nodule-0")
    made.write_folder(pictures / made.ONE / "nodule-0", made.enclosed(made.OTHER), (60, 70), [7, 8])
    made.write_folder(
        pictures / made.ONE / "nodule-1", made.enclosed(made.NODULE)[::-1], corner_xy, [3, 4, 5]
    )
    report = run(crops=CropSettings("context"))
    assert {row.nodule for row in rows()} == ({0, 1} if shown else {1})
    assert {row.crop for row in rows()} == {"context"}
    edge = [entry for entry in report.left_out if "picture's edge" in entry.reason]
    assert len(edge) == (0 if shown else 3)


@pytest.mark.lidc
def test_the_crops_are_those_of_lidc32(sample: tuple[Report, Manifest], lidc32: Path) -> None:
    """On slices of three readers and more; it differs where the set lacks a reader of the XML."""
    manifest, answer = sample[1], read_manifest(lidc32)
    patients = {row.patient_id for row in manifest.rows}

    def content(of: Manifest, row: ManifestRow) -> tuple[Any, ...]:
        pixels = cv2.imread(str(of.folder / row.image), cv2.IMREAD_UNCHANGED).tobytes()
        return row.patient_id, row.series_uid, row.malignancy_ratings, row.readers, pixels

    wanted = [r for r in answer.rows if r.patient_id in patients and r.readers >= 3]
    ours = {content(manifest, row): row for row in manifest.rows}
    same = [(row, ours.get(content(answer, row))) for row in wanted]
    differing = {row.patient_id for row, mine in same if mine is None}
    assert len(wanted) == 389
    assert sum(mine is not None for _, mine in same) == 365
    assert differing == {"LIDC-IDRI-0066", "LIDC-IDRI-0788"}
    z_mm = [(row.z_mm, mine.z_mm) for row, mine in same if mine and row.z_mm is not None]
    assert all(abs(theirs - mine) < 0.01 for theirs, mine in z_mm if mine is not None)
