"""A phantom CT, findings in it, and the programs that check DICOM objects."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml

from lungdx_paddle.inference.description import NAME, Description, read_description
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.regions import Region, area_of
from lungdx_paddle.phantom import PhantomSettings, write_phantom

CLASSES = {"malignancy": list("12345"), "pathology": ["benign", "malignant"]}

PROBABILITIES = {
    "malignancy": np.array([0.012345, 0.1, 0.2, 0.6, 0.087655], np.float32),
    "pathology": np.array([0.25, 0.75], np.float32),
}


@pytest.fixture(scope="session")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom patient of 6 slices of 94x94 pixels, with a name."""
    folder = tmp_path_factory.mktemp("ct")
    write_phantom(folder, 1, jobs=1, settings=PhantomSettings(rows=94, slices=6, nodules=(1, 1)))
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.SpecificCharacterSet, header.PatientName = "ISO_IR 100", "Müller^Jörg"
        header.PatientBirthDate, header.PatientSex = "19500102", "M"
        header.save_as(path)
    return folder


@pytest.fixture(scope="session")
def series(ct: Path) -> Series:
    return find_series(ct)[0][0]


@pytest.fixture(scope="session")
def make_finding() -> Callable[..., Finding]:
    """A function (series, masks of (slices, rows, columns)): a finding of a nodule there."""

    def make(series: Series, drawn: np.ndarray, number: int = 0, **others: Any) -> Finding:
        found = {index: area_of(mask) for index, mask in enumerate(drawn)}
        areas = {index: area for index, area in found.items() if area is not None}
        its = {name: others.pop(name) for name in ("origin", "name") if name in others}
        region = Region(series, number, areas, **{"origin": "point", **its})
        about = {"series_uid": series.series_uid, "nodule": number, "diameter_mm": 12.3}
        about |= {"volume_mm3": 456.7, "mean_hu": -84.1}
        images = np.zeros((len(areas), 32, 32), np.uint8)
        return Finding(about, CLASSES, PROBABILITIES, region=region, images=images, **others)

    return make


@pytest.fixture(scope="session")
def ball() -> np.ndarray:
    """(6, rows, columns) bool: a ball with a hole, on slices 0 to 4."""
    z, y, x = np.indices((6, 94, 94))
    apart = np.hypot(x - 40.2, y - 31.7) + 3 * abs(z - 2)
    return np.asarray((apart < 9) & ~((apart < 2) & (z == 2)))


@pytest.fixture(scope="session")
def findings(
    series: Series, ball: np.ndarray, make_finding: Callable[..., Finding]
) -> list[Finding]:
    """Of the ball, of a bar of one row with a doubt, and of a nodule without a slice."""
    bar = np.zeros_like(ball)
    bar[5, 70, 60:90] = True
    doubt = ("nodule 1: it may be a vessel",)
    return [
        make_finding(series, ball),
        make_finding(series, bar, 1, name="bar", warnings=doubt),
        Finding({"nodule": 2, "reason": "no slice"}, CLASSES, None),
    ]


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Description:
    """Of a model that no file but its inference.yml is there of."""
    folder = tmp_path_factory.mktemp("model")
    window = {"center": 20.0, "width": 2040.0, "unit": "HU"}
    outputs = [{"task": task, "classes": names} for task, names in CLASSES.items()]
    values = {"model": "tiny", "input": {"window": window, "crop": "context"}, "outputs": outputs}
    (folder / NAME).write_text(yaml.safe_dump(values), encoding="utf-8")
    return read_description(folder)


@pytest.fixture
def run_program() -> Callable[..., list[str]]:
    """A function (program, files): the lines that it prints; skips where it is not installed."""

    def run(program: str, *files: Path) -> list[str]:
        if shutil.which(program) is None:
            package = "dcmtk" if program == "dsrdump" else "dicom3tools"
            pytest.skip(f"no {program}: install Debian's {package}")
        ran = subprocess.run([program, *map(str, files)], capture_output=True, check=False)
        return (ran.stdout + ran.stderr).decode("utf-8", "replace").splitlines()

    return run
