"""Methods compared over seeds and splits: resumable, and with defined numbers throughout."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError, ManifestError
from lungdx_paddle.evaluation.comparison import compare_methods
from lungdx_paddle.evaluation.predictions import read_predictions
from lungdx_paddle.figures.method_bars import write_comparison
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.training.methods import Plan, compare, plan_methods
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

    def make(*overrides: str, seeds: int = 2, names: Any = ("sharing", "alone")) -> Plan:
        files = [tmp_path / f"{name}.yaml" for name in names]
        data = f"data.manifest={manifest}"
        own = [*SHORT, data, *overrides]
        return plan_methods(files, own, seeds, ("image", "patient"), tmp_path / "out")

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


def run_and_draw(plan: Plan) -> None:
    """Train what is missing and write Figure 7."""
    results = compare(plan, ONE_BY_ONE)
    write_comparison(plan.out, compare_methods(results), "PHANTOM data")


def table(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_method_split_and_seed_is_trained_once(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan()
    run_and_draw(plan)
    assert len(trained) == 8
    first = (plan.out / "figure7.md").read_bytes()
    run_and_draw(plan)
    assert len(trained) == 8
    lost = plan.out / "runs" / "patient" / "alone" / "seed1"
    (lost / "metrics.json").unlink()
    run_and_draw(plan)
    assert trained[8:] == [str(lost)]
    assert (plan.out / "figure7.md").read_bytes() == first


def test_the_tables_have_every_method_task_and_pair(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan(seeds=1)
    run_and_draw(plan)
    rows = table(plan.out / "figure7.csv")
    assert {(r["split"], r["task"], r["method"]) for r in rows} == {
        (split, task, method)
        for split in ("image", "patient")
        for task in ("both", "malignancy", "pathology")
        for method in ("sharing", "alone")
    }
    numbers = [row[name] for row in rows for name in ("accuracy", "low", "high", "seeds")]
    assert not any("nan" in number for number in numbers)
    image = plan.out / "runs" / "image" / "alone" / "seed0"
    own = read_predictions(image / "predictions.csv")
    known = own.labels["malignancy"] >= 0
    right = own.classes["malignancy"] == own.labels["malignancy"]
    wanted = {"split": "image", "task": "malignancy", "method": "alone"}
    (row,) = (r for r in rows if wanted.items() <= r.items())
    assert float(row["accuracy"]) == pytest.approx(right[known].mean(), abs=1e-4)
    assert len(table(plan.out / "figure7_tests.csv")) == 6
    assert "Research use, not a medical device" in (plan.out / "figure7.md").read_text()
    assert "PHANTOM" in (plan.out / "figure7.md").read_text()
    assert (plan.out / "figure7.png").stat().st_size > 10_000


def test_identical_methods_do_not_differ(
    make_plan: Callable[..., Plan], trained: list[str], tmp_path: Path
) -> None:
    (tmp_path / "twin.yaml").write_text((tmp_path / "alone.yaml").read_text())
    plan = make_plan(names=("alone", "twin"))
    run_and_draw(plan)
    for row in table(plan.out / "figure7_tests.csv"):
        if row["patients"] == "0":  # no patient of the test parts has a pathology label
            assert (row["task"], row["p"], row["p_holm"]) == ("pathology", "", "")
            continue
        assert (row["difference"], row["p"], row["p_holm"]) == ("0.0000", "1.0000", "1.0000")


def test_methods_of_one_task_are_no_different_methods(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError, match=r"two tasks: .* one network \(sharing, alone\); compare"):
        make_plan("data.label_set=none")


def test_a_folder_with_another_run_is_refused(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    run_and_draw(make_plan(seeds=1))
    with pytest.raises(ConfigError, match="the same settings, found train.steps is"):
        run_and_draw(make_plan("train.steps=6", seeds=1))


def test_a_run_without_its_predictions_is_not_finished_and_they_are_made_again(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan(seeds=1)
    run_and_draw(plan)
    run = plan.out / "runs" / "image" / "alone" / "seed0"
    before = (run / "predictions.csv").read_bytes()
    (run / "predictions.csv").unlink()
    run_and_draw(plan)
    assert trained[-1] == str(run) and (run / "predictions.csv").read_bytes() == before


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
    run_and_draw(plan)
    *_, config = next(plan.runs())
    predictions = read_predictions(config.output_folder / "predictions.csv")
    assert load_config(config.output_folder / "config.yaml") == config
    assert predictions.probabilities["malignancy"].shape == (len(predictions.rows), 5)
    assert predictions.probabilities["malignancy"].sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_finished_runs_on_other_crops_are_refused(
    make_plan: Callable[..., Plan], trained: list[str]
) -> None:
    plan = make_plan(seeds=1)
    run_and_draw(plan)
    manifest = next(iter(plan.methods.values())).data.manifest
    rows = read_manifest(manifest).rows
    write_manifest(manifest, [row for row in rows if row.patient_id != "P05"])
    with pytest.raises(ManifestError, match="crops that the run was started with.*missing"):
        run_and_draw(plan)
