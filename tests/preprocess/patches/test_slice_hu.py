"""Crops of the set are in HU, each picture by its own line of the table, or are left out."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.data.images import read_crop
from lungdx_paddle.lidc import find_annotations
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import CROP_RULES, Manifest, ManifestRow, read_manifest
from lungdx_paddle.preprocess.crop import make_crop
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.patches.patch_crops import crop_patient
from lungdx_paddle.preprocess.patches.patch_files import find_pictures
from lungdx_paddle.preprocess.patches.slice_hu import PictureHU, known_hu
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.report import Report
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

Known = dict[str, dict[int, PictureHU]]


@pytest.mark.parametrize("rule", CROP_RULES)
@pytest.mark.parametrize("window", [(20.0, 2040.0), (-600.0, 1500.0)])
def test_gray_values_become_hu_before_a_crop_is_cut(
    pictures: Path, xml: Path, made: Any, rule: str, window: tuple[float, float]
) -> None:
    folders, _ = find_pictures(pictures)
    for folder in folders:
        folder.hu = dict.fromkeys(range(9), PictureHU(-500, 775, "neighbour", 2))
    annotations = list(find_annotations(xml)[0].values())
    found = crop_patient(made.ONE, folders, annotations, CropSettings(rule, window))
    crop = found.crops[annotations[0].series_uid, 0, f"{annotations[0].series_uid}.4"]
    area = np.zeros((128, 128), bool)
    area[59:69, 49:60] = True  # what two of the three readers of slice 4 enclosed
    hu = 5.0 * made.gray_at((250, 290), 4) - 500
    gray = np.clip(np.floor(255 * (hu - window[0] + window[1] / 2) / window[1] + 0.5), 0, 255)
    expected, scale = make_crop(gray.astype(np.uint8), area, crop.nodule.spacing_yx_mm, rule)
    assert np.array_equal(crop.image, expected)
    assert (crop.scale, crop.hu_from, crop.hops) == (scale, "neighbour", 2)


def test_pictures_without_sure_hu_are_left_out_and_counted_with_the_reason(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    known: Known,
    tmp_path: Path,
    made: Any,
) -> None:
    near, far = (PictureHU(-1000, 1040, "neighbour", hops) for hops in (3, 4))
    known[f"{made.ONE}/nodule-1"] |= {0: near, 1: far}
    del known[f"{made.ONE}/nodule-1"][2]
    gray = np.clip(made.gray_at((60, 70), 7), 40, 200)  # another picture than the published one
    (pictures / made.ONE / "nodule-0" / "images" / "slice-0.png").write_bytes(made.png(gray))
    report = run()
    assert [(r.nodule, r.hu_from, r.extra["hops"], r.gray) for r in rows()] == [
        (0, "neighbour", "3", "20/2040 HU"),
        (1, "exact-voi", "0", "20/2040 HU"),
    ]
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert written["hu_from"] == {"exact-voi": 1, "neighbour": 1}
    assert written["left_out_by_reason"] == {
        "it does not reach from black to white like the picture whose HU are known": 1,
        "its HU come from more than 3 slices away": 1,
        "its HU are not known": 1,
    }
    lines = report_lines(report)
    assert "crops by where their HU come from: exact-voi 1, neighbour 1" in lines
    folder = f"{made.ONE}/nodule-1"
    assert f"left out: 1, its HU come from more than 3 slices away: {folder}/slice-1" in lines
    assert f"left out: 1, its HU are not known: {folder}/slice-2" in lines


def test_stretched_crops_say_that_they_are_no_hu(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    known: Known,
    tmp_path: Path,
    state: Callable[[Path], dict[str, bytes]],
) -> None:
    run()
    in_hu = state(tmp_path / "out")
    known.clear()
    report = run(crops=CropSettings(window=None))
    stretched = state(tmp_path / "out")
    assert {row.gray for row in rows()} == {row.hu_from for row in rows()} == {"stretched"}
    assert {row.window for row in rows()} == {(20.0, 2040.0)}
    assert not any(row.extra for row in rows())
    assert in_hu.pop("manifest.csv") != stretched.pop("manifest.csv")
    assert in_hu == stretched  # HU of the made-up pictures are such that gray values stay
    assert report.window == "stretched" and report.hu_from == {"stretched": 5}
    assert any(line.startswith("5 crops stretched from black to") for line in report_lines(report))


def test_of_two_pictures_of_a_nodule_the_one_nearer_to_real_pixels_counts(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    known: Known,
    made: Any,
) -> None:
    made.write_folder(
        pictures / made.ONE / "nodule-2", made.enclosed(made.NODULE)[::-1], (255, 300), [3, 4, 5]
    )
    for k, own in known[f"{made.ONE}/nodule-1"].items():
        known[f"{made.ONE}/nodule-1"][k] = replace(own, hu_from="neighbour", hops=k)
    known[f"{made.ONE}/nodule-2"] |= dict.fromkeys((0, 1), PictureHU(-1000, 1040, "exact-patch", 1))
    run()
    hu_from = [(r.hu_from, r.extra["hops"]) for r in rows() if r.nodule == 0]
    assert hu_from == [("neighbour", "0"), ("neighbour", "1"), ("exact-voi", "0")]


def test_the_table_has_the_hu_of_black_and_white_of_nearly_all_pictures() -> None:
    assert known_hu()["LIDC-IDRI-0001/nodule-0"][0] == PictureHU(-996, 1121, "exact-voi", 0)
    pictures = [hu for of_folder in known_hu().values() for hu in of_folder.values()]
    assert len(pictures) == 15297
    assert all(hu.brightest - hu.darkest > 500 for hu in pictures)
    assert {hu.hu_from for hu in pictures if hu.hops} == {"neighbour"}


def test_no_hu_come_from_a_neighbour_that_may_be_of_another_scan() -> None:
    """Of a patient with two series one folder holds slices of both."""
    series = Counter(facts.patient_id for facts in known_series().values())
    two = {patient for patient, number in series.items() if number > 1}
    folders = [hu for name, hu in known_hu().items() if name.split("/")[0] in two]
    assert len(two) == 8
    assert not any(hu.hops for of_folder in folders for hu in of_folder.values())


def median_differences(one: Manifest, other: Manifest) -> list[float]:
    """Of each crop of the second that the first has too, over its pixels that are not black."""

    def images(of: Manifest) -> dict[tuple[str, int], np.ndarray]:
        return {(r.sop_uid, r.nodule): read_crop(of.folder / r.image).astype(int) for r in of.rows}

    mine, theirs = images(one), images(other)
    return [
        float(np.median(np.abs(mine[key] - image)[(mine[key] > 0) | (image > 0)]))
        for key, image in theirs.items()
        if key in mine
    ]


@pytest.mark.lidc
def test_real_crops_are_those_of_the_dicom(
    sample_hu: tuple[Report, Manifest], lidc_dicom: Path, tmp_path: Path
) -> None:
    (rule,) = sample_hu[1].crop_rules
    preprocess(lidc_dicom, tmp_path, crops=CropSettings(rule))
    dicom = read_manifest(tmp_path)
    differences = median_differences(sample_hu[1], dicom)
    assert len(differences) == 9
    assert max(differences) <= 1
    mine = {row.sop_uid: row for row in sample_hu[1].rows}
    alike = ("series_uid", "nodule", "z_mm", "readers", "malignancy_ratings", "scale", "gray")
    for row in (row for row in dicom.rows if row.sop_uid in mine):
        assert [getattr(mine[row.sop_uid], f) for f in alike] == [getattr(row, f) for f in alike]


@pytest.mark.lidc
def test_the_table_makes_hu_of_stretched_crops_of_a_ct_with_many_nodules(
    lidc_folder: Path, lidc32: Path, real_crops: Path
) -> None:
    """LIDC-IDRI-0012, of which the sample has no picture.  Both crops went through JPG."""
    with zipfile.ZipFile(lidc_folder / "lidc-hu64.zip") as archive:
        index = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode())))
    picture = {r["image"]: (f"{r['patient_id']}/nodule-{r['nodule']}", r["slice"]) for r in index}

    def crops(path: Path) -> dict[tuple[int, float | None], tuple[str, np.ndarray]]:
        rows = [r for r in read_manifest(path).rows if r.patient_id == "LIDC-IDRI-0012"]
        return {(r.nodule, r.z_mm): (r.image, read_crop(path.parent / r.image)) for r in rows}

    dicom, medians = crops(real_crops / "manifest.csv"), []
    for place, (image, gray) in crops(lidc32).items():
        folder, k = picture[image]
        real = dicom[place][1].astype(int)
        for mine in (gray, apply_window(known_hu()[folder][int(k)].of(gray), *DEFAULT_WINDOW)):
            medians.append(np.median(np.abs(mine - real)[(gray > 20) & (real > 20)]))
    stretched, hu = medians[::2], medians[1::2]
    assert len(hu) == 34
    assert (np.median(stretched), max(stretched)) == (14, 38)
    assert (np.median(hu), max(hu)) == (1, 2)
