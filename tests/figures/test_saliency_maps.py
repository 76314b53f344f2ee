"""A saliency picture has a column a crop, with what is said of it above each map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lungdx_paddle.figures.saliency_maps import draw_saliency

TASKS = ("malignancy", "pathology")


@pytest.mark.parametrize("count", [1, 5])
def test_the_picture_has_a_column_a_crop(count: int, shown: Callable[..., np.ndarray]) -> None:
    random = np.random.default_rng(0)
    images = np.zeros((count, 32, 32), np.uint8)
    images[:, 10:22, 8:24] = random.integers(40, 250, (count, 12, 16))
    images[-1] = 0  # nothing to outline
    maps = {task: random.normal(size=images.shape) for task in TASKS}
    captions = {name: [f"{name} {i}" for i in range(count)] for name in ("image", *TASKS)}
    figure = draw_saliency(images, maps, captions, "made up")
    titles = [axes.get_title() for axes in figure.axes]
    assert sum(title.startswith("image") for title in titles) == count
    assert "pathology 0" in titles and "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50
