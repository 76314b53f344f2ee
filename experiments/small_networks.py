"""Train small networks under many conditions: the trainings of the claim and sharing studies.

    python experiments/small_networks.py --manifest PATH/manifest.csv --seeds 10

A training is one fold of a cross-validation over patients (five folds, one deal of the patients)
with a seed of its own, so that ten seeds test every patient twice. The network has 16, 32 and 128
channels and the augmentation and schedule of `configs/best.yaml`. Only the condition differs:
which units share, and, of the training patients, who keeps the malignancy labels. Images stay in
the batches when they lose a label, so that every condition sees the pathology labels equally
often.

Each training's predictions and measurements are kept in ``--out``; a run that is stopped goes on
with those that are missing.  Two commands with ``--part 0/2`` and ``--part 1/2`` share the work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from lungdx_paddle.commands import cli
from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import NoduleDataset, load_dataset, split_of
from lungdx_paddle.data.labels import MALIGNANCY, UNLABELLED
from lungdx_paddle.environment import Environment
from lungdx_paddle.evaluation.predictions import inference_mode, predict, write_predictions
from lungdx_paddle.files import writable_folder, write_text
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.progress import bar
from lungdx_paddle.runtime import set_up
from lungdx_paddle.settings import STAGES, TRUNK, Config
from lungdx_paddle.training.split_record import SplitRecord
from lungdx_paddle.training.step import TrainingState, prepare, task_losses, training_step

SETTINGS = (
    "data.folds=5",
    "data.split_seed=0",
    "data.label_set=binary",
    "model.conv1=16",
    "model.conv2=32",
    "model.fc=128",
    "model.flips=false",
    "train.steps=500",
    "train.soft_labels=0.0",
)
"""Hard labels: those of a condition are the only ones that a network sees."""
FOLDS = 5
PARTIAL, SOFT = ("pool1", "pool2", "fc"), STAGES


@dataclass(frozen=True)
class Condition:
    """One way to train the same network."""

    name: str
    sites: tuple[str, ...]
    cross_floor: float = 0.05
    kept: float = 1.0
    """Part of the training patients whose malignancy labels are used."""
    permuted: bool = False
    """Whether those labels are dealt anew among these patients' nodules: they say nothing then."""


CONDITIONS: tuple[Condition, ...] = (
    Condition("single_task", ()),
    Condition("partial_soft", PARTIAL),
    Condition("hard", (TRUNK,)),
    Condition("soft", SOFT, cross_floor=0.0),
    *(Condition(f"kept_{part}", PARTIAL, kept=part / 100) for part in (0, 10, 30)),
    *(
        Condition(f"permuted_{part}", PARTIAL, kept=part / 100, permuted=True)
        for part in (10, 30, 100)
    ),
    *(
        Condition(f"floor_{floor:g}", PARTIAL, cross_floor=floor)
        for floor in (0.0, 0.1, 0.2, 0.3, 0.5)
    ),
)
"""The claim: partial_soft, kept and permuted beside single_task.  The dose: floor, with
partial_soft (0.05), single_task and hard.  The four methods of Figure 7: the first four."""


def config_of(condition: Condition, seed: int, manifest: str) -> Config:
    """The config of one training; its fold is the seed modulo the number of folds."""
    sites = ",".join(condition.sites)
    own = (
        f"data.manifest={manifest}",
        f"data.fold={seed % FOLDS}",
        f"seed={seed}",
        f"sharing.sites=[{sites}]",
        f"sharing.cross_floor={condition.cross_floor}",
    )
    return load_config(Path("best"), [*SETTINGS, *own])


def malignancy_labels(train: NoduleDataset, condition: Condition, seed: int) -> np.ndarray:
    """(images,) int64 malignancy classes of a training part under a condition, -1 for none.

    The patients who keep them are the first of a random order of all, so that those of a smaller
    part are among those of a larger one; the order depends on the seed alone.
    """
    labels = train.labels[MALIGNANCY].copy()
    random = np.random.default_rng([seed, 13])
    patients = sorted({row.patient_id for row in train.manifest.rows})
    order = random.permutation(len(patients))
    kept = {patients[i] for i in order[: round(condition.kept * len(patients))]}
    labels[[row.patient_id not in kept for row in train.manifest.rows]] = UNLABELLED
    if condition.permuted:
        known = np.flatnonzero(labels != UNLABELLED)
        of_nodule = {train.manifest.rows[i].nodule_key: labels[i] for i in known.tolist()}
        dealt = dict(zip(of_nodule, random.permutation(list(of_nodule.values()))))
        labels[known] = [dealt[train.manifest.rows[i].nodule_key] for i in known.tolist()]
    return labels


def gradient_cosines(state: TrainingState, batches: int = 8) -> list[float]:
    """Cosine of the two tasks' gradients over all tower weights, of some batches of the next epoch.

    The network is in inference mode, so that neither dropout nor batch statistics differ.  A batch
    in which a task has no label gives none.
    """
    weights = [w for tower in state.network.towers.values() for w in tower.parameters()]
    weights = [w for w in weights if not w.stop_gradient]
    found = []
    with inference_mode(state.network):
        for k in range(batches):
            batch = state.train.batch(state.order.indices(state.step + k))
            counts = {t: int((of != UNLABELLED).sum()) for t, of in batch.labels.items()}
            if not all(counts.values()):
                continue
            flat = []
            for task in counts:
                logits = state.network(paddle.to_tensor(batch.images))
                task_losses(logits, batch.labels, counts)[task].backward()
                grads = [np.zeros(w.shape) if w.grad is None else w.grad.numpy() for w in weights]
                flat.append(np.concatenate([g.ravel() for g in grads]))
                for weight in state.network.parameters():
                    weight.clear_gradient(False)
            norms = np.linalg.norm(flat, axis=1)
            if norms.all():
                found.append(float(flat[0] @ flat[1] / norms.prod()))
    return found


def signal_shares(network: TwoTaskNetwork, dataset: NoduleDataset) -> dict[str, dict[str, float]]:
    """{site: mean and least effective share, and the part of the outputs that lie on the floor}.

    The effective share of an output is the standard deviation, over images and pixels, of what it
    takes from the other tower, over the sum of that and of what it takes from its own.
    """
    if not len(network.units):
        return {}
    images = paddle.to_tensor(dataset.batch(np.arange(min(len(dataset), 512))).images)
    with inference_mode(network), paddle.no_grad():
        x = (images - network.pixel_mean) / network.pixel_deviation
        features = [x, x]
        found = {}
        for stage in STAGES:
            towers = network.towers.values()
            features = [tower.run(stage, x) for tower, x in zip(towers, features)]
            if stage not in network.units:
                continue
            unit = network.units[stage]
            shares = []
            for own, other, tower in ((*features, "a"), (*features[::-1], "b")):
                own_weight, cross = unit.weights(tower)
                kept, taken = (
                    (part.flatten(2) * weight if part.ndim > 2 else part * weight).numpy()
                    for part, weight in ((own, own_weight), (other, cross))
                )
                axes = tuple(i for i in range(kept.ndim) if i != 1)
                spread = kept.std(axis=axes), taken.std(axis=axes)
                total = spread[0] + spread[1]
                shares.append(spread[1][total > 0] / total[total > 0])
            weight_shares = np.concatenate(unit.output_shares())
            both = np.concatenate(shares)
            found[stage] = {
                "signal_mean": float(both.mean()),
                "signal_least": float(both.min()),
                "weight_mean": float(weight_shares.mean()),
                "on_the_floor": float((weight_shares <= unit.cross_floor + 1e-6).mean()),
            }
            features = list(unit(*features))
    return found


def train_one(condition: Condition, seed: int, manifest: str, folder: Path) -> None:
    """Train under one condition; write ``predictions.csv`` and then ``training.json``."""
    config = config_of(condition, seed, manifest)
    place = set_up("cpu", config.seed)
    started = vars(Environment.current(place))
    dataset = load_dataset(config.data)
    split = split_of(dataset, config.data)
    train, test = dataset.subset(split.train), dataset.subset(split.test)
    record = SplitRecord.deal(dataset, config)
    train.labels[MALIGNANCY] = malignancy_labels(train, condition, seed)
    state = prepare(config, train, test)
    cosines: dict[int, list[float]] = {}
    for step in range(config.train.steps):
        if step in (20, config.train.steps // 2):
            cosines[step] = gradient_cosines(state)
        training_step(state)
    cosines[config.train.steps] = gradient_cosines(state)
    writable_folder(folder)
    write_predictions(folder / "predictions.csv", predict(state.network, test))
    known = [
        row.patient_id for row, of in zip(train.manifest.rows, train.labels[MALIGNANCY]) if of >= 0
    ]
    entries = {
        "condition": condition.name,
        "seed": seed,
        "fold": config.data.fold,
        "data": {
            "manifest": "/".join(Path(manifest).parts[-2:]),
            "source": dataset.manifest.source or "unknown",
            "crop": ", ".join(dataset.manifest.crop_rules),
            "crops": len(dataset),
            "patients": len({row.patient_id for row in dataset.manifest.rows}),
            "digests": [record.digest],
        },
        "steps": config.train.steps,
        "malignancy_patients": len(set(known)),
        "cosines": {str(step): values for step, values in cosines.items()},
        "shares": signal_shares(state.network, test),
        "environment": started,
        "finished": Environment.current(place).date,
    }
    write_text(folder / "training.json", json.dumps(entries, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the trainings that are missing, seed by seed, so that no condition is ahead."""
    parser = cli.parser(__doc__, "python experiments/small_networks.py --manifest M/manifest.csv")
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--part", default="0/1", metavar="K/N", help="every Nth training, from K")
    parser.add_argument("--out", type=Path, default=Path("output/small_networks"), metavar="DIR")
    options = parser.parse_args(argv)
    every = [(c, s) for s in range(options.seeds) for c in CONDITIONS]
    part, parts = map(int, options.part.split("/"))
    for condition, seed in bar(every[part::parts], unit="training"):
        folder = options.out / condition.name / f"seed{seed}"
        if not (folder / "training.json").is_file():
            train_one(condition, seed, options.manifest, folder)


if __name__ == "__main__":
    cli.run(main)
