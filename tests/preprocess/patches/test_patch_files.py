"""Pictures of the set are found and read; those that are no pictures of it are named."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.preprocess.report import Report


def encoded(shape: tuple[int, ...]) -> bytes:
    return bytes(cv2.imencode(".png", np.zeros(shape, np.uint8))[1].tobytes())


def test_a_zip_archive_gives_the_same_and_what_climbs_out_of_it_is_left_alone(
    run: Callable[..., Report], pictures: Path, tmp_path: Path, made: Any, state: Callable[..., Any]
) -> None:
    run()
    as_folder = state(tmp_path / "out")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(pictures.rglob("*.png")):
            file.write(path, path.relative_to(pictures))
        file.writestr(f"../{made.ONE}/nodule-9/images/slice-0.png", b"x")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    report = run(archive)
    assert state(tmp_path / "out") == as_folder
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    assert [s.reason for s in report.skipped] == ["its path climbs out of the archive"]


def test_an_archive_with_backslashes_gives_the_same(
    run: Callable[..., Report], pictures: Path, tmp_path: Path, state: Callable[..., Any]
) -> None:
    run()
    as_folder = state(tmp_path / "out")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(pictures.rglob("*.png")):
            name = str(path.relative_to(pictures)).replace("/", "\\")
            file.writestr(zipfile.ZipInfo(name), path.read_bytes())
    run(archive)
    assert state(tmp_path / "out") == as_folder


def test_an_archive_a_patient_and_a_second_copy_give_the_same(
    run: Callable[..., Report], pictures: Path, tmp_path: Path, state: Callable[..., Any]
) -> None:
    run()
    as_folder = state(tmp_path / "out")
    folder = tmp_path / "archives"
    folder.mkdir()
    for patient in (path for path in pictures.iterdir() if path.is_dir()):
        with zipfile.ZipFile(folder / f"{patient.name}.zip", "w") as file:
            for path in sorted(patient.rglob("*.png")):
                file.write(path, path.relative_to(patient))
    shutil.copytree(pictures, folder / "unpacked")
    report = run(folder)
    assert state(tmp_path / "out") == as_folder
    assert len({s.reason.split(":")[0] for s in report.skipped}) == 1
    assert report.skipped[0].reason.startswith("one more file of a picture: ")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda good: good[:-9], "cut off"),
        (lambda good: encoded((600, 600)), "600x600 pixels"),
        (lambda good: encoded((128, 128, 3)), "colour type 2"),
        (lambda good: b"", "an empty file"),
        (lambda good: b"GIF89a" + bytes(60), "no PNG"),
        (lambda good: good.replace(b"IDAT", b"IDAX"), "a damaged one"),
    ],
)
def test_a_broken_picture_costs_only_itself_and_a_broken_mask_not_even_that(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    spoil: Callable[[bytes], bytes],
    reason: str,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    content = spoil(made.png(made.gray_at((60, 70), 7)))
    (pictures / made.ONE / "nodule-0" / "images" / "slice-0.png").write_bytes(content)
    (pictures / made.ONE / "nodule-1" / "mask-0" / "slice-1.png").write_bytes(content)
    report = run()
    assert reason in reasons(report)[f"{made.ONE}/nodule-0/slice-0"]
    assert reason in reasons(report)[f"a mask of {made.ONE}/nodule-1/slice-1"]
    assert [(row.nodule, row.readers) for row in rows()] == [(0, 2), (0, 3), (0, 1), (1, 1)]


def test_masks_without_image_and_images_without_masks_are_listed(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    (pictures / made.ONE / "nodule-0" / "images" / "slice-0.png").unlink()
    for path in (pictures / made.ONE / "nodule-1").glob("mask-*/slice-2.png"):
        path.unlink()
    (pictures / "readme.txt").write_text("hello", encoding="utf-8")
    report = run()
    assert reasons(report)[f"{made.ONE}/nodule-0/slice-0"] == "masks without their image"
    assert reasons(report)[f"{made.ONE}/nodule-1/slice-2"] == "no reader has a mask on it"
    assert [Path(s.path).name for s in report.skipped] == ["readme.txt"]
    assert len(rows()) == 3


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_reported(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path, made: Any
) -> None:
    closed = pictures / made.ONE / "nodule-0"
    closed.chmod(0)
    try:
        report = run()
    finally:
        closed.chmod(0o755)
    assert any("cannot be read" in s.reason for s in report.skipped)
    assert {row.nodule for row in rows()} == {0}


def test_a_picture_without_rights_is_reported(
    run: Callable[..., Report],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Any,
    reasons: Callable[..., Any],
) -> None:
    real = open

    def refuse(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).endswith("nodule-0/images/slice-0.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr("builtins.open", refuse)
    assert "Permission denied" in reasons(run())[f"{made.ONE}/nodule-0/slice-0"]
