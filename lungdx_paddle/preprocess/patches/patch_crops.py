"""One patient's pictures of the public set of nodule slices -> the crops of the nodules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Annotations, Nodule, Skipped, group_readings
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.scan import first_numbers
from lungdx_paddle.preprocess.crop import CONTEXT, context_window, cut, make_crop, middle_of
from lungdx_paddle.preprocess.crop_files import Crop, CropSettings
from lungdx_paddle.preprocess.patches.patch_files import PictureFolder, read_picture
from lungdx_paddle.preprocess.patches.patch_matching import (
    SCAN_SHAPE,
    MaskIndex,
    Place,
    find_places,
)
from lungdx_paddle.preprocess.patches.slice_hu import UNKNOWN
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

UNREADABLE = "cannot be read"
"""Why a picture or a mask is left out: the error follows."""

CropKey = tuple[str, int, str]
"""Series UID, the patient's number of the nodule, SOP instance UID."""


@dataclass(eq=False)
class PatientCrops:
    """The crops of one patient's pictures, and what was left out."""

    patient_id: str
    nodules: Mapping[str, Sequence[Nodule]]
    """All of the patient's by series UID, shown or not, numbered through the series."""
    crops: dict[CropKey, Crop] = field(default_factory=dict)
    left_out: list[Skipped] = field(default_factory=list)
    """Pictures, masks and nodules without a crop, with the reason."""
    pictures: Counter[str] = field(default_factory=Counter)
    """How many lie in each series, by UID."""
    failure: str = ""
    """Why there are no crops at all; empty if the pictures were looked at."""

    def leave_out(self, name: str, reason: str) -> None:
        """Note what is left out, and why."""
        self.left_out.append(Skipped(name, reason))


def crop_patient(
    patient_id: str,
    folders: Sequence[PictureFolder],
    annotations: Sequence[Annotations],
    settings: CropSettings,
) -> PatientCrops:
    """Locate a patient's pictures in the scans and cut the nodules out of them.

    The crop follows the area that at least half of the slice's readers enclosed, as the
    XML files have it: the set lacks some readers.  Gray values become HU, and these the
    window's gray values, before anything else is done with them.

    Args:
        patient_id: DICOM (0010,0020).
        folders: the patient's pictures.
        annotations: of all the patient's series.
        settings: rule and window; without a window pictures stay stretched as they are.
    """
    found = PatientCrops(patient_id, _numbered_nodules(annotations))
    index = MaskIndex(found.nodules)
    for folder in folders:
        images, masks = _read(folder, found)
        places, reasons = find_places(masks, index)
        for k, reason in sorted(reasons.items()):
            found.leave_out(f"{folder.name}/slice-{k}", reason)
        for place in places:
            found.pictures[place.series_uid] += len(place.slices)
            _crop_place(folder, place, images, settings, found)
    shown = {(series_uid, number) for series_uid, number, _ in found.crops}
    for series_uid, nodules in found.nodules.items():
        for nodule in nodules:
            if nodule.sop_uids and (series_uid, nodule.number) not in shown:
                name = f"{patient_id}, nodule {nodule.number} of {len(nodule.readings)} readers"
                found.leave_out(name, "no picture gave a crop of it")
    return found


def _numbered_nodules(annotations: Sequence[Annotations]) -> dict[str, list[Nodule]]:
    grouped: dict[str, list[Nodule]] = {}
    for of_series in annotations:
        facts = known_series()[of_series.series_uid]
        nodules = group_readings(of_series, facts.pixel_spacing_mm, facts.slice_spacing_mm)
        grouped[of_series.series_uid] = nodules
    first = first_numbers(("", uid, len(nodules)) for uid, nodules in grouped.items())
    return {
        uid: [replace(nodule, number=first[uid] + nodule.number) for nodule in nodules]
        for uid, nodules in grouped.items()
    }


def _read(
    folder: PictureFolder, found: PatientCrops
) -> tuple[dict[int, np.ndarray], dict[int, list[np.ndarray]]]:
    """Images by slice, and the readable masks (bool) of the slices that have an image."""
    images: dict[int, np.ndarray] = {}
    masks: dict[int, list[np.ndarray]] = {}
    for k in sorted({*folder.images, *folder.masks}):
        if k not in folder.images:
            found.leave_out(f"{folder.name}/slice-{k}", "masks without their image")
            continue
        try:
            images[k] = read_picture(folder.images[k])
        except LidcError as error:
            found.leave_out(f"{folder.name}/slice-{k}", f"{UNREADABLE}: {error}")
            continue
        masks[k] = []
        for file in folder.masks.get(k, ()):
            try:
                masks[k].append(read_picture(file) > 0)
            except LidcError as error:
                found.leave_out(f"a mask of {folder.name}/slice-{k}", f"{UNREADABLE}: {error}")
    return images, masks


def _crop_place(
    folder: PictureFolder,
    place: Place,
    images: Mapping[int, np.ndarray],
    settings: CropSettings,
    found: PatientCrops,
) -> None:
    nodules = [n for n in found.nodules[place.series_uid] if n.number in place.numbers]
    for k, sop_uid in sorted(place.slices.items()):
        picture, hu = images[k], folder.hu.get(k)
        doubt = UNKNOWN if hu is None else hu.doubt(picture)
        if hu is None or doubt:
            found.leave_out(f"{folder.name}/slice-{k}", doubt)
            continue
        gray = apply_window(hu.of(picture), *(settings.window or DEFAULT_WINDOW))
        for nodule in nodules:
            area = nodule.majority_mask(sop_uid, SCAN_SHAPE)
            if not area.any():
                continue
            mask = cut(area, place.corner_xy, gray.shape)
            spacing_mm = nodule.spacing_yx_mm
            shown = mask.sum() == area.sum()
            if shown and settings.rule == CONTEXT:
                window = context_window(middle_of(mask), spacing_mm)
                shown = cut(np.ones_like(mask), *window).all()
            if not shown:
                name = f"nodule {nodule.number} on {folder.name}/slice-{k}"
                found.leave_out(name, "it reaches over the picture's edge")
                continue
            image, scale = make_crop(gray, mask, spacing_mm, settings.rule)
            crop = Crop(
                nodule,
                sop_uid,
                nodule.sop_uids.index(sop_uid),
                nodule.z_mm[sop_uid],
                image,
                scale,
                settings.rule,
                hu.hu_from,
                hu.hops,
            )
            key = place.series_uid, nodule.number, sop_uid
            other = found.crops.get(key)  # two pictures may show one nodule
            if other is None or (crop.hops or 0) < (other.hops or 0):
                found.crops[key] = crop
