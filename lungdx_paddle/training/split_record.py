"""``split.csv``: what a run trains on and what it holds out, one row a crop.

Written when a training starts.  Whatever evaluates, resumes or exports the run later reads this
file and never deals the split again, since the manifest may have grown, shrunk or been sorted
meanwhile.  The file is a manifest with further columns: the part of each crop, its labels and a
digest of its pixels.  Its first line names the digest of all pixels and labels, and that of the
parts, so that a file which was edited or is of another run is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset, split_of
from lungdx_paddle.data.labels import UNLABELLED
from lungdx_paddle.data.matching import (
    check_made_alike,
    match_rows,
    nodule_names,
    patient_names,
)
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.files import LARGEST_BYTES, read_text
from lungdx_paddle.manifest import Manifest, ManifestRow, read_rows, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.checkpoint import digest

SPLIT = "split.csv"

TRAIN, TEST = "train", "test"
"""Values of the column ``side``."""

_COMMENT = "crops and labels: blake2b {}; split: blake2b {}"
"""On the first line."""


@dataclass(frozen=True)
class DataChanges:
    """How a manifest's crops now differ from those that a run recorded: numbers of crops."""

    missing: int = 0
    added: int = 0
    relabelled: int = 0
    altered: int = 0
    """Crops with other pixels."""

    def __bool__(self) -> bool:
        return any((self.missing, self.added, self.relabelled, self.altered))

    def __str__(self) -> str:
        counts = {
            "missing": self.missing,
            "added": self.added,
            "with another label": self.relabelled,
            "with other pixels": self.altered,
        }
        found = [f"{n} crop{'s' * (n > 1)} {what}" for what, n in counts.items() if n]
        return ", ".join(found) or "the same crops"


@dataclass(frozen=True, repr=False)
class SplitRecord:
    """The crops of a run, in the order in which it was trained."""

    rows: tuple[ManifestRow, ...]
    parts: tuple[str, ...]
    """Of each crop: ``train`` or ``test``, or its fold ("0", "1", ...) in a cross-validation."""
    labels: Mapping[str, np.ndarray]
    """{task: (n,) int64 classes, -1 for no label}."""
    pixels: tuple[str, ...]
    """Digest of each crop's pixels."""

    @classmethod
    def of(cls, dataset: NoduleDataset, parts: Sequence[str]) -> SplitRecord:
        """Record a dataset whose crops belong to ``parts``."""
        rows = tuple(replace(row, extra={}) for row in dataset.manifest.rows)
        return cls(rows, tuple(parts), dict(dataset.labels), pixel_digests(dataset.images))

    @classmethod
    def deal(cls, dataset: NoduleDataset, config: Config) -> SplitRecord:
        """Deal a dataset's crops into training and test part, or into folds, as a config says."""
        parts = np.full(len(dataset), TRAIN, dtype=object)
        if config.is_ensemble:
            for k in range(config.data.folds):
                parts[split_of(dataset, replace(config.data, fold=k)).test] = str(k)
        else:
            parts[split_of(dataset, config.data).test] = TEST
        return cls.of(dataset, parts.tolist())

    def __repr__(self) -> str:
        counts = {part: self.parts.count(part) for part in sorted(set(self.parts))}
        return f"SplitRecord({len(self.rows)} crops: {counts}, digest {self.digest})"

    @property
    def digest(self) -> str:
        """BLAKE2b of all crops' pixels and labels; it does not depend on their order."""
        # Plain ints: NumPy 2 writes another text of its own than NumPy 1.
        labels = zip(*(values.tolist() for values in self.labels.values()))
        lines = sorted(
            "\0".join([row.patient_id, str(row.nodule), pixels, *map(str, classes)])
            for row, pixels, classes in zip(self.rows, self.pixels, labels)
        )
        return digest("\n".join(lines).encode())

    @property
    def split_digest(self) -> str:
        """BLAKE2b of which crop is in which part, and how crops were made; not of their order."""
        lines = []
        for row, pixels, part in zip(self.rows, self.pixels, self.parts):
            z_mm = "" if row.z_mm is None else f"{row.z_mm:g}"  # as it is written
            name = [row.patient_id, row.series_uid, str(row.nodule), row.sop_uid, z_mm]
            name += [f"{row.window_center:g}", f"{row.window_width:g}", row.crop]
            lines.append("\0".join([*name, pixels, part]))
        return digest("\n".join(sorted(lines)).encode())

    def of_fold(self, fold: int) -> SplitRecord:
        """The record of one network of a cross-validation: held out is its fold."""
        parts = tuple(TEST if part == str(fold) else TRAIN for part in self.parts)
        return replace(self, parts=parts)

    @property
    def manifest(self) -> Manifest:
        """The recorded rows as a manifest: its window, crop rule and source."""
        return Manifest(Path(), self.rows)

    def training_rows(self, fold: int | None = None) -> np.ndarray:
        """Indices of the training part; in a cross-validation, of the network of ``fold``."""
        chosen = [p == TRAIN if fold is None else p != str(fold) for p in self.parts]
        return np.flatnonzero(chosen)

    def write(self, path: Path) -> None:
        """Write ``split.csv``.

        Raises:
            OutputError: it cannot be written.
        """
        column = "side" if set(self.parts) <= {TRAIN, TEST} else "fold"
        rows = [
            replace(
                row,
                extra={
                    column: part,
                    **{
                        f"{task}_label": "" if values[i] == UNLABELLED else str(values[i])
                        for task, values in self.labels.items()
                    },
                    "pixels": pixels,
                },
            )
            for i, (row, part, pixels) in enumerate(zip(self.rows, self.parts, self.pixels))
        ]
        write_manifest(path, rows, comment=_COMMENT.format(self.digest, self.split_digest))

    @classmethod
    def read(cls, path: Path) -> SplitRecord:
        """Read what :meth:`write` wrote.

        Raises:
            CheckpointError: it is missing, damaged, or was changed by hand.
        """
        try:
            first = read_text(path, LARGEST_BYTES).partition("\n")[0].strip()
            record = cls._from_rows(read_rows(path))
            own = f"# {_COMMENT.format(record.digest, record.split_digest)}"
            found = "" if first == own else "a first line of other crops or another split"
        except (ManifestError, KeyError, ValueError) as error:
            found = str(error)
        if found:
            raise CheckpointError(
                str(path),
                expected="the record of a training's crops",
                found=found,
                fix="copy the whole output folder again; a run of an earlier version has to be "
                "trained again",
            )
        return record

    @classmethod
    def _from_rows(cls, rows: Sequence[ManifestRow]) -> SplitRecord:
        column, *labels, _ = rows[0].extra
        tasks = [name.removesuffix("_label") for name in labels]
        return cls(
            tuple(replace(row, extra={}) for row in rows),
            tuple(row.extra[column] for row in rows),
            {
                t: np.array([int(row.extra[f"{t}_label"] or UNLABELLED) for row in rows])
                for t in tasks
            },
            tuple(row.extra["pixels"] for row in rows),
        )

    def find(self, dataset: NoduleDataset) -> np.ndarray:
        """(n,) index of each recorded crop in ``dataset``, -1 where it is missing.

        Crops are the same by patient, series, nodule and slice, never by file name.
        """
        return match_rows(
            self.rows, dataset.manifest.rows, self.pixels, pixel_digests(dataset.images)
        )

    def changes(self, dataset: NoduleDataset) -> DataChanges:
        """Compare the crops of a manifest with the recorded ones."""
        place = self.find(dataset)
        mine = np.flatnonzero(place >= 0)
        there = place[mine]
        pixels = pixel_digests(dataset.images)
        other_label = np.zeros(len(mine), dtype=bool)
        for task, labels in self.labels.items():
            other_label |= labels[mine] != dataset.labels[task][there]
        return DataChanges(
            missing=len(place) - len(mine),
            added=len(dataset) - len(set(there.tolist())),
            relabelled=int(other_label.sum()),
            altered=sum(self.pixels[i] != pixels[j] for i, j in zip(mine, there)),
        )

    def check_made_alike(self, manifest: Manifest) -> None:
        """Check that another manifest's crops were made as these were.

        Raises:
            ManifestError: they were not.
        """
        own = self.manifest
        check_made_alike(manifest, own.crop_rules[0], own.grays[0], "the run's")

    def align(self, dataset: NoduleDataset, where: str) -> NoduleDataset:
        """The recorded crops, in the recorded order, for a training that goes on.

        Raises:
            ManifestError: the crops were made by another rule or window, or are not those of the
                record; the message counts how.
        """
        self.check_made_alike(dataset.manifest)
        changes = self.changes(dataset)
        if changes:
            raise ManifestError(
                where,
                expected=f"the {len(self.rows)} crops that the run was started with",
                found=str(changes),
                fix="resume with the crops and labels as they were, or train anew into another "
                "folder (-o output=DIR)",
            )
        return dataset.subset(self.find(dataset))

    def seen(self, dataset: NoduleDataset, by: str, fold: int | None = None) -> np.ndarray:
        """(n,) bool: which crops share an image, nodule or patient with the training part.

        Args:
            dataset: the run's own crops, or others.
            by: image, nodule or patient.
            fold: of a cross-validation, whose network is meant.
        """
        crops, digests = dataset.manifest.rows, pixel_digests(dataset.images)
        place = match_rows(crops, self.rows, digests, self.pixels).tolist()
        trained = set(self.training_rows(fold).tolist())
        rows, pixels = [self.rows[i] for i in trained], {self.pixels[i] for i in trained}
        recorded = [i >= 0 and self.pixels[i] == own for i, own in zip(place, digests)]
        # Under whatever names: the pixels of a training crop.
        copies = [own in pixels and not known for own, known in zip(digests, recorded)]
        if by == "image":
            # Of a nodule with a training crop of which no slice is known, none is surely unseen.
            unsure = {row.nodule_key for row in rows if not row.sop_uid and row.z_mm is None}
            is_seen = [
                i in trained if i >= 0 else row.nodule_key in unsure for row, i in zip(crops, place)
            ]
            return np.array(is_seen, dtype=bool) | np.array(copies, dtype=bool)
        names_of = patient_names if by == "patient" else nodule_names
        names = [names_of(row) for row in crops]
        own_names = {names_of(row)[0] for row in rows}
        # Another manifest may call the same patient otherwise: its series and a copy tell.
        all_names = set().union(
            *(names_of(row) for row in rows), *(of for of, copy in zip(names, copies) if copy)
        )
        return np.array(
            [
                of[0] in own_names if known else not all_names.isdisjoint(of)
                for of, known in zip(names, recorded)
            ],
            dtype=bool,
        )


def pixel_digests(images: np.ndarray) -> tuple[str, ...]:
    """BLAKE2b of each of (n, 32, 32) uint8 crops, 16 hexadecimal digits."""
    return tuple(hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in images)
