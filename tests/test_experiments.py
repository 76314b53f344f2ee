"""The experiments measure what they say, on real data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import retest

from lungdx_paddle.manifest import read_rows


@pytest.mark.lidc
def test_crops_are_cut_again_as_they_were_and_readers_are_found(
    lidc_folder: Path, sample_xml: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(lidc_folder / "lidc32-context.zip") as archive:
        archive.extract("manifest.csv", tmp_path)
        rows = [r for r in read_rows(tmp_path / "manifest.csv") if r.readers >= 3]
        with zipfile.ZipFile(lidc_folder / "lidc-slices-sample.zip") as sample:
            patients = {part for name in sample.namelist() for part in name.split("/")}
        rows = [row for row in rows if row.patient_id in patients][:150]
        data = [np.frombuffer(archive.read(row.image), np.uint8) for row in rows]
    crops = [cv2.imdecode(each, cv2.IMREAD_GRAYSCALE).astype(int) for each in data]
    patches = retest.Patches(lidc_folder / "lidc-hu64.zip")
    again = [patches.crop(row, patches.masks[patches.place[row.image]]) for row in rows]
    apart = [np.abs(a - b).mean() for a, b in zip(again, crops) if a is not None]
    assert len(apart) > 100 and np.median(apart) < 1.5 and max(apart) < 3.0
    readers = list(retest.reader_masks(rows, patches, sample_xml))
    found = [(row.readers, len(of_row)) for row, of_row in zip(rows, readers)]
    assert np.mean([n >= least for least, n in found if n]) > 0.95
    assert np.mean([n > 0 for _, n in found]) > 0.75  # some slices have no position
