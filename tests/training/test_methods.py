"""Methods compared over seeds and splits: resumable, and with defined numbers throughout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError, ManifestError
from lungdx_paddle.evaluation.comparison import compare_methods
from lungdx_paddle.evaluation.predictions import read_predictions
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.training.methods import Plan, compare, plan_methods, results_of, write_comparison
from lungdx_paddle.training.parallel import jobs

SHORT = ("train.steps=4", "train.log_every=2")


@pytest.fixture
def make_plan(
    write_crops: Callable[..., Path], configs: Path, tmp_path: Path
) -> Callable[..., Plan]:
    """A function of overrides: two methods of the tiny config, that share and that do not."""
    manifest = write_crops()
    for name, sites in (("sharing", "[pool1]"), ("alone", "[]")):
        (tmp_path / f"{name}.yaml").write_text(
            f"_base_: {configs / 'testing.yaml'}\nsharing:\n  sites: {sites}\n"
        )

    def make(*overrides: str, seeds: Any = 2, names: Any = ("sharing", "alone")) -> Plan:
        files = [tmp_path / f"{name}.yaml" for name in names]
        data = f"data.manifest={manifest}"
        own = [*SHORT, data, *overrides]
        dealt = seeds if isinstance(seeds, tuple) else (seeds, seeds)
        return plan_methods(files, own, dealt, ("image", "patient"), tmp_path / "out")

    return make


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which runs were trained, in order; in this process."""
    runs: list[str] = []
    original = jobs.train_quietly

    def counted(config: Any, **how: Any) -> Any:
        runs.append(config.output)
        return original(config, **how)

    monkeypatch.setattr(jobs, "train_quietly", counted)
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    return runs


ONE_BY_ONE = jobs.JobOptions(jobs=1, device="cpu", resume=True)


def run(plan: Plan) -> dict[str, Any]:
    """Train what is missing, write the comparison, and read it."""
    runs = compare(plan, ONE_BY_ONE)
    write_comparison(plan.out / "figure7.json", compare_methods(results_of(runs)), runs)
    found: dict[str, Any] = json.loads((plan.out / "figure7.json").read_text())
    return found


def test_every_method_split_and_seed_is_trained_once(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan()
    run(plan)
    assert len(trained) == 8
    first = (plan.out / "figure7.json").read_bytes()
    run(plan)
    assert len(trained) == 8
    lost = plan.out / "runs" / "patient" / "alone" / "seed1"
    (lost / "metrics.json").unlink()
    run(plan)
    assert trained[8:] == [str(lost)]
    assert (plan.out / "figure7.json").read_bytes() == first


def test_the_result_has_every_method_measure_and_training(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan()
    found = run(plan)
    measures = {tuple(row["measure"].values()) for row in found["scores"]}
    assert measures >= {
        ("both", "accuracy", "image"),
        ("malignancy", "quadratic_kappa", "nodule"),
        ("pathology", "balanced_accuracy", "patient"),
    }
    assert len(found["scores"]) == 2 * len(found["differences"]) == 4 * len(measures)
    (row,) = (
        row
        for row in found["scores"]
        if (row["split"], row["method"], *row["measure"].values())
        == ("image", "alone", "malignancy", "accuracy", "image")
    )
    for k, value in enumerate(row["trainings"]):
        own = read_predictions(plan.out / f"runs/image/alone/seed{k}/predictions.csv")
        known = own.labels["malignancy"] >= 0
        right = own.classes["malignancy"] == own.labels["malignancy"]
        assert value == pytest.approx(right[known].mean())
    assert (found["data"], found["note"]) == ("phantom", RESEARCH_USE)
    assert {(t["split"], t["method"], t["seed"], t["split_seed"]) for t in found["trainings"]} == {
        (split, method, k, k)
        for split in ("image", "patient")
        for method in ("sharing", "alone")
        for k in range(2)
    }
    digests = [training["digests"] for training in found["trainings"]]
    assert len({d["data"] for d in digests}) == 1
    assert len({d["config"] for d in digests}) == len({d["weights"] for d in digests}) == 8


def test_identical_methods_do_not_differ(
    make_plan: Callable[..., Plan], trained: list[str], tmp_path: Path
) -> None:
    (tmp_path / "twin.yaml").write_text((tmp_path / "alone.yaml").read_text())
    for row in run(make_plan(names=("alone", "twin")))["differences"]:
        if row["estimate"]["value"] is not None and row["p"] is not None:
            assert (row["estimate"]["value"], row["p"], row["p_holm"]) == (0, 1, 1)
            assert row["equivalent"] and not row["differs"]


def test_trainings_are_dealt_to_the_splits_evenly_from_the_methods_own_seeds_on(
    make_plan: Callable[..., Plan],
) -> None:
    plan = make_plan("seed=7", "data.split_seed=3", seeds=(4, 2))
    alone = [c for c in plan.configs() if (c.name, c.data.split) == ("alone", "image")]
    assert [(c.seed, c.data.split_seed) for c in alone] == [(7, 3), (8, 4), (9, 3), (10, 4)]
    assert len({c.output for c in plan.configs()}) == len(list(plan.configs())) == 16
    with pytest.raises(ConfigError, match="--split-seeds: expected a divisor of the 4 seeds"):
        make_plan(seeds=(4, 3))


def test_methods_of_one_task_are_no_different_methods(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError, match=r"two tasks: .* one network \(sharing, alone\); compare"):
        make_plan("data.label_set=none")


def test_a_folder_with_another_run_is_refused(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    run(make_plan(seeds=1))
    with pytest.raises(ConfigError, match="the same settings, found train.steps is"):
        run(make_plan("train.steps=6", seeds=1))


def test_a_run_without_its_predictions_is_not_finished_and_they_are_made_again(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan(seeds=1)
    run(plan)
    folder = plan.out / "runs" / "image" / "alone" / "seed0"
    before = (folder / "predictions.csv").read_bytes()
    (folder / "predictions.csv").unlink()
    run(plan)
    assert trained[-1] == str(folder) and (folder / "predictions.csv").read_bytes() == before


@pytest.mark.parametrize(
    "names, seeds", [(("alone",), 2), (("alone", "alone"), 2), (("alone", "sharing"), 0)]
)
def test_nothing_to_compare_is_one_clear_line(
    make_plan: Callable[..., Plan], names: Any, seeds: int
) -> None:
    with pytest.raises(ConfigError, match="expected two configs or more, of different names"):
        make_plan(seeds=seeds, names=names)


def test_a_run_keeps_its_predictions(make_plan: Callable[..., Plan], trained: list[str]) -> None:
    plan = make_plan(seeds=1)
    run(plan)
    config = next(plan.configs())
    predictions = read_predictions(config.output_folder / "predictions.csv")
    assert load_config(config.output_folder / "config.yaml") == config
    assert predictions.probabilities["malignancy"].shape == (len(predictions.rows), 5)
    assert predictions.probabilities["malignancy"].sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_finished_runs_on_other_crops_are_refused(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan(seeds=1)
    run(plan)
    manifest = next(iter(plan.methods.values())).data.manifest
    rows = read_manifest(manifest).rows
    write_manifest(manifest, [row for row in rows if row.patient_id != "P05"])
    with pytest.raises(ManifestError, match="crops that the run was started with.*missing"):
        run(plan)
