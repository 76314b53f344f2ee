"""Clicks instead of outlines: the nodule that is grown from a point, and the answer about it.

Needs the folder of the real data in LUNGDX_LIDC, and nibabel.  Clicks lie up to 2 mm from the
middle of the readers' majority outline, evenly in the ball, on whole pixels and slices.  Each
nodule is answered by the networks that were not trained on its patient.  The constants of growing
were chosen on every fifth volume and on points in the two CTs: those numbers flatter them a little.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import record
from record import Results
from scipy import ndimage
from spread import table

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.evaluation.calibration import expected_level, level_class
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.grow import grow
from lungdx_paddle.lidc import find_scans
from lungdx_paddle.lidc.regions import region_of
from lungdx_paddle.preprocess.crop import CONTEXT, make_crop
from lungdx_paddle.preprocess.window import apply_window
from lungdx_paddle.progress import bar

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

OFF_MM = 2.0
CLICKS_IN_CT = 10
"""On each nodule of the two whole CTs."""
POINTS_PER_KIND = 100
"""Of each CT, that are no nodule."""
NEAR_PX = 6
"""A point within so many pixels of an outline, or on the slices beside it, may be of the nodule."""
SAME_FROM = 0.7
"""Dice above which the grown nodule is called the outlined one."""
VOLUMES, LARGEST, SCANS = "lidc-voi-hu.zip", "lidc-hu71.zip", "lidc-dicom.zip"


@dataclass(frozen=True, eq=False)
class Case:
    """A nodule with the readers' outline."""

    patient: str
    hu: np.ndarray
    """(slices, rows, columns)."""
    mask: np.ndarray
    spacing_mm: tuple[float, float, float]


def volumes(path: Path) -> Iterator[Case]:
    """842 nodules of three readers or more, cut out with what lies about them in the slice."""
    import nibabel

    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.startswith("nodule_mask/") and n.endswith("gz")]
        for name in sorted(names):
            image = "image/" + Path(name).name.replace("_Mask", "")
            if image not in archive.namelist():
                continue
            arrays = []
            for member in (image, name):
                content = gzip.decompress(archive.read(member))
                nifti = nibabel.Nifti1Image.from_bytes(content)
                arrays.append(np.asarray(nifti.dataobj).transpose(2, 1, 0))
            spacing = tuple(float(mm) for mm in nifti.header.get_zooms()[:3])[::-1]
            hu, mask = arrays[0].astype(np.int16), arrays[1] > 0
            yield Case(Path(image).name[:14], hu, mask, (spacing[0], spacing[1], spacing[2]))


def single_slices(path: Path) -> Iterator[Case]:
    """Nodules on the slice where one reader's outline is largest, and that outline."""
    with zipfile.ZipFile(path) as archive:
        rows = csv.DictReader(io.StringIO(archive.read("nodules.csv").decode()))
        arrays = np.load(io.BytesIO(archive.read("patches.npz")))
        hu, masks = arrays["hu"], arrays["mask"] > 0
        for i, row in enumerate(rows):
            if masks[i].any():
                pixel_mm = float(row["pixel_spacing_mm"])
                spacing_mm = (2.5, pixel_mm, pixel_mm)
                yield Case(row["patient_id"], hu[i][np.newaxis], masks[i][np.newaxis], spacing_mm)


def clicks(cases: Sequence[Case], seed: int) -> list[tuple[float, float, float]]:
    """A point for each nodule, up to 2 mm from its middle."""
    random = np.random.default_rng(seed)
    points = []
    for case in cases:
        direction = random.normal(size=3)
        off_mm = OFF_MM * random.uniform() ** (1 / 3) * direction / np.linalg.norm(direction)
        point = np.array(ndimage.center_of_mass(case.mask)) + off_mm / case.spacing_mm
        z, y, x = np.clip(np.rint(point), 0, np.array(case.hu.shape) - 1)
        points.append((float(z), float(y), float(x)))
    return points


class Answers:
    """Expected levels by a run's networks, of those not trained on the patient."""

    def __init__(self, run: Run) -> None:
        from lungdx_paddle.training.run_calibration import calibration_of

        self.networks = run.network().members
        self.fold = {r.patient_id: p for r, p in zip(run.record.rows, run.record.parts)}
        found = calibration_of(run)
        self.calibration = found.shipped if found else None
        self.window = run.record.manifest.rows[0].window
        if run.record.manifest.crop_rules != [CONTEXT]:
            raise LungdxError(
                "the run",
                expected=f"crops of the rule {CONTEXT}, which need no outline",
                found=", ".join(run.record.manifest.crop_rules),
                fix="give a run on such crops",
            )

    def expected(self, cases: Sequence[Case], masks: Sequence[np.ndarray]) -> np.ndarray:
        """(n,) expected levels; NaN where a mask is empty."""
        import paddle

        images, owner, z_mm = [], [], []
        for i, (case, mask) in enumerate(zip(cases, masks)):
            gray = apply_window(case.hu, *self.window)
            for index in np.flatnonzero(mask.any(axis=(1, 2))):
                crop, _ = make_crop(gray[index], mask[index], case.spacing_mm[1:], CONTEXT)
                images.append(crop)
                owner.append(i)
                z_mm.append(index * case.spacing_mm[0])
        of_fold = np.array([self.fold.get(cases[i].patient, "all") for i in owner])
        all_images = np.stack(images)[:, np.newaxis].astype(np.float32)
        p = np.zeros((len(images), 5))
        for k, network in enumerate(self.networks):
            own = np.flatnonzero((of_fold == str(k)) | (of_fold == "all"))
            for start in range(0, len(own), 256):
                part = own[start : start + 256]
                with paddle.no_grad():
                    found = network.probabilities(paddle.to_tensor(all_images[part]))
                share = np.where(of_fold[part] == "all", 1 / len(self.networks), 1.0)
                p[part] += share[:, np.newaxis] * found[MALIGNANCY].numpy()
        if self.calibration:
            p = self.calibration.probabilities({MALIGNANCY: p})[MALIGNANCY]
        owner_, heights = np.array(owner), np.array(z_mm)
        levels = np.full(len(cases), np.nan)
        for i in np.unique(owner_):
            own = owner_ == i
            levels[i] = expected_level(slice_weights(heights[own].tolist()) @ p[own])
        return levels

    def level(self, expected: np.ndarray) -> np.ndarray:
        """(n,) levels, -1 where there is none."""
        cuts = self.calibration.cuts if self.calibration else ()
        cuts = cuts or (1.5, 2.5, 3.5, 4.5)
        return np.array([-1 if np.isnan(e) else level_class(e, cuts) for e in expected])


def compare(cases: Sequence[Case], answers: Answers, seed: int) -> dict[str, Any]:
    """How the grown nodules agree with the outlined ones, and their answers."""
    found = [
        grow(case.hu, point, case.spacing_mm)
        for case, point in bar(list(zip(cases, clicks(cases, seed))), unit="click")
    ]
    dice = np.array(
        [
            2 * (case.mask & own.mask).sum() / (case.mask.sum() + own.mask.sum())
            for case, own in zip(cases, found)
        ]
    )
    by_outline = answers.expected(cases, [case.mask for case in cases])
    by_click = answers.expected(cases, [own.mask for own in found])
    same = answers.level(by_outline) == answers.level(by_click)
    moved = np.abs(by_outline - by_click)
    return {
        "clicks": len(cases),
        "patients": len({case.patient for case in cases}),
        "dice_quartiles": [round(float(q), 3) for q in np.percentile(dice, (25, 50, 75))],
        "dice_above": round(float((dice >= SAME_FROM).mean()), 3),
        "same_level": round(float(same.mean()), 3),
        "mean_change": round(float(np.nanmean(moved)), 3),
        "refused": round(float(np.mean([not own.mask.any() for own in found])), 3),
        "warned": round(float(np.mean([bool(own.mask.any() and own.doubts) for own in found])), 3),
    }


def no_nodules(
    hu: np.ndarray, nodules: np.ndarray, seed: int
) -> dict[str, list[tuple[int, int, int]]]:
    """Points of a CT that lie on no outlined nodule: {where: [(slice, row, column)]}."""
    near = np.zeros_like(nodules)
    for index in np.flatnonzero(nodules.any(axis=(1, 2))).tolist():
        grown = ndimage.binary_dilation(nodules[index], iterations=NEAR_PX)
        near[max(0, index - 2) : index + 3] |= grown
    smooth = ndimage.uniform_filter(hu.astype(np.float32), (0, 5, 5))
    body, lung = np.zeros((2, *hu.shape), bool)
    for index, slice_ in enumerate(smooth):
        dense = ndimage.binary_opening(slice_ > -400, iterations=3)
        body[index] = ndimage.binary_fill_holes(dense)
        lung[index] = body[index] & (slice_ < -500)
    closed = np.stack([ndimage.binary_closing(part, iterations=6) for part in lung])
    kinds = {
        "anywhere in the CT": ~near,
        "lung": lung & ~near,
        "soft tissue and bone": body & (hu > -200) & ~near,
        "vessels and airway walls in lung": closed & (hu > -500) & ~near,
    }
    random = np.random.default_rng(seed)
    return {
        kind: [tuple(p) for p in random.choice(np.argwhere(mask), POINTS_PER_KIND, replace=False)]
        for kind, mask in kinds.items()
    }


def measure(runs: Sequence[Run]) -> Results:
    """``nodules`` by kind of data, ``points`` by where they lie; ``clicks`` and ``weights`` for
    the model card.
    """
    from lungdx_paddle.runtime import set_up

    (run,) = runs
    set_up("cpu", run.config.seed)
    folder, answers = Path(os.environ["LUNGDX_LIDC"]), Answers(run)
    nodules = {
        "3-D, three readers or more": compare(list(volumes(folder / VOLUMES)), answers, 0),
        "one slice, one reader": compare(list(single_slices(folder / LARGEST)), answers, 0),
    }
    whole: list[Case] = []
    points: dict[str, list[tuple[bool, bool]]] = {}
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(folder / SCANS) as archive:
            archive.extractall(place)
        for scan in find_scans(Path(place)):
            hu, spacing_mm = scan.series.volume_hu(), scan.series.spacing_zyx_mm
            masks = []
            for nodule in scan.nodules:
                region = region_of(scan.series, nodule)
                masks.append(np.zeros(hu.shape, bool))
                for index in region.areas:
                    masks[-1][index] = region.mask(index)
            whole += [Case(scan.patient_id, hu, mask, spacing_mm) for mask in masks if mask.any()]
            for kind, places in no_nodules(hu, np.any(masks, axis=0), 0).items():
                for point in places:
                    own = grow(hu, point, spacing_mm)
                    points.setdefault(kind, []).append((not own.mask.any(), bool(own.doubts)))
    close = [case for case in map(_close, whole) for _ in range(CLICKS_IN_CT)]
    nodules["whole CTs 0001 and 0012"] = compare(close, answers, 0)
    results: dict[str, Any] = {"nodules": nodules, "points": {}}
    for kind, told in points.items():
        refused, warned = np.array(told).T
        results["points"][kind] = {
            "points": len(told),
            "refused": round(float(refused.mean()), 3),
            "warned": round(float((warned & ~refused).mean()), 3),
            "neither": round(float((~refused & ~warned).mean()), 3),
        }
    results["weights"] = run.digests.weights
    results["clicks"] = [dict(zip(HEAD, cells)) for cells in _rows(results)]
    return results


def _close(case: Case) -> Case:
    """A nodule with 40 mm of its CT about it."""
    reach = np.ceil(40 / np.array(case.spacing_mm)).astype(int)
    middle = np.rint(ndimage.center_of_mass(case.mask)).astype(int)
    part = tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach))
    return Case(case.patient, case.hu[part], case.mask[part], case.spacing_mm)


HEAD = (
    "clicks up to 2 mm off",
    "nodules",
    "Dice, median (quartiles)",
    "same level",
    "mean change of the level",
    "refused",
    "warned of",
)


def _rows(results: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for kind, of in results["nodules"].items():
        low, median, high = of["dice_quartiles"]
        dice = f"{median:.2f} ({low:.2f} to {high:.2f})"
        shares = [f"{of[name]:.1%}" for name in ("same_level", "refused", "warned")]
        change = f"{of['mean_change']:.2f}"
        rows.append([kind, str(of["clicks"]), dice, shares[0], change, *shares[1:]])
    return rows


def nodules(results: Results) -> str:
    """Clicks on nodules."""
    return table(list(HEAD), _rows(results))


def others(results: Results) -> str:
    """Points that are no nodule."""
    rows = [
        [kind, str(of["points"]), *(f"{of[name]:.1%}" for name in ("refused", "warned", "neither"))]
        for kind, of in results["points"].items()
    ]
    return table(["points that are no nodule", "points", "refused", "warned of", "neither"], rows)


main = record.command(__doc__, "python experiments/clicks.py --run output/best", measure)

if __name__ == "__main__":
    cli.run(main)
