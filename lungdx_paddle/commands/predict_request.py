"""What a user asks of a model: crops, a manifest, or the nodules of a CT."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.inference.crops import of_crops, of_manifest
from lungdx_paddle.inference.predictor import Predictor


def answer(model: Path, request: Mapping[str, Any]) -> Iterator[str]:
    """A line of JSON for each crop, row or nodule that is asked for.

    Args:
        model: folder of an exported model.
        request: one of ``images`` (list of paths), ``manifest`` (path), or ``series``
            (folder) with either ``xml`` (path) or ``nodule`` (list of "x,y,slice").

    Raises:
        ConfigError: it asks for nothing, or for several things at once.
        LungdxError: the model or the data are bad.
    """
    _check(request)
    predictor = Predictor(model)
    for finding in _findings(predictor, request):
        yield json.dumps(finding, ensure_ascii=False)


def _findings(predictor: Predictor, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if request.get("manifest"):
        return of_manifest(predictor, request["manifest"])
    if request.get("images"):
        return of_crops(predictor, request["images"])
    # Imported here: a prediction from crops does without pydicom and SciPy.
    from lungdx_paddle.inference.findings import of_points, of_readings, parse_points

    if request.get("xml"):
        return of_readings(predictor, request["series"], request["xml"])
    return of_points(predictor, request["series"], parse_points(request["nodule"]))


def _check(request: Mapping[str, Any]) -> None:
    asked: list[str] = [name for name in ("images", "manifest", "series") if request.get(name)]
    marks = [name for name in ("xml", "nodule") if request.get(name)]
    if len(asked) == 1 and len(marks) == (asked == ["series"]):
        return
    raise ConfigError(
        "arguments",
        expected="crops, or --manifest, or --series with either --xml or --nodule",
        found=", ".join(asked + marks) or "nothing to predict",
        fix="see tools/predict.py --help",
    )
