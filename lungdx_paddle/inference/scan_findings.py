"""Findings for the nodules of a CT, named by an LIDC XML file or by points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.locate import Point, one_series, pixels_at, place_mm
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.lidc import Scan, read_annotations
from lungdx_paddle.lidc.pixels import AIR_HU
from lungdx_paddle.preprocess.crop import make_crop
from lungdx_paddle.preprocess.series import crop_series
from lungdx_paddle.preprocess.window import apply_window


def findings_from_readings(predictor: Predictor, folder: Path, xml: Path) -> Iterator[Finding]:
    """A finding for each nodule that an LIDC XML file outlines in a CT.

    Args:
        predictor: the model.
        folder: the DICOM files; other series in it are left alone.
        xml: the readers' marks.

    Yields:
        Findings about ``series_uid``, ``nodule``, ``slices``, ``missing_slices`` (outlined, but
        not in the folder) and ``place_mm`` [x, y, z], the middle of the outlined slices in the
        patient's coordinates.  Probabilities are the mean over the nodule's slices.

    Raises:
        LidcError: the series that the XML describes is not there, or a file is bad.
    """
    annotations = read_annotations(xml)
    series = one_series(folder, annotations.series_uid, xml.name)
    found = crop_series(Scan(series, annotations), predictor.window, predictor.crop_rule)
    for nodule in found.nodules:
        own = [crop for crop in found.crops if crop.nodule.number == nodule.number]
        missing = [uid for uid in nodule.sop_uids if uid in found.missing]
        about = {"series_uid": series.series_uid, "nodule": nodule.number, "slices": len(own)}
        if missing:
            about["missing_slices"] = len(missing)
        if not own:
            yield Finding(about, predictor.tasks, None)
            continue
        middle = own[len(own) // 2]
        mask = nodule.majority_mask(series.sop_uids[middle.index], series.shape_zyx[1:])
        about["place_mm"] = place_mm(series, middle.index, mask)
        yield _mean_finding(predictor, np.stack([crop.image for crop in own]), about)


def findings_from_points(
    predictor: Predictor, folder: Path, points: Sequence[Point]
) -> Iterator[Finding]:
    """A finding for the nodule at each point of a CT, on that slice alone.

    Raises:
        LidcError: the folder holds no CT series or several, or a point lies outside.
    """
    series = one_series(folder)
    slices, rows, columns = series.shape_zyx
    air = int(apply_window(np.array(AIR_HU), *predictor.window))
    for number, (x, y, index) in enumerate(points):
        if not (0 <= x < columns and 0 <= y < rows and 0 <= index < slices):
            places = f"x below {columns}, y below {rows} and a slice below {slices}"
            raise LidcError(
                f"point {x:g},{y:g},{index}",
                expected=f"{places}, all from 0",
                found="a point outside the CT",
                fix="give x,y,slice_index in pixels, the slice counted from the caudal end",
            )
        gray = apply_window(series.slice_hu(index), *predictor.window)
        mask = pixels_at(gray, round(x), round(y))
        image, _ = make_crop(gray, mask, series.spacing_zyx_mm[1:], predictor.crop_rule, air)
        about = {"series_uid": series.series_uid, "nodule": number, "slices": 1}
        about["place_mm"] = place_mm(series, index, mask)
        yield _mean_finding(predictor, image[np.newaxis], about)


def _mean_finding(predictor: Predictor, images: np.ndarray, about: Mapping[str, Any]) -> Finding:
    mean = {t: p.mean(axis=0) for t, p in predictor.probabilities(images).items()}
    return Finding(about, predictor.tasks, mean)
