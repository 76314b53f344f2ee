"""Numbers of the docs: recorded by a study with their origin, put into the pages by one command."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import methods
import nested
import predictor
import pytest
import record as records
import table2
import write_docs
from record import Data, Record
from spread import NO_BREAK, over_seeds, shown

from lungdx_paddle.config import load_config, overrides, with_overrides
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.manifest import read_rows
from lungdx_paddle.training import trainer
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import load_run

Page = Callable[[str], tuple[str, list[str]]]


def estimate(value: float, patients: int = 40) -> dict[str, Any]:
    return {"value": value, "interval": [value - 0.1, value + 0.1], "patients": patients}


def plain(text: str) -> str:
    return text.replace(NO_BREAK, " ")


def test_every_number_of_the_docs_is_the_recorded_one() -> None:
    """If this fails: python experiments/write_docs.py."""
    assert [mark for page in write_docs.pages() for mark in write_docs.written(page)[1]] == []


def test_every_record_is_whole_and_its_study_exists() -> None:
    for path in records.NUMBERS.glob("*.json"):
        if path.stem in (write_docs.ALL_BENCHMARKS, write_docs.SOAK):
            continue
        study = Record.read(path).study
        assert (records.ROOT / "experiments" / f"{study}.py").is_file(), path


@pytest.fixture
def record() -> Record:
    """A record of two seeds whose study is ``made_up``."""
    accuracy = {"value": 0.64, "interval": [0.6, 0.68], "patients": 40}
    seeds = [{"accuracy": accuracy}, {"accuracy": {**accuracy, "value": 0.66}}]
    return Record(
        study="made_up",
        what="A made-up study.",
        trainings=("python tools/train.py -c best -o data.manifest=crops/manifest.csv",),
        command="python experiments/made_up.py --run RUN ...",
        environments=(replace(Environment.current(), commit="0123456789ab", date="2026-11-26"),),
        data=Data("crops/manifest.csv", "lidc", "paper", 6064, 545, ("d2c87e12e3f1879f",)),
        seeds=(0, 1),
        split_seeds=(0,),
        date="2026-11-27T10:00:00+00:00",
        seconds=7200,
        results={"nodule": over_seeds(seeds), "levels": 5},
    )


@pytest.fixture
def page(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A function from a page's text to what is made of it, with the one record ``one``."""
    study: Any = ModuleType("made_up")
    study.levels = lambda results, *options: f"| {results['levels']} {' '.join(options)} |"
    monkeypatch.setitem(sys.modules, "made_up", study)
    record.write(tmp_path / "numbers" / "one.json")

    def made(text: str) -> tuple[str, list[str]]:
        (tmp_path / "page.md").write_text(text, encoding="utf-8")
        return write_docs.written(tmp_path / "page.md", tmp_path / "numbers")

    return made


def test_a_number_in_a_sentence_is_filled_in_and_then_stays(page: Page) -> None:
    mark = "<!-- number: one nodule.accuracy 2 -->"
    text, stale = page(f"It reaches {mark}0.9<!-- end -->, so.\n")
    assert plain(text) == f"It reaches {mark}0.65 ± 0.01 (0.60 to 0.68)<!-- end -->, so.\n"
    assert stale == ["page.md: one nodule.accuracy"]
    assert page(text) == (text, [])


def test_a_table_ends_with_where_it_comes_from(page: Page) -> None:
    text, stale = page("Before.\n\n<!-- numbers: one levels a b --><!-- end -->\n\nAfter.\n")
    assert stale == ["page.md: one levels"]
    assert "\n\n| 5 a b |\n\n<small>[one.json](numbers/one.json): A made-up study. " in text
    (origin,) = re.findall("<small>(.*)</small>", text)
    for part in (
        "`python tools/train.py -c best -o data.manifest=crops/manifest.csv`",
        "`python experiments/made_up.py --run RUN ...`",
        "crops/manifest.csv, 6064 crops of 545 patients, source lidc, rule paper",
        "digest d2c87e12",
        "seeds 0 to 1, of the split 0",
        "commit 0123456789ab",
        "2.0 hours",
        "2026-11-26 to 2026-11-27",
    ):
        assert part in origin
    assert "hantom" not in text
    assert page(text) == (text, [])
    text, _ = page(f"{text}\n<!-- numbers: one levels --><!-- end -->\n")
    _, again = re.findall("<small>(.*)</small>", text)
    assert again == f"[one.json](numbers/one.json): as above; {origin[origin.index('digest') :]}"


def test_what_comes_from_a_phantom_is_called_so(record: Record, page: Page, tmp_path: Path) -> None:
    phantom = replace(record, data=replace(record.data, source="phantom"))
    phantom.write(tmp_path / "numbers" / "one.json")
    text, _ = page(
        "On it <!-- number: one levels --><!-- end -->.\n<!-- numbers: one levels -->\n<!-- end -->"
    )
    assert "-->5 (phantom)<!-- end -->" in text
    assert "**phantom, made by a program: says nothing medical**" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x <!-- number: one levels -->5", "a mark that is not whole"),
        ("x <!-- number: one levels -->5 <!-- number: one levels --> 5 <!-- end -->", "not whole"),
        ("x <!-- number: one -->5<!-- end -->", "a mark that is not whole"),
        ("x <!-- number: two levels -->5<!-- end -->", "two.json: expected a record"),
        ("x <!-- number: one nodule.kappa -->5<!-- end -->", "no 'kappa'; there is accuracy"),
        ("x <!-- number: one levels.more -->5<!-- end -->", "no 'more'; there is nothing below"),
        ("<!-- number: one levels -->5<!-- end --> of them", "a number that begins a line"),
        ("<!-- numbers: one wards -->5<!-- end -->", "has no attribute 'wards'"),
    ],
)
def test_a_mark_that_cannot_be_filled_in_says_why(page: Page, text: str, message: str) -> None:
    with pytest.raises(LungdxError, match=message):
        page(text)


def test_the_check_names_what_differs_and_writes_nothing(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "x <!-- number: one levels -->6<!-- end -->"
    page(text)
    paths = {"pages": lambda: [tmp_path / "page.md"], "NUMBERS": tmp_path / "numbers"}
    for name, value in paths.items():
        monkeypatch.setattr(write_docs, name, value)
    with pytest.raises(SystemExit) as end:
        write_docs.main(["--check"])
    assert end.value.code == 1
    assert "page.md: one levels" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text
    write_docs.main([])
    write_docs.main(["--check"])
    assert "-->5<!-- end -->" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_a_benchmarks_table_is_what_it_printed(page: Page, tmp_path: Path) -> None:
    machine = {"cpu": "Z80", "cores": 1, "system": "CP/M", "date": "1980-01-01", "commit": "0123"}
    row = {"threads": 1, "name": "ours", "ms": 451.0, "times_ours": 1.0, "memory_mb": 724.0}
    record = {"config": "tiny", "rounds": 5, "machine": {**machine, "versions": {}}, "rows": [row]}
    path = tmp_path / "numbers" / "benchmarks.json"
    path.write_text(json.dumps({"train_step": record}), encoding="utf-8")
    text, _ = page("<!-- numbers: benchmarks train_step --><!-- end -->")
    assert "Machine: Z80, 1 cores, CP/M, commit 0123, 1980-01-01" in text
    assert "| 1, ours          |       451 |" in text
    with pytest.raises(LungdxError, match="KeyError: 'inference'; name one of benchmarks/run.py"):
        page("<!-- numbers: benchmarks inference --><!-- end -->")


def test_a_record_comes_back_as_it_was_written(record: Record, tmp_path: Path) -> None:
    record.write(tmp_path / "one.json")
    assert Record.read(tmp_path / "one.json") == record


@pytest.mark.parametrize("key", ["trainings", "environments", "seeds", "date", "results", "data"])
def test_a_record_without_its_origin_is_refused(record: Record, tmp_path: Path, key: str) -> None:
    path = tmp_path / "one.json"
    record.write(path)
    entries = json.loads(path.read_text(encoding="utf-8"))
    for bad in ({k: v for k, v in entries.items() if k != key}, {**entries, key: []}):
        path.write_text(json.dumps(bad), encoding="utf-8")
        with pytest.raises(LungdxError, match="expected a record with study, what, trainings"):
            Record.read(path)


def test_a_record_of_no_commit_or_with_a_path_is_not_written(
    record: Record, tmp_path: Path
) -> None:
    from_a_wheel = replace(record.environments[0], commit="")
    with pytest.raises(LungdxError, match="found no commit of an environment"):
        replace(record, environments=(from_a_wheel,)).write(tmp_path / "one.json")
    for path in ("/data/x", "-o data.manifest=/data/x", r"C:\data", "~/x"):
        with pytest.raises(LungdxError, match="expected no path of a machine"):
            replace(record, results={"from": path}).write(tmp_path / "one.json")
    assert not (tmp_path / "one.json").exists()


def test_seeds_become_mean_deviation_and_each() -> None:
    runs: list[dict[str, Any]] = [
        {"patients": 40, "part": "test", "kappa": 0.5, "auc": None, "confusion": [[1]]},
        {"patients": 40, "part": "test", "kappa": 0.7, "auc": None, "confusion": [[2]]},
    ]
    found = over_seeds(runs)
    assert found == {
        "patients": 40,
        "part": "test",
        "kappa": {"mean": 0.6, "deviation": pytest.approx(0.02**0.5), "each": [0.5, 0.7]},
        "auc": {"mean": None, "deviation": None, "each": [None, None]},
    }
    assert plain(shown(found["kappa"])) == "0.600 ± 0.141" and shown(found["auc"]) == "-"
    assert shown(over_seeds(runs[:1])["kappa"]) == "0.500"
    with pytest.raises(LungdxError, match="the same scores in each, found .'kappa'. in some only"):
        over_seeds([runs[0], {k: v for k, v in runs[1].items() if k != "kappa"}])


def test_what_few_patients_or_some_seeds_say_is_not_shown_as_if_all_did() -> None:
    assert shown(over_seeds([estimate(0.5, 5)])) == "too few patients"
    none = {"value": None, "interval": None, "patients": 40, "why": "one class"}
    assert shown(none) == shown(over_seeds([none, none])) == "-"
    assert shown(over_seeds([estimate(0.5), none])) == "0.500, 1 of 2 seeds"


def test_an_interval_over_seeds_is_the_mean_of_theirs() -> None:
    one = {"value": 0.5, "interval": [0.4, 0.6], "patients": 8}
    other = {"value": 0.6, "interval": [0.5, 0.8], "patients": 10}
    found = over_seeds([one, other])
    assert found["interval"] == [pytest.approx(0.45), pytest.approx(0.7)]
    assert found["patients"]["mean"] == 9
    assert plain(shown(found, 2)) == "0.55 ± 0.07 (0.45 to 0.70)"
    assert over_seeds([one, {**other, "interval": None}])["interval"] is None


def test_a_command_is_read_off_the_config_of_a_run(configs: Path) -> None:
    best = load_config(configs / "best.yaml")
    changed = ["sharing.sites=[pool1, fc]", "train.steps=700", "data.label_set=none"]
    run = with_overrides(best, [*changed, "seed=3", "output=/x/y", "data.manifest=/a/b/m.csv"])
    command = records.training_command(run)
    assert command.startswith("python tools/train.py -c best -o data.manifest=b/m.csv ")
    assert "'sharing.sites=[pool1, fc]'" in command and "/x/y" not in command
    assert with_overrides(best, overrides(best, run)) == run
    assert overrides(run, run) == []


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, write_crops_into: Callable[..., Path], configs: Path
) -> list[Path]:
    """Finished trainings of a few steps: two seeds by image, one by patient, one dense."""
    top = tmp_path_factory.mktemp("numbers")
    manifest = write_crops_into(top / "crops")
    folders = []
    for name, settings in {
        "image0": (),
        "image1": ("seed=1",),
        "patient": ("data.split=patient",),
        "dense": ("sharing.unit=dense",),
    }.items():
        own = (f"output={top / name}", f"data.manifest={manifest}", "train.steps=4")
        config = load_config(configs / "testing.yaml", [*own, "train.log_every=2", *settings])
        trainer.train(config, "cpu")
        folders.append(top / name)
    return folders


def measured(
    study: ModuleType, folders: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> Record:
    monkeypatch.setattr(records, "NUMBERS", out)
    study.main(["--run", *map(str, folders)])
    return Record.read(out / f"{study.__name__}.json")


def test_table_2_has_the_paper_and_every_kind_of_run(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(table2, runs, tmp_path, monkeypatch)
    assert list(found.results) == ["paper", "image", "patient", "image_dense"]
    assert found.seeds == (0, 1) and found.is_phantom
    assert [t.partition("-o ")[2] for t in found.trainings] == [
        "data.manifest=crops/manifest.csv train.steps=4 train.log_every=2",
        "data.manifest=crops/manifest.csv data.split=patient train.steps=4 train.log_every=2",
        "data.manifest=crops/manifest.csv sharing.unit=dense train.steps=4 train.log_every=2",
    ]
    image = found.results["image"]["last"]["both"]
    scores = [load_run(run).metrics.test.total("image") for run in runs[:2]]
    assert image["each"] == scores and image["deviation"] is not None
    leaks = [load_run(run).metrics.leakage.patients_on_both_sides for run in runs[:2]]
    assert found.results["image"]["patients_on_both_sides"] == over_seeds(leaks)
    assert found.results["patient"]["patients_on_both_sides"] == 0
    gain = found.results["image"]["gain"]["malignancy"]["each"]
    by_image = [load_run(run).metrics.test for run in runs[:2]]
    assert gain == [
        own.image["malignancy"].accuracy.value
        - own.baselines["commonest_class"].image["malignancy"].accuracy.value
        for own in by_image
    ]
    last = table2.last(found.results, "image", "patient", "image_dense").splitlines()
    assert last[2] == "| paper |  | 0.561 | - | - | - | - | - |"
    assert last[3].startswith(f"| ours, by image (leaks) | 2 | {shown(image)} | ")
    assert last[4].startswith("| ours, by patient | 1 | ")
    assert last[5].startswith("| ours, by image, dense unit (leaks) | 1 | ")
    head, _, first, *_ = table2.steps(found.results, "image", "patient").splitlines()
    assert head.endswith("| test: paper | test: image | test: patient |")
    assert first == "| 100 | 2 | - | 3.69 | - | - | 0.232 | - | - | 0.226 | - | - |"


def test_table_2_is_of_the_same_crops_throughout(runs: list[Path]) -> None:
    other = load_run(runs[0])
    changed = replace(other, record=replace(other.record, pixels=("x",) * len(other.record.rows)))
    with pytest.raises(LungdxError, match="expected the same crops and labels in each, found 2"):
        table2.measure([other, changed])


def test_an_unfinished_run_is_not_recorded(runs: list[Path], tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for name in ("config.yaml", "split.csv", "environment.json"):
        (half / name).write_bytes((runs[0] / name).read_bytes())
    with pytest.raises(LungdxError, match="expected a finished training"):
        predictor.measure([load_run(half)])


def test_a_predictors_record_has_all_scores_over_seeds(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(predictor, runs[:2], tmp_path, monkeypatch).results
    kappas = [load_run(run).metrics.test.nodule["malignancy"].quadratic_kappa for run in runs[:2]]
    own = found["nodule"]["malignancy"]["quadratic_kappa"]
    assert own["each"] == [kappa and kappa.value for kappa in kappas]
    nodules = predictor.nodules(found).splitlines()
    assert nodules[0].startswith(f"| {found['nodules']} nodules | five-class accuracy | within")
    assert nodules[2].startswith(
        f"| the network | {shown(found['nodule']['malignancy']['accuracy'])} | "
    )


def test_a_predictor_stands_beside_what_is_simpler_and_the_readers() -> None:
    malignancy = {"accuracy": estimate(0.7), "auc": estimate(0.9), "ece": estimate(0.1)}
    size = {"nodule": {"malignancy": {"accuracy": estimate(0.6)}}, "gain": {"auc": estimate(0.1)}}
    size["diagnosis"] = {"primary": {"level": estimate(0.7)}}
    aucs = {"level": estimate(0.6, 80), "readers": estimate(0.7, 80)}
    results = over_seeds(
        [
            {
                "nodules": 50,
                "nodule": {"malignancy": malignancy},
                "baselines": {"size_and_brightness": size, "slice_thickness": {"why": "unknown"}},
                "readers": {
                    "comparisons": 99,
                    **dict.fromkeys(("network", "reader", "difference"), malignancy),
                },
                "diagnosis": {"malignant": aucs, "primary": aucs},
                "subgroups": {"manufacturer": {"GE": {"labelled": 30, **malignancy}}},
            }
        ]
    )
    auc = "AUC, rated < 2.5 against > 3.5"
    assert plain(predictor.nodules(results)).splitlines() == [
        f"| 50 nodules | five-class accuracy | {auc} |",
        "| --- | --: | --: |",
        "| the network | 0.700 (0.600 to 0.800) | 0.900 (0.800 to 1.000) |",
        "| size and brightness | 0.600 (0.500 to 0.700) | - |",
        "| slice thickness | - | - |",
    ]
    assert plain(predictor.gains(results)).splitlines()[2:] == [
        "| size and brightness | 0.100 (0.000 to 0.200) |",
        "| slice thickness | - |",
    ]
    assert "\n| network - reader | 0.700" in predictor.readers(results)
    assert plain(predictor.diagnosis(results)).splitlines() == [
        "| benign against | malignant, 80 patients | primary, 80 patients |",
        "| --- | --: | --: |",
        "| the network's malignancy | 0.600 (0.500 to 0.700) | 0.600 (0.500 to 0.700) |",
        "| the readers' mean rating | 0.700 (0.600 to 0.800) | 0.700 (0.600 to 0.800) |",
        "| size and brightness | - | 0.700 (0.600 to 0.800) |",
        "| slice thickness | - | - |",
    ]
    assert "\n| GE, 30 nodules | 0.700" in predictor.subgroups(results, "manufacturer")


def test_figure_7_is_what_compare_wrote(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "compare"
    folder = top / "runs" / "image" / "hard"
    folder.mkdir(parents=True)
    (folder / "seed0").symlink_to(runs[0])
    own = {"split": "image", "measure": {"task": "both", "score": "accuracy", "level": "image"}}
    pair = {**own, "first": "soft", "second": "hard", "estimate": estimate(0.01), "p": 0.5}
    pair |= {"interval90": [-0.01, 0.015], "margin": 0.02, "detectable": 0.03, "p_holm": 0.5}
    pair |= {"differs": False, "equivalent": True}
    methods_found = [
        {**own, "method": name, "estimate": estimate(0.6), "trainings": [0.6], "deviation": 0.02}
        for name in ("soft", "hard")
    ]
    found = {"data": "/a/b.csv", "scores": methods_found, "differences": [pair]}
    (top / "figure7.json").write_text(json.dumps(found), encoding="utf-8")
    (top / "figure7.png").write_bytes(b"a picture")
    monkeypatch.setattr(methods, "FIGURE", tmp_path / "figure7.png")
    results = measured(methods, [folder / "seed0"], tmp_path, monkeypatch).results
    assert (tmp_path / "figure7.png").read_bytes() == b"a picture"
    head, _, soft, _ = plain(methods.scores(results, "image")).splitlines()
    assert head == "| split by image | both: accuracy by image |"
    assert soft == "| soft | 0.600 ± 0.020 (0.500 to 0.700) |"
    *_, row = plain(methods.pairs(results, "image", "both_accuracy_image")).splitlines()
    assert row == (
        "| soft - hard | 0.010 (-0.090 to 0.110) | -0.010 to 0.015 | 0.50 | 0.030 "
        "| equivalent within 0.02 |"
    )


def test_the_study_of_the_readme_works(runs: list[Path]) -> None:
    text = (records.ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall("```python\n(.*?)```", text, re.DOTALL)
    study: dict[str, Any] = {"__name__": "floors"}
    exec(code, study)
    results = study["measure"]([load_run(run) for run in runs[:2]])
    assert study["floors"](results).splitlines()[2].startswith("| floor5 | ")


def test_a_nested_choice_has_not_seen_the_patients_that_it_answers_for(
    tmp_path: Path,
    write_crops_into: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nested, "OUTER", 2)
    monkeypatch.setattr(nested, "INNER", 2)
    manifest = write_crops_into(tmp_path / "crops")
    small = ["model.conv1=4", "model.conv2=6", "model.fc=10", "train.steps=2", "train.log_every=2"]
    options = JobOptions(jobs=1, device="cpu", resume=True)
    runs = nested.outer_runs(manifest, tmp_path / "out", small, options)
    patients = {row.patient_id for row in read_rows(manifest)}
    seen = []
    for candidates in runs.values():
        assert list(candidates) == list(nested.CANDIDATES)
        (inside,) = {
            frozenset(row.patient_id for row in run.record.rows) for run in candidates.values()
        }
        assert inside < patients
        seen.append(inside)
    assert seen[0] | seen[1] == patients and not seen[0] & seen[1]
    results = nested.measure(manifest, runs)
    assert results["patients"] == len(patients)
    for choice in results["choices"]:
        assert choice["inner_kappa"] == max(choice["inner"].values())
