"""Figure 6: what a training wrote, and the paper's numbers only where they may stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.config import load_config, save_config
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.figures.canvas import save_figure
from lungdx_paddle.figures.training_curves import (
    LOSS,
    PAPER,
    TEST,
    draw_curves,
    read_curves,
)
from lungdx_paddle.settings import Config
from lungdx_paddle.training.dashboard import Dashboard, read_scalar
from lungdx_paddle.training.table2 import Table2


def training(folder: Path, config: Config) -> Path:
    """What 20 steps with a row every 10 leave of themselves, on phantom crops."""
    folder.mkdir()
    save_config(config, folder / "config.yaml")
    table = Table2(folder / "table2.csv", ["malignancy", "pathology"])
    with Dashboard(folder / "vdl") as dashboard:
        for step in range(1, 21):
            loss = 3.7 / step
            dashboard.scalars(step, {"loss/total": loss})
            if step % 10 == 0:
                both = {"total": step / 30, "malignancy": step / 20, "pathology": None}
                table.add(step, 1, loss, {"train": both, "test": both})
    (folder / "metrics.json").write_text(json.dumps({"data": "phantom"}))
    return folder


@pytest.fixture
def run(tmp_path: Path, configs: Path) -> Path:
    return training(tmp_path / "run", load_config(configs / "testing.yaml"))


def pretend_real(run: Path, **more: Any) -> None:
    path = run / "metrics.json"
    metrics: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "data": "crops/manifest.csv", **more}))


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_the_curves_are_the_tables_and_the_logs(
    run: Path, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_curves(read_curves(run))
    loss, accuracy = figure.axes
    table = np.genfromtxt(run / "table2.csv", delimiter=",", names=True)
    np.testing.assert_allclose(lines(loss)["ours, training loss"][:, 1], table[LOSS])
    np.testing.assert_allclose(lines(accuracy)["ours, test part"][:, 1], table[TEST])
    each = lines(loss)["ours, every step"]
    np.testing.assert_array_equal(each[:, 0], np.arange(1, 21))
    np.testing.assert_allclose(each[[9, 19], 1], table[LOSS], rtol=1e-4)
    assert "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 20


@pytest.mark.parametrize(
    ("label_set", "tasks"), [("binary", "malignancy, pathology"), ("none", "malignancy")]
)
def test_the_axes_say_of_which_tasks_loss_and_accuracy_are(
    label_set: str, tasks: str, tmp_path: Path, configs: Path
) -> None:
    config = load_config(configs / "testing.yaml", [f"data.label_set={label_set}"])
    loss, accuracy = draw_curves(read_curves(training(tmp_path / "run", config))).axes
    assert loss.get_ylabel() == f"loss of the step: {tasks}, L2"
    assert accuracy.get_ylabel() == f"accuracy: {tasks}"


def test_the_losses_of_the_axis_are_written_in_one_style(
    run: Path, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_curves(read_curves(run))
    shown(figure)
    ticks = {text.get_text() for text in figure.axes[0].yaxis.get_ticklabels(which="both")}
    assert {"1", "2", "0.3"} <= ticks and not any("e" in tick for tick in ticks)


def test_the_paper_does_not_stand_beside_a_phantom(run: Path) -> None:
    figure = draw_curves(read_curves(run))
    assert not any(name.startswith("paper") for axes in figure.axes for name in lines(axes))
    assert all("PHANTOM data" in axes.get_title() for axes in figure.axes)


def test_the_paper_stands_beside_real_crops_of_its_classes(run: Path) -> None:
    pretend_real(run)
    loss, accuracy = draw_curves(read_curves(run)).axes
    assert lines(loss)["paper, training loss"][-1].tolist() == [1400, 0.9944974]
    assert lines(accuracy)["paper, test part"][-1].tolist() == [1400, 0.5614935]
    assert "split by image, seed 0" in loss.get_title() and "PHANTOM" not in loss.get_title()


def test_the_paper_does_not_stand_beside_other_classes(tmp_path: Path, configs: Path) -> None:
    config = load_config(configs / "testing.yaml", ["data.label_set=binary"])
    run = training(tmp_path / "binary", config)
    pretend_real(run)
    assert not read_curves(run).comparable


def test_the_papers_table_is_whole() -> None:
    assert {name: len(column) for name, column in PAPER.items()} == dict.fromkeys(PAPER, 14)


def test_an_unfinished_training_without_a_log_is_drawn_and_says_so(run: Path) -> None:
    (run / "metrics.json").unlink()
    for log in (run / "vdl").iterdir():
        log.unlink()
    loss, _ = draw_curves(read_curves(run)).axes
    assert list(lines(loss)) == ["ours, training loss"]
    assert "(not finished)" in loss.get_title()


def test_a_log_that_nothing_here_can_read_is_left_out(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VisualDL comes with the extras that train."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert len(read_curves(run).each_step[0]) == 0


def test_the_curves_are_saved_for_those_without_a_dashboard(run: Path) -> None:
    path = save_figure(draw_curves(read_curves(run)), run / "curves.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_the_axis_of_the_loss_has_plain_numbers(
    run: Path, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_curves(read_curves(run))
    shown(figure)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels(which="both")]
    assert "1" in labels and not any("$" in label for label in labels)


def test_each_training_has_its_row(run: Path) -> None:
    assert len(draw_curves(read_curves(run), read_curves(run)).axes) == 4


def test_a_folder_without_a_row_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a row in its table2.csv, found none"):
        read_curves(tmp_path)


def test_a_tag_that_was_not_logged_has_no_values(run: Path) -> None:
    steps, values = read_scalar(run / "vdl", "no such tag")
    assert steps.shape == values.shape == (0,)
