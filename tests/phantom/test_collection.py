"""The phantom: real files in LIDC's form, the same every time, with something to learn."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.nodules import group_readings
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.phantom import PhantomSettings, collection, write_phantom
from lungdx_paddle.phantom.diseases import DISEASES


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(
    phantom: Path, tmp_path: Path, small: PhantomSettings
) -> None:
    write_phantom(tmp_path, 4, seed=3, jobs=2, settings=small)
    assert digests(tmp_path) == digests(phantom)


def test_another_seed_gives_other_names_and_pixels(
    phantom: Path,
    tmp_path: Path,
    small: PhantomSettings,
) -> None:
    write_phantom(tmp_path, 1, seed=4, jobs=1, settings=small)
    assert not set(digests(tmp_path).values()) & set(digests(phantom).values())


def test_a_smaller_collection_is_the_beginning_of_a_larger_one(
    phantom: Path, tmp_path: Path, small: PhantomSettings
) -> None:
    write_phantom(tmp_path, 1, seed=3, jobs=1, settings=small)
    first = digests(tmp_path / "PHANTOM-0001")
    assert first == digests(phantom / "PHANTOM-0001")


def test_an_earlier_phantom_is_replaced_and_other_files_are_kept(
    tmp_path: Path,
    small: PhantomSettings,
) -> None:
    (tmp_path / "PHANTOM-0099").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    write_phantom(tmp_path, 1, jobs=1, settings=small)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "PHANTOM-0001",
        "notes.txt",
        "tcia-diagnosis-phantom.csv",
    ]


def test_a_nodule_is_denser_than_the_lung_around_it(
    series: list[Series], annotations: dict[str, Annotations]
) -> None:
    denser = []
    for one in series:
        for nodule in group_readings(annotations[one.series_uid], one.spacing_zyx_mm[1]):
            uid = nodule.sop_uids[len(nodule.sop_uids) // 2]
            mask = nodule.majority_mask(uid, one.shape_zyx[1:])
            if mask.any():
                hu = one.slice_hu(one.index_of(uid) or 0)
                denser.append(hu[mask].mean() > -750)
    assert np.mean(denser) > 0.9


def test_more_than_half_of_the_patients_are_diagnosed() -> None:
    diagnosed = [disease for disease in DISEASES if disease.code is not None]
    assert 0.5 < len(diagnosed) / len(DISEASES) < 0.7


def test_what_another_process_has_just_made_is_shared_or_replaced(
    tmp_path: Path, small: PhantomSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def waited(folder: Path, wait: bool) -> Iterator[bool]:
        yield wait

    write_phantom(tmp_path, patients=2, seed=5, jobs=1, settings=small)
    monkeypatch.setattr(collection, "alone_in", waited)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_phantom(tmp_path, patients=2, seed=5, jobs=1, settings=small)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    for other in ({"patients": 1, "seed": 5}, {"patients": 2, "seed": 6}):
        write_phantom(tmp_path, jobs=1, settings=small, **other)
        assert not all(path.is_file() for path in made)


def test_no_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="phantom patients: expected a whole number from 1"):
        write_phantom(tmp_path, 0)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_phantom(tmp_path / "file", 1)
