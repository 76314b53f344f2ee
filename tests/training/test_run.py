"""A run knows what it was trained on, whatever becomes of the manifest afterwards."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from lungdx_paddle.data.matching import match_rows
from lungdx_paddle.errors import CheckpointError, ConfigError, ManifestError
from lungdx_paddle.manifest import ManifestRow, read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.checkpoint import CHECKPOINT
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.run_metrics import RunMetrics, write_results
from lungdx_paddle.training.split_record import SplitRecord, pixel_digests
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]
Until = Callable[[Config, int], None]
Change = Callable[[Path], None]


def change_rows(manifest: Path, change: Callable[[list[ManifestRow]], list[ManifestRow]]) -> None:
    write_manifest(manifest, change(list(read_manifest(manifest).rows)))


def grow(manifest: Path) -> None:
    """As many patients again, sorted before the others, as after another download."""
    folder = manifest.parent
    rows = list(read_manifest(manifest).rows)
    new = []
    for row in rows:
        image = f"more/{row.image}"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / row.image, folder / image)
        new.append(
            replace(
                row, image=image, patient_id=f"A{row.patient_id}", series_uid=f"9.{row.series_uid}"
            )
        )
    write_manifest(manifest, [*new, *rows])


def shrink(manifest: Path) -> None:
    change_rows(manifest, lambda rows: [row for row in rows if row.patient_id != "P01"])


def relabel(manifest: Path) -> None:
    def corrected(row: ManifestRow) -> ManifestRow:
        return replace(row, malignancy_ratings=(1, 1)) if row.patient_id == "P02" else row

    change_rows(manifest, lambda rows: [corrected(row) for row in rows])


def repaint(manifest: Path) -> None:
    rows = read_manifest(manifest).rows
    path = manifest.parent / next(row for row in rows if row.readers >= 3).image
    cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def sort_rows(manifest: Path) -> None:
    change_rows(manifest, lambda rows: rows[::-1])


def rename_files(manifest: Path) -> None:
    """The same crops under other file names, in another order."""
    folder, rows = manifest.parent, list(read_manifest(manifest).rows)
    random.Random(0).shuffle(rows)
    renamed = []
    for i, row in enumerate(rows):
        shutil.move(folder / row.image, folder / f"crops/{i:04d}.jpg")
        renamed.append(replace(row, image=f"crops/{i:04d}.jpg"))
    write_manifest(manifest, renamed)


CHANGES = {
    "added": grow,
    "missing": shrink,
    "with another label": relabel,
    "with other pixels": repaint,
}
HARMLESS = {"sorted": sort_rows, "renamed": rename_files}


@pytest.fixture
def by_patient(make_config: Make) -> Config:
    return make_config("run", "data.split=patient")


def trained_on(config: Config) -> set[str]:
    """The patients of the training part, by the record."""
    record = load_run(config.output_folder).record
    return {record.rows[i].patient_id for i in record.training_rows()}


def weights(config: Config) -> bytes:
    return (config.output_folder / "latest.safetensors").read_bytes()


@pytest.mark.parametrize("change", [*CHANGES.values(), *HARMLESS.values()])
def test_no_crop_that_was_trained_on_is_scored_as_unseen_after_the_data_changed(
    by_patient: Config, change: Change
) -> None:
    train(by_patient, "cpu")
    before = trained_on(by_patient)
    change(Path(by_patient.data.manifest))
    evaluation = evaluate_run(load_run(by_patient.output_folder), device="cpu")
    assert not before & {row.patient_id for row in evaluation.predictions.rows}
    assert evaluation.metrics.leakage.patients_on_both_sides == 0


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_sorting_or_renaming_the_crops_changes_no_score(by_patient: Config, change: Change) -> None:
    metrics = train(by_patient, "cpu")
    change(Path(by_patient.data.manifest))
    evaluation = evaluate_run(load_run(by_patient.output_folder), device="cpu")
    assert metrics is not None and not evaluation.changes
    assert evaluation.metrics.digests == metrics.digests
    for task, value in metrics.test.image.items():
        assert evaluation.metrics.test.image[task].accuracy == value.accuracy


@pytest.mark.parametrize("word", CHANGES)
def test_what_changed_in_the_data_is_counted(by_patient: Config, word: str) -> None:
    train(by_patient, "cpu")
    CHANGES[word](Path(by_patient.data.manifest))
    evaluation = evaluate_run(load_run(by_patient.output_folder), device="cpu")
    assert re.search(rf"\d+ crops? {word}", str(evaluation.changes))


@pytest.mark.parametrize("word", CHANGES)
def test_a_training_is_not_resumed_on_other_data(
    by_patient: Config, train_until: Until, word: str
) -> None:
    train_until(by_patient, 15)
    before = weights(by_patient)
    CHANGES[word](Path(by_patient.data.manifest))
    with pytest.raises(ManifestError, match=f"crops that the run was started with.*crops? {word}"):
        train(by_patient, "cpu", resume=True)
    assert weights(by_patient) == before


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_training_resumed_on_sorted_or_renamed_crops_ends_as_an_unbroken_one(
    make_config: Make, train_until: Until, change: Change
) -> None:
    whole, broken = (make_config(name, "data.split=patient") for name in ("whole", "broken"))
    train(whole, "cpu")
    train_until(broken, 15)
    change(Path(broken.data.manifest))
    train(broken, "cpu", resume=True)
    assert weights(broken) == weights(whole)


def test_a_training_resumed_on_moved_crops_ends_as_an_unbroken_one(
    make_config: Make, train_until: Until, tmp_path: Path
) -> None:
    whole, broken = (make_config(name, "data.split=patient") for name in ("whole", "broken"))
    train(whole, "cpu")
    train_until(broken, 15)
    folder = Path(broken.data.manifest).parent
    shutil.move(folder, tmp_path / "moved")
    moved = replace(broken, data=replace(broken.data, manifest=str(tmp_path / "moved")))
    train(moved, "cpu", resume=True)
    assert weights(broken) == weights(whole)


def test_a_run_is_evaluated_on_moved_crops(by_patient: Config, tmp_path: Path) -> None:
    metrics = train(by_patient, "cpu")
    shutil.move(Path(by_patient.data.manifest).parent, tmp_path / "moved")
    run = load_run(by_patient.output_folder)
    with pytest.raises(ManifestError, match="No such file"):
        evaluate_run(run, device="cpu")
    data = replace(by_patient.data, manifest=str(tmp_path / "moved" / "manifest.csv"))
    evaluation = evaluate_run(run, data, device="cpu")
    assert metrics is not None and evaluation.metrics.test == metrics.test


def test_crops_by_another_window_or_rule_are_refused(by_patient: Config) -> None:
    train(by_patient, "cpu")
    manifest, run = Path(by_patient.data.manifest), load_run(by_patient.output_folder)
    change_rows(
        manifest,
        lambda rows: [replace(r, window_center=-600.0, window_width=1500.0) for r in rows],
    )
    with pytest.raises(ManifestError, match="gray values 20/2040 HU, found .*-600/1500"):
        evaluate_run(run, every=True, device="cpu")
    change_rows(
        manifest,
        lambda rows: [
            replace(r, window_center=20.0, window_width=2040.0, crop="context") for r in rows
        ],
    )
    with pytest.raises(ManifestError, match="rule paper.*found .*context"):
        evaluate_run(run, device="cpu")


@pytest.mark.parametrize("own", ["train.log_every=5", "data.phantom_patients=9", "name=other"])
def test_a_training_is_resumed_under_settings_that_change_no_number(
    make_config: Make, train_until: Until, own: str
) -> None:
    train_until(make_config("run"), 15)
    train(make_config("run", own), "cpu", resume=True)
    assert load_run(make_config("run").output_folder).is_finished


def test_a_training_that_starts_anew_removes_the_results_before(
    by_patient: Config, train_until: Until
) -> None:
    train(by_patient, "cpu")
    run = load_run(by_patient.output_folder)
    assert run.is_finished
    for name in ("eval", "not_finite", "vdl"):
        (run.folder / name).mkdir(exist_ok=True)
        (run.folder / name / "before").touch()
    train_until(by_patient, 15)
    assert not load_run(by_patient.output_folder).is_finished
    left = {path.name for path in by_patient.output_folder.iterdir()}
    assert not left & {"metrics.json", "predictions.csv", "eval", "not_finite"}
    assert not (run.folder / "vdl" / "before").exists()
    with pytest.raises(CheckpointError, match="expected a finished training, found one at step 10"):
        _ = load_run(by_patient.output_folder).metrics


FILES = ["metrics.json", "predictions.csv", "latest.safetensors", "split.csv", "config.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_results_beside_another_runs_weights_are_not_taken_for_finished(
    make_config: Make, name: str
) -> None:
    mine, other = make_config("mine"), make_config("other", "seed=1", "data.split_seed=1")
    for config in (mine, other):
        train(config, "cpu")
    shutil.copy(other.output_folder / name, mine.output_folder / name)
    assert not load_run(mine.output_folder).is_finished


@pytest.mark.parametrize("names", [["split.csv"], CHECKPOINT])
def test_a_split_or_checkpoint_of_another_training_is_refused(
    make_config: Make, names: list[str]
) -> None:
    mine = make_config("mine", "data.split=patient")
    other = make_config("other", "data.split=patient", "data.split_seed=1")
    for config in (mine, other):
        train(config, "cpu")
    for name in names:
        shutil.copy(other.output_folder / name, mine.output_folder / name)
    refused = pytest.raises(CheckpointError, match="found one of other settings, crops or another")
    with refused:
        evaluate_run(load_run(mine.output_folder), device="cpu")
    with refused:
        train(mine, "cpu", resume=True)


def test_scores_of_all_crops_are_not_taken_for_the_runs_result(by_patient: Config) -> None:
    train(by_patient, "cpu")
    run = load_run(by_patient.output_folder)
    evaluation = evaluate_run(run, every=True, device="cpu")
    write_results(run.folder, evaluation.metrics, evaluation.predictions)
    assert not run.is_finished


def test_a_folder_stopped_while_a_training_starts_in_it_is_no_run(
    by_patient: Config, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(by_patient, "cpu")

    def stopped(self: SplitRecord, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SplitRecord, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(make_config("run", "data.split=image"), "cpu")
    with pytest.raises(CheckpointError, match="found no config.yaml"):
        train(by_patient, "cpu", resume=True)


@pytest.mark.parametrize("known", [True, False])
def test_two_crops_of_one_slice_are_two(by_patient: Config, known: bool) -> None:
    """With other pixels, or, where no slice is known, with the same."""
    manifest = Path(by_patient.data.manifest)
    rows = list(read_manifest(manifest).rows)
    shown = rows[-1 if known else 0].image
    if not known:
        rows = [replace(row, z_mm=None, sop_uid="") for row in rows]
    shutil.copy(manifest.parent / shown, manifest.parent / "crops/copy.jpg")
    write_manifest(manifest, [*rows, replace(rows[0], image="crops/copy.jpg")])
    trained = train(by_patient, "cpu")
    again = evaluate_run(load_run(by_patient.output_folder), device="cpu")
    assert trained is not None and again.metrics.test == trained.test and not again.changes
    train(by_patient, "cpu", resume=True)
    assert load_run(by_patient.output_folder).is_finished


def test_a_cosine_schedule_is_not_resumed_with_other_steps(
    make_config: Make, train_until: Until
) -> None:
    train_until(make_config("run", "train.schedule=cosine"), 15)
    longer = make_config("run", "train.schedule=cosine", "train.steps=40")
    with pytest.raises(ConfigError, match="train.steps is 40 instead of 20 .the learning rate of"):
        train(longer, "cpu", resume=True)


def test_fewer_steps_than_are_done_are_refused(make_config: Make) -> None:
    train(make_config("run"), "cpu")
    with pytest.raises(ConfigError, match="expected train.steps of 20 or more.*found 10"):
        train(make_config("run", "train.steps=10"), "cpu", resume=True)


def test_the_split_has_a_seed_of_its_own(make_config: Make) -> None:
    records = []
    for name, *settings in (("a",), ("b", "seed=1"), ("c", "data.split_seed=1")):
        config = make_config(name, *settings)
        train(config, "cpu")
        records.append(load_run(config.output_folder).record.parts)
    assert records[0] == records[1] != records[2]


def test_the_record_comes_back_as_it_was_written(by_patient: Config) -> None:
    train(by_patient, "cpu")
    path = by_patient.output_folder / "split.csv"
    record = SplitRecord.read(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# crops and labels: blake2b {record.digest}; split: blake2b " + (
        record.split_digest
    )
    record.write(path.with_name("again.csv"))
    assert path.with_name("again.csv").read_bytes() == path.read_bytes()
    run = load_run(by_patient.output_folder)
    assert RunMetrics.read(run.folder / "metrics.json") == run.metrics


def test_the_digest_is_of_pixels_and_labels_and_not_of_order(by_patient: Config) -> None:
    """Spelled out, since a run of one NumPy is resumed with another."""
    train(by_patient, "cpu")
    record = load_run(by_patient.output_folder).record
    lines = []
    for i, row in enumerate(record.rows):
        labels = [str(int(values[i])) for values in record.labels.values()]
        lines.append("\0".join([row.patient_id, str(row.nodule), record.pixels[i], *labels]))
    expected = hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()
    assert record.digest == expected


def test_columns_of_the_users_own_do_not_mix_with_the_records(by_patient: Config) -> None:
    def with_columns(row: ManifestRow) -> ManifestRow:
        return replace(row, extra={"side": "left", "fold": "7", "pixels": "many"})

    change_rows(Path(by_patient.data.manifest), lambda rows: [with_columns(r) for r in rows])
    train(by_patient, "cpu")
    assert set(load_run(by_patient.output_folder).record.parts) == {"train", "test"}


def test_a_record_that_was_edited_is_noticed(by_patient: Config) -> None:
    train(by_patient, "cpu")
    path = by_patient.output_folder / "split.csv"
    text = path.read_text(encoding="utf-8")
    swapped = text.replace(",train,", ",?,").replace(",test,", ",train,").replace(",?,", ",test,")
    for edited in ("".join(text.splitlines(keepends=True)[:-1]), swapped):
        path.write_text(edited, encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"split.csv: .*found a first line of other crop"):
            load_run(by_patient.output_folder)


def other_names(row: ManifestRow, how: str) -> ManifestRow:
    match how:
        case "nodule":
            return replace(row, nodule=row.nodule + 7)
        case "exchanged":
            return replace(row, nodule=1 - row.nodule)
        case "z":
            return replace(row, z_mm=(row.z_mm or 0.0) + 0.3)
        case "series":
            return replace(row, series_uid=f"9.9.{row.series_uid}")
        case _:
            return replace(row, patient_id=row.patient_id.lower())


@pytest.mark.parametrize("how", ["nodule", "exchanged", "z", "series", "patient"])
@pytest.mark.parametrize("by", ["image", "nodule", "patient"])
def test_the_pixels_of_a_training_crop_are_known_under_whatever_names(
    make_config: Make, by: str, how: str
) -> None:
    config = make_config("run", f"data.split={by}")
    train(config, "cpu")
    record = load_run(config.output_folder).record
    trained = {record.pixels[i] for i in record.training_rows()}
    manifest = Path(config.data.manifest)
    other = manifest.with_name("other.csv")
    rows = read_manifest(manifest).rows
    write_manifest(other, [other_names(row, how) for row in rows])
    data = replace(config.data, manifest=str(other))
    try:
        evaluation = evaluate_run(load_run(config.output_folder), data, device="cpu")
    except ManifestError as error:  # of every nodule a crop is known
        assert "all of them in its training part" in str(error)
        return
    images = evaluation.predictions.images
    assert images is not None and len(images)
    assert not trained & set(pixel_digests(images))


def test_another_slice_of_a_training_series_is_known_under_another_patients_name(
    by_patient: Config,
) -> None:
    """Slices of fewer readers were not trained on, but their patients were."""
    train(by_patient, "cpu")
    names = {patient.lower() for patient in trained_on(by_patient)}
    manifest = Path(by_patient.data.manifest)
    rows = [other_names(row, "patient") for row in read_manifest(manifest).rows]
    write_manifest(manifest.with_name("other.csv"), rows)
    data = replace(by_patient.data, manifest=str(manifest.with_name("other.csv")), min_readers=1)
    evaluation = evaluate_run(load_run(by_patient.output_folder), data, device="cpu")
    assert not names & {row.patient_id for row in evaluation.predictions.rows}


@pytest.mark.parametrize("by", ["nodule", "patient"])
@pytest.mark.parametrize("how", ["nodule", "series", "patient"])
def test_what_has_a_training_crop_under_another_name_is_not_unseen(
    make_config: Make, by: str, how: str
) -> None:
    """Its further slices, of fewer readers, are of a nodule or patient that was trained on."""
    config = make_config("run", f"data.split={by}")
    train(config, "cpu")
    record = load_run(config.output_folder).record
    names = [record.rows[i] for i in record.training_rows()]
    manifest = Path(config.data.manifest)
    rows = [
        replace(other_names(row, how), series_uid=f"9.{row.series_uid}")
        for row in read_manifest(manifest).rows
    ]
    write_manifest(manifest.with_name("other.csv"), rows)
    data = replace(config.data, manifest=str(manifest.with_name("other.csv")), min_readers=1)
    try:
        found = evaluate_run(load_run(config.output_folder), data, device="cpu").predictions.rows
    except ManifestError as error:
        assert "all of them in its training part" in str(error)
        return
    key = "nodule_key" if by == "nodule" else "patient_id"
    trained = {getattr(other_names(row, how), key) for row in names}
    assert not trained & {getattr(row, key) for row in found}


def test_near_duplicates_are_looked_for_in_other_crops_too(by_patient: Config) -> None:
    train(by_patient, "cpu")
    manifest = Path(by_patient.data.manifest)
    other = manifest.with_name("other.csv")
    write_manifest(other, read_manifest(manifest).rows)
    data = replace(by_patient.data, manifest=str(other))
    found = evaluate_run(load_run(by_patient.output_folder), data, device="cpu").metrics.leakage
    assert found.near_duplicate_test_images is not None


def test_a_training_stopped_before_its_first_checkpoint_is_resumed_from_the_start(
    make_config: Make, train_until: Until
) -> None:
    whole, broken = (make_config(name, "data.split=patient") for name in ("whole", "broken"))
    train(whole, "cpu")
    train_until(broken, 5)
    sort_rows(Path(broken.data.manifest))
    train(broken, "cpu", resume=True)
    assert weights(broken) == weights(whole)


@pytest.mark.parametrize(
    "change", [{"window_center": 40.0}, {"crop": "context"}, {"hu_from": "stretched"}]
)
def test_a_training_is_not_resumed_on_crops_made_another_way(
    by_patient: Config, train_until: Until, change: dict
) -> None:
    train_until(by_patient, 15)
    change_rows(Path(by_patient.data.manifest), lambda rows: [replace(r, **change) for r in rows])
    with pytest.raises(ManifestError, match=r"expected crops with the run's"):
        train(by_patient, "cpu", resume=True)


def test_the_environment_stands_beside_the_papers_table_1(by_patient: Config) -> None:
    train(by_patient, "cpu")
    written = json.loads((by_patient.output_folder / "environment.json").read_text())
    assert {"processor", "cores", "threads", "memory_gb", "paddle", "commit", "date"} <= set(
        written
    )
    rows = load_run(by_patient.output_folder).environment.rows()
    assert ("paddle", "1.8", written["paddle"]) in rows


def test_a_training_resumed_on_another_machine_logs_what_differs(
    by_patient: Config, train_until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    train_until(by_patient, 15)
    path = by_patient.output_folder / "environment.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**entries, "paddle": "1.8.0"}), encoding="utf-8")
    caplog.set_level("INFO", logger="lungdx_paddle")
    train(by_patient, "cpu", resume=True)
    here = entries["paddle"]
    assert f"Resumed elsewhere: paddle is {here}, and was 1.8.0" in caplog.messages


def test_a_run_says_what_it_is(by_patient: Config, train_until: Until) -> None:
    train_until(by_patient, 15)
    run = load_run(by_patient.output_folder)
    assert repr(run).startswith(f"Run({str(run.folder)!r}, step 10 of 20, ")
    train(by_patient, "cpu", resume=True)
    assert repr(run).startswith(f"Run({str(run.folder)!r}, finished, ")
    assert "step 20" in repr(run.metrics)


@pytest.mark.parametrize("source", ["phantom", "dicom"])
def test_the_metrics_say_what_was_scored(by_patient: Config, source: str) -> None:
    manifest = Path(by_patient.data.manifest)
    change_rows(manifest, lambda rows: [replace(row, source=source) for row in rows])
    train(by_patient, "cpu")
    found = load_run(by_patient.output_folder).metrics
    assert (found.run, found.step, found.split, found.folds) == ("testing", 20, "patient", 0)
    assert found.part == "test part of the split by patient" and found.uncalibrated is None
    assert found.data == ("phantom" if source == "phantom" else str(manifest))


@pytest.mark.lidc
def test_slices_are_known_whatever_their_files_are_called(
    lidc32: Path,
) -> None:
    """Crops of the same slices from DICOM have other file names than those of the public set."""
    rows = read_manifest(lidc32).rows
    mine = [r for r in rows if r.patient_id in ("LIDC-IDRI-0001", "LIDC-IDRI-0012")]
    renamed = [replace(r, image=f"elsewhere/{i}.jpg", extra={}) for i, r in enumerate(mine)]
    assert len(mine) > 40
    assert (match_rows(renamed, rows) >= 0).all()
