"""What is fuzzed: what reads strangers' files, given any bytes.

Each target may raise :class:`~lungdx_paddle.errors.LungdxError` and nothing else, NumPy's
warnings included.  ``test_targets.py`` feeds them the corpus and mutations of it, ``fuzz.py``
what coverage guides it to.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lungdx_paddle.config import config_text, load_config
from lungdx_paddle.data.images import read_crop
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.inference.predictor import read_description
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import find_annotations, find_series, group_readings, read_diagnoses
from lungdx_paddle.manifest import read_rows, write_manifest
from lungdx_paddle.preprocess.report import by_reason

CORPUS = Path(__file__).with_name("corpus")

LARGEST_VOXELS = 10**7
"""More of a series are not decoded: time is for more inputs."""


def fuzz_xml(data: bytes, folder: Path) -> None:
    """An XML file: readings and nodules, or a reason."""
    (folder / "a.xml").write_bytes(data)
    found, skipped = find_annotations(folder)
    for of_series in found.values():
        for nodule in group_readings(of_series, 0.7):
            assert np.isfinite((nodule.diameter_mm, nodule.volume_mm3)).all()
            assert all(1 <= rating <= 5 for rating in nodule.malignancy_ratings)
    assert found or by_reason(skipped)


def fuzz_manifest(data: bytes, folder: Path) -> None:
    """A manifest: rows that are the same after writing, or an error."""
    (folder / "manifest.csv").write_bytes(data)
    rows = read_rows(folder)
    write_manifest(folder / "again.csv", rows)
    again = read_rows(folder / "again.csv")
    assert [row.image for row in again] == [row.image for row in rows]
    assert [row.malignancy_ratings for row in again] == [row.malignancy_ratings for row in rows]


def fuzz_config(data: bytes, folder: Path) -> None:
    """A config: settings that are the same after writing, or an error."""
    (folder / "a.yaml").write_bytes(data)
    config = load_config(folder / "a.yaml")
    (folder / "again.yaml").write_text(config_text(config), encoding="utf-8")
    assert load_config(folder / "again.yaml") == config


def fuzz_override(data: bytes, folder: Path) -> None:
    """What stands behind ``-o``."""
    load_config("testing", [data.decode("utf-8", "surrogateescape")])


def fuzz_description(data: bytes, folder: Path) -> None:
    """The inference.yml of a model."""
    (folder / "inference.yml").write_bytes(data)
    read_description(folder)


def fuzz_diagnosis(data: bytes, folder: Path) -> None:
    """A diagnosis table: a spreadsheet by its first bytes, else text."""
    ending = {b"\xd0\xcf": "xls", b"PK": "xlsx"}.get(data[:2], "csv")
    (folder / f"diagnosis.{ending}").write_bytes(data)
    read_diagnoses(folder / f"diagnosis.{ending}")


def fuzz_dicom(data: bytes, folder: Path) -> None:
    """One more file beside two sound slices."""
    for seed in ("slice_a.dcm", "slice_b.dcm"):
        shutil.copy(CORPUS / "dicom" / seed, folder)
    (folder / "c.dcm").write_bytes(data)
    series, skipped = find_series(folder)
    assert sum(len(s.slices) for s in series) + len(skipped) >= 2
    for s in series:
        assert np.isfinite((*s.z_mm, *s.spacing_zyx_mm)).all()
        assert min(s.spacing_zyx_mm) > 0 and s.plane and isinstance(s.warnings, tuple)
        if np.prod(s.shape_zyx, dtype=float) < LARGEST_VOXELS:
            for index in range(len(s.slices)):
                with contextlib.suppress(LungdxError):
                    assert s.slice_hu(index).dtype == np.int16


def fuzz_segmentation(data: bytes, folder: Path) -> None:
    """A SEG or RTSTRUCT of two sound slices: regions within them, or an error."""
    for seed in ("slice_a.dcm", "slice_b.dcm"):
        shutil.copy(CORPUS / "dicom" / seed, folder)
    (series,), _ = find_series(folder)
    (folder / "marks").write_bytes(data)
    for region in read_segmentation(folder / "marks").regions(series):
        assert all(region.mask(index).any() for index in region.areas)
        assert region.areas or region.about["reason"]


def fuzz_archive(data: bytes, folder: Path) -> None:
    """A zip archive given as a collection."""
    (folder / "a.zip").write_bytes(data)
    find_series(folder / "a.zip")
    find_annotations(folder / "a.zip")


def fuzz_crop(data: bytes, folder: Path) -> None:
    """A crop's JPG."""
    (folder / "a.jpg").write_bytes(data)
    assert read_crop(folder / "a.jpg").shape == (32, 32)


TARGETS: Mapping[str, Callable[[bytes, Path], None]] = {
    name.removeprefix("fuzz_"): function
    for name, function in list(globals().items())
    if name.startswith("fuzz_")
}


def run(target: str, data: bytes, folder: Path) -> None:
    """Give a target one input in an empty folder; raises what is no LungdxError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextlib.suppress(LungdxError), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        TARGETS[target](data, folder)
