"""Figure 2's crops are chosen by their size alone, a nodule once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.figures.level_examples import diameters_mm, draw_levels, examples_by_level
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from lungdx_paddle.settings import DataConfig


@pytest.fixture
def sized(write_crops: Callable[..., Path]) -> NoduleDataset:
    """Eleven nodules of level 5, the k-th with squares of 1 to 2 (k + 1) pixels' side."""
    manifest = read_manifest(write_crops(patients=11, nodules=1, slices=2))
    rows = []
    for i, row in enumerate(manifest.rows):
        side = 2 * (i // 2 + 1) if i % 2 else 1
        image = np.zeros((32, 32), np.uint8)
        image[4 : 4 + side, 4 : 4 + side] = 200
        path = (manifest.folder / row.image).with_suffix(".png")
        cv2.imwrite(str(path), image)
        png = row.image.replace(".jpg", ".png")
        rows.append(replace(row, image=png, malignancy_ratings=(5,), pixel_spacing_mm=0.5))
    write_manifest(manifest.folder / "manifest.csv", rows)
    return NoduleDataset(read_manifest(manifest.folder), LABEL_SETS["paper6"])


def test_the_diameter_is_that_of_a_disc_of_the_nodules_area(sized: NoduleDataset) -> None:
    area_mm2 = (2 * 5) ** 2 * 0.5**2
    assert diameters_mm(sized)[9] == pytest.approx(2 * np.sqrt(area_mm2 / np.pi))


def test_a_shrunk_nodule_counts_in_its_true_size(sized: NoduleDataset) -> None:
    whole = diameters_mm(sized)
    rows = tuple(replace(row, scale=0.5) for row in sized.manifest.rows)
    shrunk = sized.subset(range(len(sized)))
    shrunk.manifest = Manifest(sized.manifest.folder, rows)
    np.testing.assert_allclose(diameters_mm(shrunk), 2 * whole)


@pytest.mark.parametrize(
    ("count", "nodules"), [(1, [5]), (2, [2, 8]), (11, list(range(11))), (50, list(range(11)))]
)
def test_the_middles_of_equal_parts_by_size(
    sized: NoduleDataset, count: int, nodules: list
) -> None:
    chosen = examples_by_level(sized, count)
    assert chosen["5"] == [2 * nodule + 1 for nodule in nodules]  # the wider slice of each
    assert all(chosen[level] == [] for level in "1234")


def test_every_level_gives_its_own(write_crops: Callable[..., Path]) -> None:
    dataset = load_dataset(DataConfig(manifest=str(write_crops()), min_readers=1))
    chosen = examples_by_level(dataset, 3)
    for label, indices in enumerate(chosen.values()):
        assert len(indices) in (2, 3)
        assert all(dataset.labels[MALIGNANCY][i] == label for i in indices)
        assert len({dataset.manifest.rows[i].nodule_key for i in indices}) == len(indices)


def without_ratings(row: ManifestRow) -> ManifestRow:
    return replace(row, malignancy_ratings=())


def test_without_any_rating_there_is_nothing_to_choose(sized: NoduleDataset) -> None:
    rows = [without_ratings(row) for row in sized.manifest.rows]
    write_manifest(sized.manifest.folder / "manifest.csv", rows)
    bare = NoduleDataset(read_manifest(sized.manifest.folder), LABEL_SETS["paper6"])
    with pytest.raises(ManifestError, match="expected crops with malignancy ratings, found none"):
        draw_levels(bare)


def test_the_picture_has_a_row_a_level_and_leaves_gaps_open(
    sized: NoduleDataset, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_levels(sized, count=4)
    pictures: dict[str, int] = {}
    for i, axes in enumerate(figure.axes):
        pictures[str(1 + i // 4)] = pictures.get(str(1 + i // 4), 0) + len(axes.get_images())
    assert pictures == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 4}
    assert figure.axes[16].get_ylabel() == "level 5\n11 nodules"
    assert figure.axes[0].get_ylabel() == "level 1\n0 nodules"
    assert not any(spine.get_visible() for spine in figure.axes[0].spines.values())
    assert figure.axes[16].spines["left"].get_visible()
    assert figure.axes[16].get_title().startswith("P01: ")
    assert "mm" in figure.axes[16].get_title()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 20
