"""One patient's pictures of the public set of nodule slices -> the crops of the nodules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Annotations, Skipped, group_readings
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.preprocess.crop import crop_nodule
from lungdx_paddle.preprocess.patches.patch_files import PictureFolder, read_picture
from lungdx_paddle.preprocess.patches.patch_matching import (
    SCAN_SHAPE,
    Atlas,
    Marked,
    Place,
    cut,
    find_places,
)

_Key = tuple[str, int, str]
"""Series UID, the patient's number of the nodule, SOP instance UID."""


@dataclass(frozen=True, eq=False)
class SliceCrop:
    """One nodule on one slice."""

    marked: Marked
    sop_uid: str
    image: np.ndarray
    """(32, 32) uint8."""
    scale: float
    """1.0, or the factor by which the nodule was shrunk."""

    @property
    def key(self) -> _Key:
        """What makes it one crop: the nodule and the slice."""
        return self.marked.series_uid, self.marked.number, self.sop_uid


@dataclass(eq=False)
class PatientCrops:
    """All that one patient's pictures give."""

    failure: str = ""
    """Why they give nothing; empty if they were looked at."""
    nodules: Sequence[Marked] = ()
    """All of the patient's, shown or not."""
    crops: dict[_Key, SliceCrop] = field(default_factory=dict)
    left_out: list[Skipped] = field(default_factory=list)
    """Pictures, parts of pictures and nodules without a crop, with the reason."""
    pictures: Counter[str] = field(default_factory=Counter)
    """How many lie in each series, by UID."""
    stretched: int = 0
    """Pictures that reach from black to white."""

    def leave_out(self, name: str, reason: str) -> None:
        """Note what is left out, and why."""
        self.left_out.append(Skipped(name, reason))


def crop_patient(
    folders: Sequence[PictureFolder], annotations: Sequence[Annotations]
) -> PatientCrops:
    """Find out where the pictures lie and cut the nodules out of them.

    The crop follows the area that at least half of the slice's readers enclosed, as the
    XML files say it: the set lacks some readers.

    Args:
        folders: the patient's pictures.
        annotations: of all the patient's series, by UID.
    """
    found = PatientCrops(nodules=_mark(annotations))
    atlas = Atlas(found.nodules)
    for folder in folders:
        images, masks = _read(folder, found)
        places, reasons = find_places(masks, atlas)
        for k, reason in sorted(reasons.items()):
            found.leave_out(f"{folder.name}/slice-{k}", reason)
        for place in places:
            found.pictures[place.series_uid] += len(place.slices)
            _crop_place(folder, place, images, found)
    shown = {(series_uid, number) for series_uid, number, _ in found.crops}
    for marked in found.nodules:
        if marked.nodule.sop_uids and (marked.series_uid, marked.number) not in shown:
            readers = len(marked.nodule.readings)
            patient_id = known_series()[marked.series_uid].patient_id
            name = f"{patient_id}, nodule {marked.number} of {readers} readers"
            found.leave_out(name, "no picture surely shows it")
    return found


def _mark(annotations: Sequence[Annotations]) -> list[Marked]:
    """The nodules of all series, numbered as :func:`.pipeline.preprocess` numbers them."""
    marked: list[Marked] = []
    first = 0
    for of_series in annotations:
        facts = known_series()[of_series.series_uid]
        nodules = group_readings(of_series, facts.pixel_spacing_mm, facts.slice_spacing_mm)
        marked += [Marked(of_series.series_uid, first + n.number, n) for n in nodules]
        first += len(nodules)
    return marked


def _read(
    folder: PictureFolder, found: PatientCrops
) -> tuple[dict[int, np.ndarray], dict[int, list[np.ndarray]]]:
    """The folder's images, and of the slices that have one the masks (bool) that can be read."""
    images: dict[int, np.ndarray] = {}
    masks: dict[int, list[np.ndarray]] = {}
    for k in sorted({*folder.images, *folder.masks}):
        if k not in folder.images:
            found.leave_out(f"{folder.name}/slice-{k}", "masks without their image")
            continue
        try:
            images[k] = read_picture(folder.images[k])
        except LidcError as error:
            found.leave_out(f"{folder.name}/slice-{k}", str(error))
            continue
        found.stretched += bool(images[k].min() == 0 and images[k].max() == 255)
        masks[k] = []
        for file in folder.masks.get(k, ()):
            try:
                masks[k].append(read_picture(file) > 0)
            except LidcError as error:
                found.leave_out(f"a mask of {folder.name}/slice-{k}", str(error))
    return images, masks


def _crop_place(
    folder: PictureFolder, place: Place, images: Mapping[int, np.ndarray], found: PatientCrops
) -> None:
    here = [
        marked
        for marked in found.nodules
        if marked.series_uid == place.series_uid and marked.number in place.numbers
    ]
    for k, sop_uid in sorted(place.slices.items()):
        for marked in here:
            area = marked.nodule.majority_mask(sop_uid, SCAN_SHAPE)
            mask = cut(area, place.corner_xy, images[k].shape)
            if mask.sum() < area.sum():
                name = f"nodule {marked.number} on {folder.name}/slice-{k}"
                found.leave_out(name, "it reaches over the picture's edge")
            elif area.any():
                image, scale = crop_nodule(images[k], mask)
                crop = SliceCrop(marked, sop_uid, image, scale)
                found.crops.setdefault(crop.key, crop)  # two pictures may show one nodule
