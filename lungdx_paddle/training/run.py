"""A finished training, read back and judged once more, on its own crops or on others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands.wording import leakage_line, on_unseen_patients, result_lines
from lungdx_paddle.config import load_config, with_overrides
from lungdx_paddle.data.dataset import NoduleDataset, load_dataset, split_of
from lungdx_paddle.data.splits import not_learned
from lungdx_paddle.errors import CheckpointError, ConfigError, ManifestError
from lungdx_paddle.evaluation.leakage import Leakage, leakage
from lungdx_paddle.evaluation.predictions import (
    PREDICTIONS,
    Predictions,
    predict,
    write_predictions,
)
from lungdx_paddle.evaluation.scores import Scores, evaluate
from lungdx_paddle.figures.score_plots import draw_scores
from lungdx_paddle.files import writable_folder, write_text, writing
from lungdx_paddle.manifest import manifest_file
from lungdx_paddle.models.ensemble import Ensemble, Trained
from lungdx_paddle.models.network import TwoTaskNetwork, build_network
from lungdx_paddle.runtime import set_up
from lungdx_paddle.settings import FOLD, Config, DataConfig
from lungdx_paddle.training.checkpoint import BEST, load_weights

PICTURE = "scores.png"


def load_run(run: Path, weights: str = BEST) -> tuple[Config, Trained]:
    """The config and the trained network, or ensemble, of an output folder, to infer with.

    Args:
        run: a folder that tools/train.py wrote.
        weights: best_model or latest.

    Raises:
        CheckpointError: it is no such folder, or its weights do not fit its config.
    """
    if not (run / "config.yaml").is_file():
        raise CheckpointError(
            str(run),
            expected="the output folder of tools/train.py",
            found="no config.yaml in it" if run.is_dir() else "no such folder",
            fix="train first, or give the folder with --run",
        )
    config = load_config(run / "config.yaml")
    network: Trained
    if config.is_ensemble:
        folds = range(config.data.folds)
        network = Ensemble([_network(config, run / f"{FOLD}{k}", weights) for k in folds])
    else:
        network = _network(config, run, weights)
    network.eval()
    return config, network


def _network(config: Config, folder: Path, weights: str) -> TwoTaskNetwork:
    network = build_network(config)
    load_weights(network, folder / f"{weights}.pdparams")
    return network


def judge_unseen(
    network: Trained, trained: Config, data: DataConfig | None = None
) -> tuple[Predictions, dict[str, Any]]:
    """What a run's networks say of the crops that they have not learned from.

    A crop is judged by the networks whose training part had nothing of its image, nodule or
    patient, as the run was split: by one network its test part; by an ensemble each crop by the
    network of its fold, and one of a patient who is in no fold by all of them.

    Args:
        network: the run's.
        trained: the run's config, which says what each network learned from.
        data: where the crops are, if they are not the run's own.

    Returns:
        Predictions of those crops, and what leaks, summed over the networks.

    Raises:
        ManifestError: the networks have learned from all crops.
    """
    learned = _learned_from(trained)
    dataset = learned if data in (None, trained.data) else load_dataset(data)
    found: dict[str, np.ndarray] = {}
    judges = np.zeros(len(dataset), dtype=np.int64)
    leaks = Leakage(0, 0, 0, 0, 0, 0)
    for k, member in enumerate(network.members):
        own = trained.of_fold(k) if trained.is_ensemble else trained
        train = learned.subset(split_of(learned, own.data, own.seed).train)
        rows = np.flatnonzero(not_learned(dataset.manifest, train.manifest, own.data.split))
        test = dataset.subset(rows)
        judges[rows] += 1
        for task, p in (predict(member, test).probabilities if len(rows) else {}).items():
            found.setdefault(task, np.zeros((len(dataset), p.shape[1]), p.dtype))[rows] += p
        leaks += leakage(train, test)
    _check_any(judges, trained)
    rows = np.flatnonzero(judges)
    means = {task: p[rows] / judges[rows, np.newaxis].astype(p.dtype) for task, p in found.items()}
    part = dataset.subset(rows)
    said = Predictions(tuple(part.manifest.rows), part.labels, means, part.label_set, part.images)
    return said, leaks.to_dict()


def _check_any(judges: np.ndarray, trained: Config) -> None:
    if not judges.any():
        raise ManifestError(
            "the crops to be judged",
            expected=f"some whose {trained.data.split} the run has not learned from",
            found=f"{len(judges)} crops, all of them in its training part",
            fix="give other crops, or --all to judge these, too",
        )


def data_name(said: Predictions, config: Config) -> str:
    """``phantom`` if any crop is of one, else the manifest's path."""
    sources = {row.extra.get("source", "") for row in said.rows}
    return "phantom" if "phantom" in sources else config.data.manifest


def evaluate_run(
    run: Path,
    out: Path,
    overrides: Sequence[str] = (),
    whole: bool = False,
    weights: str = "latest",
    device: str | None = None,
) -> list[str]:
    """Write ``metrics.json``, ``predictions.csv`` and ``scores.png`` of a run.

    Args:
        run: a folder that tools/train.py wrote.
        out: where to write.
        overrides: ``data.manifest=...`` and other settings of the data.
        whole: judge all crops of the manifest, not the test part of the run's split.
        weights: best_model or latest (those of the last step, as in the run's own metrics).
        device: cpu, gpu or None.

    Returns:
        The closing lines.

    Raises:
        CheckpointError: the run cannot be read.
        ConfigError: an override changes more than the data.
        ManifestError: the crops are bad.
        OutputError: ``out`` cannot be written to.
    """
    trained, network = load_run(run, weights)
    config = with_overrides(trained, overrides)
    _check_only_the_crops_change(config, trained, overrides)
    out = writable_folder(out)
    place = set_up(device, config.seed)
    said, leaks = (
        _all(config, trained, network) if whole else judge_unseen(network, trained, config.data)
    )
    metrics = {
        "run": str(run),
        "weights": weights,
        "data": data_name(said, config),
        "part": "all crops" if whole else _part(config, trained),
        "test": evaluate(said).to_dict(),
        "leakage": leaks,
        "note": RESEARCH_USE,
        "device": place,
    }
    write_text(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    write_predictions(out / PREDICTIONS, said)
    with writing(out / PICTURE):
        draw_scores(said, f"{metrics['data']}, {metrics['part']}").savefig(out / PICTURE, dpi=110)
    honest = [on_unseen_patients(trained)] if leaks["leaks"] and not whole else []
    return [*_lines(metrics), *honest, f"written to {out}"]


def _check_only_the_crops_change(config: Config, trained: Config, overrides: Sequence[str]) -> None:
    own = replace(config.data, manifest=trained.data.manifest, min_readers=trained.data.min_readers)
    if replace(config, data=own) != trained:
        raise ConfigError(
            "-o",
            expected="which crops to judge: data.manifest=crops/manifest.csv, data.min_readers=1",
            found=" ".join(overrides),
            fix="the network, its classes and what it has learned from are those of the run; "
            "leave the others out",
        )


def _part(config: Config, trained: Config) -> str:
    if config.data != trained.data:
        return f"crops whose {trained.data.split} the run has not learned from"
    if config.is_ensemble:
        return f"{config.data.folds} folds by {config.data.split}, each by a network without it"
    return f"test part of the split by {config.data.split}"


def _all(config: Config, trained: Config, network: Trained) -> tuple[Predictions, dict[str, Any]]:
    """What it says of all crops, and how many of their patients it may have learned from."""
    dataset = load_dataset(config.data)
    said = predict(network, dataset)
    if not manifest_file(trained.data.manifest).is_file():
        words = "what the run was trained on is gone, so it is not known which patients it knows"
        return said, {"leaks": None, "in_words": words, "patients_on_both_sides": None}
    known = {row.patient_id for row in _learned_from(trained).manifest.rows}
    shared = {row.patient_id for row in dataset.manifest.rows} & known
    words = f"{len(shared)} of these patients are among the {len(known)} that the run was made with"
    return said, {
        "leaks": bool(shared),
        "in_words": words,
        "patients_on_both_sides": len(shared),
    }


def _learned_from(trained: Config) -> NoduleDataset:
    """The crops of both parts of a run."""
    path = manifest_file(trained.data.manifest)
    if not path.is_file():
        raise ManifestError(
            str(path),
            expected="the manifest that the run was trained on, which tells what it has not seen",
            found="no such file",
            fix="put it back, or judge every crop of another one with --all",
        )
    return load_dataset(trained.data)


def _lines(metrics: Mapping[str, Any]) -> list[str]:
    lines = [f"{metrics['run']} ({metrics['weights']}) on {metrics['data']}, {metrics['part']}:"]
    lines += result_lines(metrics["test"])
    scores = Scores.from_dict(metrics["test"])
    shown = (
        ("malignancy within one level, by nodule", scores.nodule["malignancy"].within_one),
        ("quadratic kappa, by nodule", scores.nodule["malignancy"].quadratic_kappa),
        ("AUC benign / malignant nodules", scores.nodule["malignancy"].auc),
        ("AUC benign / malignant diagnosis, by patient", scores.diagnosis_auc),
        ("the readers: within one level", scores.readers.within_one),
        ("the readers: AUC of the diagnosis", scores.readers.diagnosis_auc),
    )
    lines += [f"  {name:46}{value}" for name, value in shown]
    lines.append(leakage_line(metrics["leakage"]))
    if metrics["data"] == "phantom":
        lines.append("This is PHANTOM data, made by a program: the numbers mean nothing medical.")
    return [*lines, f"For {RESEARCH_USE}."]
