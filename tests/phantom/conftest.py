"""A small phantom collection, written once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungdx_paddle.lidc.annotations import find_annotations
from lungdx_paddle.lidc.dicom import Series, find_series
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="session")
def small() -> PhantomSettings:
    """The size of the collection's series."""
    return PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(3, 5))


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory, small: PhantomSettings) -> Path:
    """Four patients."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, 4, seed=3, jobs=1, settings=small)
    return folder


@pytest.fixture(scope="session")
def series(phantom: Path) -> list[Series]:
    found, skipped = find_series(phantom)
    assert not [s for s in skipped if s.path.endswith(".dcm")]
    return sorted(found, key=lambda s: s.patient_id)


@pytest.fixture(scope="session")
def annotations(phantom: Path) -> dict[str, Annotations]:
    return find_annotations(phantom)[0]
