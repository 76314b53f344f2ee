"""Findings for the nodules of a CT, named by an LIDC XML file or by points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.area import area_at, measures
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.locate import Point, one_series, place_mm
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.lidc import Nodule, Scan, Series, read_annotations
from lungdx_paddle.lidc.pixels import AIR_HU, air_warnings, darkest_hu
from lungdx_paddle.preprocess.crop import make_crop
from lungdx_paddle.preprocess.series import SeriesCrops, crop_series, shape_warnings
from lungdx_paddle.preprocess.window import apply_window


def findings_from_readings(
    predictor: Predictor, folder: Path, xml: Path, series_uid: str = ""
) -> Iterator[Finding]:
    """A finding for each nodule that an LIDC XML file outlines in a CT.

    Args:
        predictor: the model.
        folder: the DICOM files; other series in it are left alone.
        xml: the readers' marks.
        series_uid: of the series, or the end of it; empty: the one that the XML file names.

    Yields:
        Findings about ``series_uid``, ``nodule``, ``slices``, ``missing_slices`` (outlined, but
        not in the folder), and of the middle one of the outlined slices ``place_mm`` [x, y, z] in
        the patient's coordinates, ``area_mm2`` of what most readers enclosed, ``mean_hu`` and
        ``scale``; ``diameter_mm`` is the nodule's; ``reason`` says why there is no slice.
        Probabilities are the mean over the nodule's slices, the middle ones counting most.

    Raises:
        LidcError: the series that the XML describes is not there or not axial, or a file is bad;
            after the last finding, if none of the nodules has a slice.
    """
    annotations = read_annotations(xml)
    named = () if series_uid else (annotations.series_uid, xml.name)
    series, warnings = one_series(folder, *(named or (series_uid,)))
    found = crop_series(Scan(series, annotations), predictor.window, predictor.crop_rule)
    warnings = (*warnings, *found.warnings)
    answered = False
    for nodule in found.nodules:
        about, doubts = _about(series, found, nodule)
        crops = [crop for crop in found.crops if crop.nodule.number == nodule.number]
        answered = answered or bool(crops)
        images, z_mm = [crop.image for crop in crops], [crop.z_mm for crop in crops]
        yield _nodule_finding(predictor, images, z_mm, about, (*warnings, *doubts))
    if found.nodules and not answered:
        uids = {uid for nodule in found.nodules for uid in nodule.sop_uids}
        none_there = f"none of the {len(uids)} slices that {xml.name} outlines is in the series"
        none_enclosed = f"no outline of {xml.name} that encloses a pixel of its slice"
        raise LidcError(
            str(folder),
            expected="a nodule that can be predicted",
            found=none_there if uids and uids <= set(found.missing) else none_enclosed,
            fix="give the XML file of this very series, and all of its slices",
        )


def findings_from_points(
    predictor: Predictor, folder: Path, points: Sequence[Point], series_uid: str = ""
) -> Iterator[Finding]:
    """A finding for the nodule at each point of a CT, on that slice alone.

    Args:
        predictor: the model.
        folder: the DICOM files.
        points: see :data:`~lungdx_paddle.inference.locate.Point`.
        series_uid: of the series, or the end of it; empty: the folder holds one series.

    Yields:
        Findings about ``series_uid``, ``nodule`` (the number of the point), ``slices``, and of
        the area that was taken ``place_mm`` [x, y, z], ``area_mm2``, ``mean_hu``, ``distance_mm``
        from the point, and the crop's ``scale``.

    Raises:
        LidcError: the folder holds no CT series, several, or one that is not axial, or a point
            lies outside; then nothing is predicted.  Or the values are no HU
            (:func:`~lungdx_paddle.lidc.pixels.air_warnings`).
    """
    series, warnings = one_series(folder, series_uid)
    for point in points:
        _check_inside(series, point)
    air = int(apply_window(np.array(AIR_HU), *predictor.window))
    spacing_mm = series.spacing_zyx_mm[1:]
    warnings = (*warnings, *shape_warnings(spacing_mm, predictor.crop_rule))
    for number, (x, y, index) in enumerate(points):
        hu = series.slice_hu(index)
        slice_ = series.slices[index]
        darkest = darkest_hu(slice_, hu)
        no_air = air_warnings(series.series_uid, [darkest], slice_.has_rescale)
        area = area_at(hu, x, y, spacing_mm)
        gray = apply_window(hu, *predictor.window)
        image, scale = make_crop(gray, area.mask, spacing_mm, predictor.crop_rule, air)
        about = {
            "series_uid": series.series_uid,
            "nodule": number,
            "slices": 1,
            "place_mm": place_mm(series, index, area.mask),
            **measures(area.mask, hu, spacing_mm),
            "distance_mm": round(area.distance_mm, 1),
            "scale": round(scale, 3),
        }
        doubts = [f"nodule {number}: {doubt}" for doubt in area.doubts]
        yield _nodule_finding(predictor, [image], [0.0], about, (*warnings, *no_air, *doubts))


def _about(series: Series, found: SeriesCrops, nodule: Nodule) -> tuple[dict[str, Any], list[str]]:
    """What is known of an outlined nodule, and what is doubtful about it."""
    crops = [crop for crop in found.crops if crop.nodule.number == nodule.number]
    outlined, missing = len(nodule.sop_uids), sum(uid in found.missing for uid in nodule.sop_uids)
    empty = outlined - missing - len(crops)
    about: dict[str, Any] = {"series_uid": series.series_uid, "nodule": nodule.number}
    about["slices"] = len(crops)
    doubts = []
    if missing:
        about["missing_slices"] = missing
        doubts.append(f"{missing} of {outlined} outlined slices are not in the series")
    if empty:
        doubts.append(
            f"on {empty} of {outlined} outlined slices no pixel is enclosed by most readers"
        )
    rows, columns = series.shape_zyx[1:]
    points = np.concatenate([c.points_xy for r in nodule.readings for c in r.contours])
    if (points >= (columns, rows)).any():
        x, y = points.max(axis=0)
        doubts.append(f"outlines reach pixel {x},{y}, off the slices of {columns}x{rows} pixels")
    if crops:
        middle = crops[len(crops) // 2]
        mask = nodule.majority_mask(middle.sop_uid, (rows, columns))
        hu = series.slice_hu(middle.index)
        about["place_mm"] = place_mm(series, middle.index, mask)
        about |= measures(mask, hu, series.spacing_zyx_mm[1:])
        about |= {"diameter_mm": round(nodule.diameter_mm, 1), "scale": round(middle.scale, 3)}
    elif outlined:
        none = f"none of its {outlined} outlined slices is in the series"
        about["reason"] = none if missing == outlined else "; ".join(doubts)
        doubts = []
    else:
        about["reason"] = "its outlines enclose no pixel"
    return about, [f"nodule {nodule.number}: {doubt}" for doubt in doubts]


def _check_inside(series: Series, point: Point) -> None:
    (x, y, index), (slices, rows, columns) = point, series.shape_zyx
    if not (0 <= x < columns and 0 <= y < rows and 0 <= index < slices):
        raise LidcError(
            f"point {x:g},{y:g},{index}",
            expected=f"x below {columns}, y below {rows} and a slice below {slices}, all from 0",
            found="a point outside the CT",
            fix="give x,y,slice_index in pixels, the slice counted from the caudal end",
        )


def _nodule_finding(
    predictor: Predictor,
    images: Sequence[np.ndarray],
    z_mm: Sequence[float],
    about: dict[str, Any],
    warnings: Sequence[str],
) -> Finding:
    mean = None
    if images:
        found = predictor.probabilities(np.stack(images))
        weights = slice_weights(z_mm)
        mean = {task: weights @ p for task, p in found.items()}
    told = tuple(dict.fromkeys(warnings))
    return Finding(about, predictor.tasks, mean, told, predictor.calibration.cuts)
