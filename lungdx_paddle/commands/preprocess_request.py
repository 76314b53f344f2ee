"""What a user asks of the preprocessing: crops of scans, of the set of slices, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.preprocess.nodule_table import write_nodule_table
from lungdx_paddle.preprocess.patches.patch_pipeline import preprocess_slices
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, parse_window
from lungdx_paddle.workers import Workers


def carry_out(out: Path, request: Mapping[str, Any]) -> list[str]:
    """Write what is asked for.

    Args:
        out: the folder to write to.
        request: one of ``lidc`` (path), ``slices`` (path, with ``xml``) or
            ``annotations_only`` (with ``xml``); and ``diagnosis`` (path or None),
            ``window`` (text), ``jobs`` (number or None) and ``dask`` (address or None).

    Returns:
        The closing lines.

    Raises:
        ConfigError: it asks for nothing, for several things, or without its XML.
        LungdxError: the data are bad, or ``out`` cannot be written to.
    """
    _check(request)
    xml, diagnosis = request["xml"], request["diagnosis"]
    workers = Workers(request["jobs"], request["dask"])
    window = parse_window(request["window"])
    if request["annotations_only"]:
        return write_nodule_table(xml, out).summary()
    if request["slices"]:
        _check_window(request["window"])
        return preprocess_slices(
            request["slices"], out, xml=xml, diagnosis=diagnosis, workers=workers
        ).summary()
    return preprocess(
        request["lidc"], out, xml=xml, diagnosis=diagnosis, window=window, workers=workers
    ).summary()


def _check(request: Mapping[str, Any]) -> None:
    asked = [name for name in ("lidc", "slices", "annotations_only") if request[name]]
    if len(asked) == 1 and (request["xml"] or asked == ["lidc"]):
        return
    names = [f"--{name.replace('_', '-')}" for name in asked]
    raise ConfigError(
        "what to preprocess",
        expected="--lidc, or one of --slices and --annotations-only with --xml",
        found=" and ".join(names) + (" without --xml" if len(asked) == 1 else "") or "neither",
        fix="see tools/preprocess.py --help",
    )


def _check_window(text: str) -> None:
    if parse_window(text) != DEFAULT_WINDOW:
        raise ConfigError(
            "--window",
            expected="20,2040 with --slices, whose pictures are gray already",
            found=text,
            fix="leave it out, or preprocess the DICOM with --lidc",
        )
