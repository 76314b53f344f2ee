"""Test-retest of a run on LIDC-IDRI: the crop moved by 1 to 3 pixels, and one reader's outline.

Each nodule is answered by a network that was not trained on it, calibrated as the run's scores
are.  Its crops are cut again from 64x64 patches in HU (lidc-hu64.zip), with the majority's outline
moved, or with the outline of a single reader (LIDC-XML-only.zip) in its place.  Both archives
are in the folder that LUNGDX_LIDC names.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import record
from record import Results
from spread import shown, table

from lungdx_paddle.commands import cli
from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.evaluation.retest import Movement, movement
from lungdx_paddle.lidc import group_readings
from lungdx_paddle.lidc.annotations import find_annotations
from lungdx_paddle.lidc.masks import enclosed_area
from lungdx_paddle.manifest import Manifest, ManifestRow
from lungdx_paddle.preprocess.crop import CONTEXT, context_window, make_crop, middle_of
from lungdx_paddle.preprocess.window import apply_window
from lungdx_paddle.runtime import set_up
from lungdx_paddle.training.held_out import predict_held_out
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_calibration import calibration_of
from lungdx_paddle.words import count_of

SIDE = 64
"""Pixels of a patch, at the slice's own spacing."""

SLICE = (512, 512)

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))

SAME_OUTLINE = 0.9
"""Intersection over union of the patch's mask with the XML's, their middles on each other, above
which they are one nodule: on a slice there may be several."""


class Patches:
    """The patches of lidc-hu64.zip by the name of their crop."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            index = io.StringIO(archive.read("index.csv").decode())
            arrays = np.load(io.BytesIO(archive.read("patches.npz")))
        self.hu = 8.0 * arrays["gray"] - 1024
        self.masks = np.unpackbits(arrays["mask"], axis=-1).astype(bool)
        self.place = {row["image"]: i for i, row in enumerate(csv.DictReader(index))}

    def crop(self, row: ManifestRow, mask: np.ndarray) -> np.ndarray | None:
        """The crop by another mask; None where it reaches over the patch's edge."""
        spacing_mm = (row.pixel_spacing_mm,) * 2
        if not mask.any():
            return None
        if row.crop == CONTEXT:
            (x, y), (rows, columns) = context_window(middle_of(mask), spacing_mm)
            if min(x, y) < 0 or x + columns > SIDE or y + rows > SIDE:
                return None
        window = row.window_center, row.window_width
        gray = apply_window(self.hu[self.place[row.image]], *window)
        return make_crop(gray, mask, spacing_mm, row.crop)[0]


def reader_masks(
    rows: Sequence[ManifestRow], patches: Patches, xml: Path
) -> Iterator[dict[int, np.ndarray]]:
    """Of each row {reader: mask in its patch}; empty where the XML shows no such outline."""
    annotations = find_annotations(xml)[0]
    nodules = {
        uid: group_readings(annotations[uid], spacing)
        for uid, spacing in {(row.series_uid, row.pixel_spacing_mm) for row in rows}
        if uid in annotations
    }
    for row in rows:
        own = patches.masks[patches.place[row.image]]
        found: dict[int, np.ndarray] = {}
        for nodule in nodules.get(row.series_uid, ()):
            for uid in nodule.sop_uids:
                if row.z_mm is None or abs(nodule.z_mm.get(uid, np.inf) - row.z_mm) > 0.01:
                    continue
                whole = nodule.majority_mask(uid, SLICE)
                if not whole.any():
                    continue
                shift = np.subtract(middle_of(own), middle_of(whole)).tolist()
                if _overlap(_in_patch(whole, shift), own) > SAME_OUTLINE:
                    for reading in nodule.readings:
                        lines = [c for c in reading.contours if c.sop_uid == uid]
                        found[reading.reader] = _in_patch(enclosed_area(lines).mask(SLICE), shift)
        yield {reader: mask for reader, mask in found.items() if mask.any()}


def _in_patch(mask: np.ndarray, shift: Sequence[int]) -> np.ndarray:
    """A mask moved into a patch, down and right; empty where not all of it lies in the patch."""
    rows, columns = np.nonzero(mask)
    rows, columns = rows + shift[0], columns + shift[1]
    inside = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
    patch = np.zeros((SIDE, SIDE), bool)
    patch[rows[inside], columns[inside]] = inside.all()
    return patch


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def cut_again(
    rows: Sequence[ManifestRow], patches: Patches, lidc: Path
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """(what is changed, mask of each row) of each way of cutting again; empty: not this row."""
    own = [patches.masks[patches.place[row.image]] for row in rows]
    for pixels in (1, 2, 3):
        for down, right in DIRECTIONS:
            masks = [_in_patch(mask, (pixels * down, pixels * right)) for mask in own]
            yield f"moved by {count_of(pixels, 'pixel')}", masks
    by_row = list(reader_masks(rows, patches, lidc / "LIDC-XML-only.zip"))
    for reader in sorted({reader for of_row in by_row for reader in of_row}):
        nothing = np.zeros((SIDE, SIDE), bool)
        yield "one reader's outline", [of_row.get(reader, nothing) for of_row in by_row]


def retest(run: Run, lidc: Path) -> dict[str, Movement]:
    """{what is changed: how far the answers move} of the run's own held-out nodules."""
    set_up("cpu", run.config.seed)
    network, patches = run.network(), Patches(lidc / "lidc-hu64.zip")
    held_out, fold, _ = predict_held_out(run, network, load_dataset(run.config.data))
    there = [i for i, row in enumerate(held_out.rows) if row.image in patches.place]
    held_out, fold = held_out.select(there), fold[there]
    calibration = calibration_of(run)

    def answers(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, Predictions]:
        """(n,) rows that can be cut by their mask, and what their networks say of them."""
        crops = [patches.crop(row, mask) for row, mask in zip(held_out.rows, masks)]
        rows = np.array([i for i, crop in enumerate(crops) if crop is not None], dtype=int)
        images = np.array([crop for crop in crops if crop is not None], np.uint8)
        found = held_out.select(rows)
        data = NoduleDataset(Manifest(Path(), found.rows), found.label_set, images)
        probabilities = {task: p.copy() for task, p in found.probabilities.items()}
        for k, member in enumerate(network.members):
            of_fold = np.flatnonzero(fold[rows] == k)
            if len(of_fold):
                for task, p in predict(member, data.subset(of_fold)).probabilities.items():
                    probabilities[task][of_fold] = p
        found = replace(found, probabilities=probabilities)
        return rows, calibration.apply(found, fold[rows]) if calibration else found

    first, before = answers([patches.masks[patches.place[row.image]] for row in held_out.rows])
    place = {row: i for i, row in enumerate(first.tolist())}
    pairs: dict[str, list[tuple[Predictions, Predictions]]] = {}
    for name, masks in cut_again(held_out.rows, patches, lidc):
        rows, after = answers(masks)
        both = [i for i, row in enumerate(rows.tolist()) if row in place]
        same = before.select([place[row] for row in rows[both].tolist()])
        pairs.setdefault(name, []).append((same, after.select(both)))
    return {name: movement(of_name) for name, of_name in pairs.items()}


def measure(runs: Sequence[Run]) -> Results:
    """``{what is changed: a Movement's fields}``."""
    (run,) = runs
    found = retest(run, Path(os.environ["LUNGDX_LIDC"]))
    return {what: dataclasses.asdict(movement) for what, movement in found.items()}


def movements(results: Results) -> str:
    """How far the answers of nodules move by each change of their crops."""
    rows = [[what, *(shown(value) for value in of.values())] for what, of in results.items()]
    head = ["", "nodules", "answers", "another level", "mean change", "95th percentile"]
    return table(head, rows)


main = record.command(__doc__, "python experiments/retest.py --run output/best", measure)

if __name__ == "__main__":
    cli.run(main)
