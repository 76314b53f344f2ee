"""A pixel speaks for an answer if the answer falls where it is covered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.occlusion import MOST_SLICES, explained, occlusion_maps
from lungdx_paddle.preprocess.window import LUNG_HU

BRIGHT = slice(12, 17), slice(9, 14)


class Model:
    """Level 5 as far as the pixels of a square are white, level 1 as far as they are black."""

    tasks = {"malignancy": ["1", "2", "3", "4", "5"], "pathology": ["benign", "malignant"]}
    window = (20.0, 2040.0)

    def __init__(self, crop_rule: str = "paper") -> None:
        self.crop_rule = crop_rule
        self.seen: list[np.ndarray] = []

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(images)
        white = images[(slice(None), *BRIGHT)].mean(axis=(1, 2)) / 255
        levels = np.zeros((len(images), 5))
        levels[:, 0], levels[:, 4] = 1 - white, white
        return {"malignancy": levels, "pathology": np.stack([1 - white, white], axis=1)}


def crop(gray: int = 255) -> np.ndarray:
    image = np.zeros((32, 32), np.uint8)
    image[BRIGHT] = gray
    return image


def test_the_square_that_the_answer_comes_from_stands_out() -> None:
    maps = occlusion_maps(Model(), crop()[np.newaxis], np.ones(1))  # type: ignore[arg-type]
    level, malignant = maps["malignancy"], maps["pathology"]
    assert level.shape == malignant.shape == (32, 32)
    # The patch from (12, 9) covers the square, and with it all four levels.
    assert level.max() == level[BRIGHT].max() > 1 and level.min() == 0
    assert np.allclose(level, 4 * malignant)
    far = np.ones((32, 32), bool)
    far[8:21, 5:18] = False
    assert (level[far] == 0).all() and (level[BRIGHT] > 0.5).all()


def test_what_speaks_against_the_answer_is_below_zero() -> None:
    model = Model("context")  # lung is brighter than the square: covered, the level rises
    found = occlusion_maps(model, crop(0)[np.newaxis], np.ones(1))  # type: ignore[arg-type]
    assert found["malignancy"][BRIGHT].max() < 0
    assert found["pathology"][BRIGHT].min() > 0  # of benign, the likeliest


@pytest.mark.parametrize(("rule", "gray"), [("paper", 0), ("context", (LUNG_HU + 1000) / 8)])
def test_a_patch_shows_what_lies_about_a_nodule(rule: str, gray: float) -> None:
    model = Model(rule)
    occlusion_maps(model, np.full((1, 32, 32), 200, np.uint8), np.ones(1))  # type: ignore[arg-type]
    (seen,) = model.seen
    assert (seen[0] == 200).all() and set(np.unique(seen[1:])) == {round(gray + 0.01), 200}
    assert ((seen[1:] != 200).sum(axis=(1, 2)) == 25).all()
    assert (seen[1:] != 200).any(axis=0).all()  # no pixel is left out


def test_slices_count_as_they_do_for_the_answer() -> None:
    both = np.stack([crop(), crop(0)])
    alone = occlusion_maps(Model(), both[:1], np.ones(1))  # type: ignore[arg-type]
    weighed = occlusion_maps(Model(), both, np.array([0.25, 0.75]))  # type: ignore[arg-type]
    assert np.allclose(weighed["malignancy"], alone["malignancy"] / 4)


def test_a_finding_is_explained_on_its_middle_slices() -> None:
    model: Any = Model()
    images = np.stack([crop(20 * k) for k in range(8)])
    p = {task: found[0] for task, found in model.probabilities(images[:1]).items()}
    finding = explained(model, Finding({}, model.tasks, p, images=images))
    used = model.seen[-1].reshape(-1, MOST_SLICES, 32, 32)[0]
    assert used[:, 12, 9].tolist() == [60, 80, 100]  # of 0 to 140; the picture shows the middle one
    entry = json.loads(json.dumps(finding.to_dict()))
    for task in ("malignancy", "pathology"):
        found = np.array(entry[task]["occlusion"])
        assert finding.occlusion is not None
        assert found.shape == (32, 32) and np.abs(found - finding.occlusion[task]).max() <= 0.0005
    without = Finding({}, model.tasks, None)
    assert explained(model, without) is without
    assert "occlusion" not in Finding({}, model.tasks, p).to_dict()["malignancy"]
