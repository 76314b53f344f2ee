"""Figure 5 is drawn from the config: what the network has, the picture shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.figures.network_diagram import CROSS, draw_network, unit_weights
from lungdx_paddle.models.sharing import UNITS
from lungdx_paddle.models.tower import stage_shapes
from lungdx_paddle.settings import STAGES, TRUNK


def words(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def crosses(axes: Any) -> int:
    """Arrows from one tower to the other."""
    arrows = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None)]
    colour = np.array([1.0, 127 / 255, 14 / 255])  # tab:orange
    assert CROSS == "tab:orange"
    return sum(np.allclose(arrow.get_facecolor()[:3], colour) for arrow in arrows)


@pytest.mark.parametrize(
    "name", ["single_task", "hard", "soft", "partial_soft", "partial_soft_dense", "testing"]
)
def test_a_config_gives_its_stages_units_and_heads(configs: Path, name: str) -> None:
    config = load_config(configs / f"{name}.yaml")
    (axes,) = draw_network(config).axes
    text, sites = "\n".join(words(axes)), config.sharing.sites
    towers = 1 if TRUNK in sites else 2
    for stage, shape in stage_shapes(config.model).items():
        label = f"{stage}\n{' x '.join(map(str, shape))}"
        assert text.count(label) == towers, label
    shared = [stage for stage in STAGES if stage in sites]
    assert text.count(config.sharing.unit) == len(shared)
    assert crosses(axes) == 2 * len(shared)
    assert "malignancy: 5 levels" in text and "pathology: 6 classes (paper6)" in text
    assert axes.get_title(loc="left").startswith(f"{name}: ")


def test_sizes_and_labels_follow_the_config(configs: Path) -> None:
    changes = ["model.conv2=7", "model.dropout=0.35", "data.label_set=binary", "sharing.sites=[fc]"]
    (axes,) = draw_network(load_config(configs / "testing.yaml", changes)).axes
    text = "\n".join(words(axes))
    assert "7 x 8 x 8" in text and "dropout 0.35" in text and "benign, malignant" in text
    assert crosses(axes) == 2


def test_one_task_is_one_tower_that_shares_nothing(configs: Path) -> None:
    (axes,) = draw_network(load_config(configs / "testing.yaml", ["data.label_set=none"])).axes
    text = "\n".join(words(axes))
    assert text.count("conv1\n") == 1 and crosses(axes) == 0
    assert "malignancy: 5 levels" in text and "pathology" not in text
    assert axes.get_title(loc="left") == "testing: one trunk for malignancy alone"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("shape", [(3, 4, 4), (10,)])
def test_the_weights_of_a_unit_are_counted_as_they_are(unit: str, shape: tuple) -> None:
    made = UNITS[unit](shape, 0.05)
    assert unit_weights(unit, shape) == sum(int(np.prod(p.shape)) for p in made.parameters())


def test_several_configs_are_panels_and_none_of_their_words_overlap(
    configs: Path, shown: Callable[..., np.ndarray]
) -> None:
    named = [load_config(configs / f"{name}.yaml") for name in ("soft", "hard")]
    named.append(load_config(configs / "partial_soft_dense.yaml"))
    figure = draw_network(*named)
    pixels = shown(figure)
    assert len(figure.axes) == 3 and len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20
    for axes in figure.axes:
        boxes = [t.get_window_extent() for t in axes.texts if t.get_text()]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])
            assert box.x1 < pixels.shape[1] and box.x0 >= 0
