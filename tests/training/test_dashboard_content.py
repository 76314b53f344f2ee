"""The dashboard shows pictures, curves, sharing units, settings and features, as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from visualdl import LogReader

from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.predictions import outputs, predict
from lungdx_paddle.evaluation.ranking import threshold_counts
from lungdx_paddle.evaluation.readers import binary_rankings
from lungdx_paddle.figures.dashboard_pictures import dashboard_pictures
from lungdx_paddle.manifest import Manifest
from lungdx_paddle.models.network import TwoTaskNetwork, build_network
from lungdx_paddle.settings import Config
from lungdx_paddle.training import dashboard_content, trainer
from lungdx_paddle.training.dashboard import CURVE_POINTS, LOG_NAME, NARROWEST, Dashboard
from lungdx_paddle.training.dashboard_content import show_features, show_row, show_settings
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.split_record import TEST
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]
Until = Callable[[Config, int], None]
MALIGNANT = "malignancy: above 3.5 against below 2.5"


class Log:
    """What VisualDL's own reader finds in a run's log."""

    def __init__(self, folder: Path) -> None:
        self.reader = LogReader(file_path=str(folder / "vdl" / LOG_NAME))

    def tags(self, kind: str) -> list[str]:
        return sorted(self.reader.get_tags().get(kind, []))

    def records(self, kind: str, tag: str) -> list[Any]:
        return list(self.reader.get_data(kind, tag))

    def every_record(self) -> Counter:
        """How often there is a (kind, tag, step); VisualDL's own first record is left out."""
        kinds = set(self.reader.get_tags()) - {"meta_data"}
        found = ((k, t, r.id) for k in kinds for t in self.tags(k) for r in self.records(k, t))
        return Counter(found)


def curve(record: Any) -> dict[str, np.ndarray]:
    found = record.pr_curve if record.WhichOneof("one_value") == "pr_curve" else record.roc_curve
    return {field.name: np.array(list(values)) for field, values in found.ListFields()}


@pytest.fixture
def shown(make_config: Make) -> tuple[Config, Log]:
    """A training of 20 steps with two rows, and its log."""
    config = make_config("run")
    train(config, "cpu", pictures=dashboard_pictures)
    return config, Log(config.output_folder)


def held_out(config: Config) -> NoduleDataset:
    record = load_run(config.output_folder).record
    dataset = load_dataset(config.data)
    return dataset.subset(
        [i for i, part in zip(record.find(dataset), record.parts) if part == TEST]
    )


@pytest.fixture
def setting(make_config: Make, tmp_path: Path) -> tuple[Config, TwoTaskNetwork, NoduleDataset]:
    config = make_config("by_hand")
    network = build_network(config)
    return config, network, load_dataset(config.data)


def written(setting: tuple[Config, TwoTaskNetwork, NoduleDataset], test: NoduleDataset) -> Log:
    config, network, _ = setting
    predictions = predict(network, test)
    with Dashboard(config.output_folder / "vdl") as dashboard:
        show_settings(dashboard, config, test)
        show_row(dashboard, 5, network, {}, predictions)
        for tag, image in dashboard_pictures(predictions, 5).items():
            dashboard.picture(5, tag, image)
        show_features(dashboard, network, test)
    return Log(config.output_folder)


def relabelled(dataset: NoduleDataset, **changes: Any) -> NoduleDataset:
    rows = tuple(replace(row, **changes) for row in dataset.manifest.rows)
    return NoduleDataset(Manifest(dataset.manifest.folder, rows), LABEL_SETS["paper6"])


def test_a_training_shows_every_kind_at_every_row(shown: tuple[Config, Log]) -> None:
    _, log = shown
    assert log.tags("image") == ["confusion/malignancy", "confusion/pathology", "crops/test"]
    assert f"pr/{MALIGNANT}" in log.tags("pr_curve")
    assert f"roc/{MALIGNANT}" in log.tags("roc_curve")
    assert "roc/pathology: lung cancer" in log.tags("roc_curve")
    assert log.tags("embeddings") == ["fc/malignancy", "fc/pathology"]
    assert log.tags("hyper_parameters") == ["hparam"]
    for kind in ("image", "pr_curve", "roc_curve", "histogram"):
        for tag in log.tags(kind):
            assert [record.id for record in log.records(kind, tag)] == [10, 20], tag


def test_the_pictures_can_be_looked_at(shown: tuple[Config, Log]) -> None:
    _, log = shown
    for tag in log.tags("image"):
        png = np.frombuffer(log.records("image", tag)[-1].image.encoded_image_string, np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert min(picture.shape[:2]) > 200
        assert picture.max() == 255 and picture.min() < 50


def test_the_curves_are_those_of_the_network(shown: tuple[Config, Log]) -> None:
    """The log's points against scikit-learn on the test part, predicted again."""
    config, log = shown
    network = load_run(config.output_folder).network()
    for question, (yes, score) in binary_rankings(predict(network, held_out(config))).items():
        points = curve(log.records("roc_curve", f"roc/{question}")[-1])
        area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
        expected = roc_auc_score(yes, score)
        assert area(points["tpr"][::-1], points["fpr"][::-1]) == pytest.approx(expected)
        scalar = log.records("scalar", f"auc_test/{question}")[-1]
        assert (scalar.id, scalar.value) == (20, pytest.approx(expected))
        points = curve(log.records("pr_curve", f"pr/{question}")[-1])
        assert points["TP"][0] == yes.sum() and points["FP"][0] == (~yes).sum()  # all are called
        assert points["TP"][-1] == points["FP"][-1] == 0 and points["precision"][-1] == 1.0
        for place, threshold in enumerate(np.unique(score)):
            called = score >= threshold
            assert points["precision"][place] == pytest.approx(precision_score(yes, called))
            assert points["recall"][place] == pytest.approx(recall_score(yes, called))
            assert points["TP"][place] + points["FN"][place] == yes.sum()
            assert points["FP"][place] + points["TN"][place] == (~yes).sum()


def test_a_curve_of_many_has_few_points_and_the_same_ends(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    yes, score = random.random(5000) < 0.3, random.random(5000)
    with Dashboard(tmp_path / "vdl") as dashboard:
        dashboard.curves(1, "q", threshold_counts(yes, score))
    points = curve(Log(tmp_path).records("roc_curve", "roc/q")[0])
    assert len(points["tpr"]) == CURVE_POINTS
    assert (points["fpr"][0], points["tpr"][0]) == (1.0, 1.0)
    assert (points["fpr"][-1], points["tpr"][-1]) == (0.0, 0.0)


def test_histograms_hold_each_sites_shares_and_weights(shown: tuple[Config, Log]) -> None:
    config, log = shown
    network = load_run(config.output_folder).network()
    assert len(log.tags("histogram")) == 3 * (2 + 4)  # sites; tasks, own and cross of both
    for site, shares in network.output_shares().items():
        for task, values in shares.items():
            check_histogram(log, f"shares_{task}/{site}", values)
            mean = log.records("scalar", f"share_{task}/{site}")[-1].value
            assert mean == pytest.approx(values.mean(), abs=1e-6)
        cross = network.units[site].cross_a.numpy()
        check_histogram(log, f"weights_cross_a/{site}", cross.ravel())


def check_histogram(log: Log, tag: str, values: np.ndarray) -> None:
    histogram = log.records("histogram", tag)[-1].histogram
    edges = np.array(list(histogram.bin_edges))
    assert sum(histogram.hist) == len(values)
    assert edges[0] <= values.min() and values.max() <= edges[-1]
    assert edges[-1] - edges[0] == pytest.approx(max(np.ptp(values), NARROWEST), rel=1e-4)


@pytest.mark.parametrize("sites", ["[]", "[trunk]"])
def test_a_network_without_sharing_units_has_no_histogram(make_config: Make, sites: str) -> None:
    config = make_config("run", f"sharing.sites={sites}")
    train(config, "cpu")
    assert Log(config.output_folder).tags("histogram") == []


def test_a_matrix_with_too_many_weights_shows_its_shares_alone(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, dataset = setting
    network = build_network(replace(config, sharing=replace(config.sharing, unit="dense")))
    monkeypatch.setattr(dashboard_content, "MOST_WEIGHTS", 200)
    log = written((config, network, dataset), dataset)
    with_weights = {tag.split("/")[1] for tag in log.tags("histogram") if "weights" in tag}
    assert with_weights == {"fc"}  # 10 x 10; pool2 has 384 x 384
    assert "shares_malignancy/pool2" in log.tags("histogram")


def test_the_settings_stand_beside_the_last_accuracies(shown: tuple[Config, Log]) -> None:
    config, log = shown
    (record,) = log.records("hyper_parameters", "hparam")
    values = {
        info.name: getattr(info, info.WhichOneof("type")) for info in record.hparam.hparamInfos
    }
    assert values["sharing/sites"] == "pool1, pool2, fc"
    assert values["train/learning_rate"] == pytest.approx(config.train.learning_rate)
    assert (values["config"], values["seed"], values["data/batch_size"]) == ("testing", 0, 16)
    assert not any("." in name for name in values)  # VisualDL's table would show an empty cell
    metrics = [info.name for info in record.hparam.metricInfos]
    assert metrics == [f"accuracy_test/{task}" for task in ("total", "malignancy", "pathology")]
    assert set(metrics) <= set(log.tags("scalar"))


def test_the_embeddings_are_the_features_of_the_test_crops(shown: tuple[Config, Log]) -> None:
    config, log = shown
    network = load_run(config.output_folder).network()
    test = held_out(config)
    for task, expected in outputs(network, network.features, test).items():
        (record,) = log.records("embeddings", f"fc/{task}")
        points = record.embeddings.embeddings
        found = np.array([list(point.vectors) for point in points])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert list(record.embeddings.label_meta) == ["malignancy", "pathology", "nodule", "image"]
        assert [p.label[0] for p in points] == [str(k + 1) for k in test.labels["malignancy"]]
        assert {p.label[1] for p in points} >= {"no label", "lung cancer"}
        assert [p.label[3] for p in points] == [row.image for row in test.manifest.rows]


def test_only_so_many_points_are_embedded(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, network, dataset = setting
    monkeypatch.setattr(dashboard_content, "MOST_POINTS", 7)
    log = written(setting, dataset)
    assert len(log.records("embeddings", "fc/pathology")[0].embeddings.embeddings) == 7


def test_a_task_without_labels_has_nothing_to_show(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset],
) -> None:
    _, network, dataset = setting
    unlabelled = relabelled(dataset, diagnosis=None, malignancy_ratings=())
    log = written(setting, unlabelled)
    assert log.tags("image") == ["crops/test"]
    assert log.tags("pr_curve") == log.tags("roc_curve") == []
    assert not any(tag.startswith("auc_test") for tag in log.tags("scalar"))
    (record,) = log.records("hyper_parameters", "hparam")
    assert list(record.hparam.metricInfos) == []


def test_one_class_alone_has_no_curve(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset],
) -> None:
    _, network, dataset = setting
    alone = relabelled(dataset, diagnosis=1, primary_site="", malignancy_ratings=(5, 5, 4))
    log = written(setting, alone)
    assert log.tags("pr_curve") == log.tags("roc_curve") == []
    assert log.tags("image") == ["confusion/malignancy", "confusion/pathology", "crops/test"]


def test_outputs_that_are_not_numbers_are_not_shown(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset],
) -> None:
    _, network, dataset = setting
    network.heads["pathology"].bias.set_value(paddle.full([6], float("nan")))
    network.towers["malignancy"].bn3.bias.set_value(paddle.full([10], float("nan")))
    log = written(setting, dataset)
    shown = set(log.reader.get_tags())
    assert shown <= {"meta_data", "embeddings", "hyper_parameters", "scalar"}


def test_showing_draws_nothing_at_random_and_leaves_the_network_alone(
    setting: tuple[Config, TwoTaskNetwork, NoduleDataset],
) -> None:
    _, network, dataset = setting
    network.train()
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    paddle.seed(3)
    expected = paddle.rand([4]).numpy()
    paddle.seed(3)
    of_numpy = np.random.get_state()[1].copy()
    written(setting, dataset)
    np.testing.assert_array_equal(paddle.rand([4]).numpy(), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)
    assert network.training
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_a_resumed_run_shows_what_an_unbroken_one_shows(
    make_config: Make, train_until: Until
) -> None:
    whole, broken = (make_config(folder, "train.steps=30") for folder in ("whole", "broken"))
    train(whole, "cpu")
    train_until(broken, 25)
    train(broken, "cpu", resume=True)
    logs = [Log(config.output_folder) for config in (whole, broken)]
    assert logs[0].every_record() == logs[1].every_record()
    for record, other in zip(*(log.records("roc_curve", f"roc/{MALIGNANT}") for log in logs)):
        assert curve(record)["tpr"].tolist() == curve(other)["tpr"].tolist()


def test_a_longer_run_shows_its_own_settings_and_last_features(make_config: Make) -> None:
    """They have no step, and the server shows the first: the shorter run's must go."""
    train(make_config("run"), "cpu")
    longer = make_config("run", "train.steps=30")
    train(longer, "cpu", resume=True)
    log = Log(longer.output_folder)
    (record,) = log.records("hyper_parameters", "hparam")
    assert {i.name: i.int_value for i in record.hparam.hparamInfos}["train/steps"] == 30
    (record,) = log.records("embeddings", "fc/pathology")
    network = load_run(longer.output_folder).network()
    expected = outputs(network, network.features, held_out(longer))["pathology"]
    found = [list(point.vectors) for point in record.embeddings.embeddings]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_environment_is_shown_beside_the_papers_table_1(shown: tuple[Config, Log]) -> None:
    config, log = shown
    (record,) = log.records("text", "environment/paddle")
    assert record.text.encoded_text_string.endswith("(the paper's Table 1: 1.8)")
    (record,) = log.records("text", "environment/processor")
    processor = load_run(config.output_folder).environment.processor
    assert record.text.encoded_text_string.startswith(processor)


def test_a_finished_run_resumed_keeps_its_settings_and_environment(make_config: Make) -> None:
    config = make_config("run")
    train(config, "cpu")
    before = Log(config.output_folder).every_record()
    train(config, "cpu", resume=True)
    assert Log(config.output_folder).every_record() == before


def test_a_run_killed_after_its_last_checkpoint_is_completed(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    whole, broken = make_config("whole"), make_config("broken")
    train(whole, "cpu")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "show_features", killed)
        train(broken, "cpu")
    assert not load_run(broken.output_folder).is_finished
    train(broken, "cpu", resume=True)
    assert load_run(broken.output_folder).is_finished
    logs = [Log(config.output_folder).every_record() for config in (whole, broken)]
    assert logs[0] == logs[1]
