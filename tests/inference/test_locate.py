"""Where a nodule is: the series that is meant, and a place in the patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.locate import one_series
from lungdx_paddle.lidc import Series
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantom patients of 6 slices of 96x96 pixels."""
    folder = tmp_path_factory.mktemp("scans")
    write_phantom(folder, 2, jobs=1, settings=PhantomSettings(rows=96, slices=6, nodules=(1, 1)))
    return folder


@pytest.fixture(scope="module")
def series(scans: Path) -> Series:
    return one_series(scans / "PHANTOM-0001")[0]


@pytest.fixture
def turned(scans: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function of direction cosines: the first patient's series, turned."""

    def turn(*cosines: float) -> Path:
        for path in (scans / "PHANTOM-0001").rglob("*.dcm"):
            header = pydicom.dcmread(path)
            header.ImageOrientationPatient = list(cosines)
            normal = np.cross(cosines[:3], cosines[3:])
            header.ImagePositionPatient = list(normal * float(header.ImagePositionPatient[2]))
            header.save_as(tmp_path / path.name)
        return tmp_path

    return turn


def test_a_series_is_chosen_by_its_uid_or_its_end_or_because_it_is_alone(
    scans: Path, series: Series
) -> None:
    uid = series.series_uid
    for given in (uid, uid[-12:]):
        assert one_series(scans, given)[0].series_uid == uid
    assert one_series(scans, uid, "a.xml")[0].patient_id == "PHANTOM-0001"
    assert one_series(scans / "PHANTOM-0001")[0].series_uid == uid


def test_where_it_is_not_clear_which_series_is_meant_they_are_listed(
    scans: Path, series: Series
) -> None:
    line = rf"{series.series_uid} \(6 axial slices of 96x96 pixels, 1.5 mm apart\); .* \(6 axial"
    choose = "choose one by --series-uid UID"
    with pytest.raises(LidcError, match=rf"one CT series, found 2 series: {line}.*; {choose}"):
        one_series(scans)
    with pytest.raises(LidcError, match=rf"is, or ends in, none\.7, found 2 series: {line}"):
        one_series(scans, "none.7")
    wanted = r"series 1\.2 that a\.xml describes, found 2 other series: "
    with pytest.raises(LidcError, match=rf"{wanted}{line}.* that a.xml was made for, or {choose}"):
        one_series(scans, "1.2", "a.xml")
    with pytest.raises(LidcError, match="that a.xml describes"):  # an XML file's UID is whole
        one_series(scans, series.series_uid[-12:], "a.xml")


def test_a_folder_without_a_series_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no CT", encoding="utf-8")
    with pytest.raises(LidcError, match=r"a CT series, found none in 1 files .*no DICOM file"):
        one_series(tmp_path)


@pytest.mark.parametrize(
    ("plane", "cosines"), [("coronal", (1, 0, 0, 0, 0, -1)), ("sagittal", (0, 1, 0, 0, 0, -1))]
)
def test_a_series_that_is_not_axial_is_refused(
    plane: str, cosines: tuple[float, ...], turned: Callable[..., Path]
) -> None:
    with pytest.raises(LidcError, match=f"expected axial slices, .* found {plane} ones"):
        one_series(turned(*cosines))


def test_an_axial_series_may_lie_on_its_face(turned: Callable[..., Path]) -> None:
    assert one_series(turned(-1, 0, 0, 0, -1, 0))[0].plane == "axial"


def test_slices_that_are_left_out_are_told_and_other_files_are_not(
    scans: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(scans / "PHANTOM-0001", tmp_path / "ct")
    (folder / "notes.txt").write_text("no CT", encoding="utf-8")
    scout, cut_off, *_ = sorted(folder.rglob("*.dcm"))
    header = pydicom.dcmread(scout)
    header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    header.save_as(scout)
    assert not [text for text in one_series(folder)[1] if "left out" in text]
    cut_off.write_bytes(cut_off.read_bytes()[:-1000])
    (warning,) = [text for text in one_series(folder)[1] if "left out" in text]
    assert warning.startswith(f"1 file beside the slices left out, such as {cut_off.name}: cut off")
