"""A made-up set of slices: every area is a rectangle, so that a test can say what is where."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.errors import LidcError, OutputError
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest
from lungdx_paddle.preprocess.crop import crop_nodule
from lungdx_paddle.preprocess.patches import patch_pipeline as module
from lungdx_paddle.preprocess.patches.patch_pipeline import preprocess_slices
from lungdx_paddle.preprocess.report import Report
from lungdx_paddle.workers import executor

ONE, TWO_SERIES = "LIDC-IDRI-0001", "LIDC-IDRI-0132"


class Rectangle(NamedTuple):
    """Pixels of a scan that a reader enclosed."""

    left: int
    top: int
    columns: int
    rows: int


Reading = tuple[int, dict[int, Rectangle]]
"""A malignancy rating, and what was enclosed by slice of the series."""

TIP = Rectangle(301, 350, 7, 6)
NODULE: list[Reading] = [
    (5, {3: Rectangle(300, 350, 9, 8), 4: Rectangle(299, 349, 11, 10)}),
    (4, {3: Rectangle(301, 350, 8, 9), 4: Rectangle(299, 348, 12, 11), 5: TIP}),
    (5, {4: Rectangle(300, 349, 10, 12)}),
]
OTHER: list[Reading] = [(2, {7: Rectangle(100, 120, 14, 7), 8: Rectangle(101, 121, 9, 5)})]


def series_of(patient: str) -> list[str]:
    return sorted(uid for uid, facts in known_series().items() if facts.patient_id == patient)


def write_xml(path: Path, series_uid: str, nodules: Sequence[list[Reading]]) -> None:
    """The outline is one pixel wider than what it encloses; slices are the series' own step."""
    step_mm = known_series()[series_uid].slice_spacing_mm

    def roi(k: int, r: Rectangle) -> str:
        left, top, right, bottom = r.left - 1, r.top - 1, r.left + r.columns, r.top + r.rows
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        points = "".join(
            f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
            for (x0, y0), (x1, y1) in zip(corners, corners[1:])
            for x, y in zip(
                np.linspace(x0, x1, 160).round().astype(int),
                np.linspace(y0, y1, 160).round().astype(int),
            )
        )
        return (
            f"<roi><imageZposition>{-100 + step_mm * k}</imageZposition>"
            f"<imageSOP_UID>{series_uid}.{k}</imageSOP_UID><inclusion>TRUE</inclusion>{points}</roi>"
        )

    sessions = ""
    for reader in range(4):
        readings = "".join(
            f"<unblindedReadNodule><noduleID>{n}</noduleID><characteristics><malignancy>{rating}"
            "</malignancy></characteristics>"
            + "".join(roi(k, r) for k, r in enclosed.items())
            + "</unblindedReadNodule>"
            for n, nodule in enumerate(nodules)
            for rating, enclosed in nodule[reader : reader + 1]
        )
        sessions += f"<readingSession>{readings}</readingSession>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{series_uid}</SeriesInstanceUid><StudyInstanceUID>1</StudyInstanceUID>"
        f"</ResponseHeader>{sessions}</LidcReadMessage>",
        encoding="utf-8",
    )


def png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def gray_at(corner_xy: tuple[int, int], k: int) -> np.ndarray:
    """A piece of the made-up scan: every pixel's gray follows from its place and slice."""
    y, x = np.mgrid[corner_xy[1] : corner_xy[1] + 128, corner_xy[0] : corner_xy[0] + 128]
    return (40 + (x * 7 + y * 13 + k * 29) % 180).astype(np.uint8)


def write_folder(
    folder: Path,
    readings: Sequence[Mapping[int, Rectangle]],
    corner_xy: tuple[int, int],
    slices: Sequence[int],
) -> None:
    """One ``nodule-n`` of the set: ``slices`` of the series become slice-0, slice-1, ..."""
    for k, z in enumerate(slices):
        files = {"images": gray_at(corner_xy, z)}
        for j in range(4):
            mask = np.zeros((128, 128), np.uint8)
            if j < len(readings) and z in readings[j]:
                r = readings[j][z]
                left, top = r.left - corner_xy[0], r.top - corner_xy[1]
                mask[top : top + r.rows, left : left + r.columns] = 255
            files[f"mask-{j}"] = mask
        for name, picture in files.items():
            path = folder / name / f"slice-{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(picture))


def enclosed(nodule: list[Reading]) -> list[dict[int, Rectangle]]:
    return [areas for _, areas in nodule]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two nodules of one patient, with masks and folders in another order than the XML's."""
    folder = tmp_path / "set" / ONE
    write_folder(folder / "nodule-0", enclosed(OTHER), (60, 70), [7, 8])
    write_folder(folder / "nodule-1", enclosed(NODULE)[::-1], (250, 290), [3, 4, 5])
    return folder.parent


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """The XML file of that patient's series."""
    write_xml(tmp_path / "xml" / "001.xml", series_of(ONE)[0], [NODULE, OTHER])
    return tmp_path / "xml"


@pytest.fixture
def run(tmp_path: Path, pictures: Path, xml: Path) -> Callable[..., Report]:
    """A function that preprocesses the set into ``tmp_path / "out"``."""

    def run(slices: Path = pictures, **more: Any) -> Report:
        return preprocess_slices(slices, tmp_path / "out", **{"xml": xml, **more})

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[], list[ManifestRow]]:
    """A function that reads the manifest that was written."""
    return lambda: list(read_manifest(tmp_path / "out").rows)


def reasons(report: Report) -> dict[str, str]:
    return {entry.path: entry.reason for entry in report.left_out}


def state(folder: Path) -> dict[str, bytes]:
    """Every file of a run but its report."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_rows_say_what_the_xml_says_of_the_pictures(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], tmp_path: Path
) -> None:
    table = tmp_path / "diagnosis.csv"
    table.write_text(f"Patient ID,Diagnosis,Primary tumor site\n{ONE},3,colon cancer\n", "utf-8")
    report = run(diagnosis=table)
    uid = series_of(ONE)[0]
    seen = [(r.nodule, r.sop_uid, r.z_mm, r.readers, r.malignancy_ratings) for r in rows()]
    assert seen == [
        (0, f"{uid}.3", -92.5, 2, (5, 4, 5)),
        (0, f"{uid}.4", -90.0, 3, (5, 4, 5)),
        (0, f"{uid}.5", -87.5, 1, (5, 4, 5)),
        (1, f"{uid}.7", -82.5, 1, (2,)),
        (1, f"{uid}.8", -80.0, 1, (2,)),
    ]
    first = rows()[0]
    assert (first.series_uid, first.pixel_spacing_mm, first.window) == (uid, 0.703125, (20, 2040))
    assert (first.diagnosis, first.primary_site) == (3, "colon cancer")
    assert not report.left_out and not report.series[0].missing_slices
    assert (report.crops, report.diagnosed_patients) == (5, 1)


def test_a_crop_is_that_of_the_scan(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], tmp_path: Path
) -> None:
    run()
    area = np.zeros((512, 512), bool)
    area[349:359, 300:310] = True  # what two of the three readers of slice 4 enclosed
    area[349:359, 299] = True
    scan = np.zeros((512, 512), np.uint8)
    scan[290:418, 250:378] = gray_at((250, 290), 4)
    expected, _ = crop_nodule(scan, area)
    image = cv2.imread(str(tmp_path / "out" / rows()[1].image), cv2.IMREAD_UNCHANGED)
    assert np.abs(image.astype(int) - expected).mean() < 3  # JPG


def test_a_zip_archive_gives_the_same_and_what_climbs_out_of_it_is_left_alone(
    run: Callable[..., Report], pictures: Path, tmp_path: Path
) -> None:
    run()
    as_folder = state(tmp_path / "out")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(pictures.rglob("*.png")):
            file.write(path, path.relative_to(pictures))
        file.writestr(f"../{ONE}/nodule-9/images/slice-0.png", b"x")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    report = run(archive)
    assert state(tmp_path / "out") == as_folder
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    assert [s.reason for s in report.skipped] == ["its path climbs out of the archive"]


def test_an_archive_with_backslashes_gives_the_same(
    run: Callable[..., Report], pictures: Path, tmp_path: Path
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


def test_more_processes_give_the_same(
    run: Callable[..., Report], pictures: Path, xml: Path, tmp_path: Path
) -> None:
    write_folder(pictures / "LIDC-IDRI-0003" / "nodule-0", enclosed(NODULE), (250, 290), [3, 4, 5])
    write_xml(xml / "003.xml", series_of("LIDC-IDRI-0003")[0], [NODULE])
    run()
    alone = state(tmp_path / "out")
    with executor(2) as pool:
        run(pool=pool)
    assert state(tmp_path / "out") == alone


def test_both_scans_of_a_patient_are_told_apart_within_one_folder(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
) -> None:
    """As in LIDC-IDRI-0132: the set's second scan wrote over the first slices of the first's."""
    first, second = series_of(TWO_SERIES)
    write_xml(xml / "a.xml", first, [NODULE])
    write_xml(xml / "b.xml", second, [OTHER])
    folder = pictures / TWO_SERIES / "nodule-0"
    write_folder(folder, enclosed(NODULE), (250, 290), [3, 4, 5])
    write_folder(folder, enclosed(OTHER), (60, 70), [7])
    report = run()
    two = [(r.series_uid, r.nodule, r.readers) for r in rows() if r.patient_id == TWO_SERIES]
    assert two == [(first, 0, 3), (first, 0, 1), (second, 1, 1)]
    missing = {s.series_uid: len(s.missing_slices) for s in report.series}
    assert (missing[first], missing[second]) == (1, 1)


def test_a_mask_that_fits_nothing_costs_only_its_slice(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path
) -> None:
    strange = np.zeros((128, 128), np.uint8)
    strange[20:55, 30:90] = 255
    (pictures / ONE / "nodule-0" / "mask-0" / "slice-1.png").write_bytes(png(strange))
    report = run()
    assert "fit no outline" in reasons(report)[f"{ONE}/nodule-0/slice-1"]
    assert len(rows()) == 4


def test_a_reader_whom_the_set_lacks_still_counts(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path
) -> None:
    for k in range(3):
        (pictures / ONE / "nodule-1" / "mask-0" / f"slice-{k}.png").unlink()
    run()
    assert [row.readers for row in rows()] == [2, 3, 1, 1, 1]


def test_outlines_that_are_alike_in_two_places_are_left_out(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path, xml: Path
) -> None:
    far_away = [(2, {k + 9: r._replace(left=r.left + 300) for k, r in OTHER[0][1].items()})]
    write_xml(xml / "001.xml", series_of(ONE)[0], [NODULE, OTHER, far_away])
    report = run()
    assert "two places alike" in reasons(report)[f"{ONE}/nodule-0/slice-0"]
    assert reasons(report)[f"{ONE}, nodule 1 of 1 readers"] == "no picture surely shows it"
    assert {row.nodule for row in rows()} == {0}


def test_a_mask_that_wrapped_around_to_the_last_slice_is_left_out(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path, xml: Path
) -> None:
    """As in LIDC-IDRI-0305: the picture is of slice 9, its mask of slice 6."""
    nodule = [(2, {**OTHER[0][1], 6: Rectangle(100, 120, 8, 13)})]
    write_xml(xml / "001.xml", series_of(ONE)[0], [NODULE, nodule])
    wrapped = [{7: nodule[0][1][7], 8: nodule[0][1][8], 9: nodule[0][1][6]}]
    write_folder(pictures / ONE / "nodule-0", wrapped, (60, 70), [7, 8, 9])
    report = run()
    assert "another slice" in reasons(report)[f"{ONE}/nodule-0/slice-2"]
    assert [row.z_mm for row in rows() if row.nodule == 1] == [-82.5, -80.0]


def test_specks_prove_nothing(run: Callable[..., Report], pictures: Path, xml: Path) -> None:
    speck = [(2, {7: Rectangle(100, 120, 2, 2)})]
    write_xml(xml / "001.xml", series_of(ONE)[0], [NODULE, speck])
    write_folder(pictures / ONE / "nodule-0", enclosed(speck), (60, 70), [7, 8])
    report = run()
    assert "too few" in reasons(report)[f"{ONE}/nodule-0/slice-0"]
    assert "no reader has a mask" in reasons(report)[f"{ONE}/nodule-0/slice-1"]


def test_a_nodule_that_reaches_over_its_picture_is_left_out(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path
) -> None:
    """The masks of the picture's own readers fit; another reader's area does not."""
    wide = Rectangle(299, 340, 150, 40)
    uid = series_of(ONE)[0]
    readings = [(r, dict(areas)) for r, areas in NODULE] + [(3, {5: wide})]
    write_xml(pictures.parent / "xml" / "001.xml", uid, [readings, OTHER])
    report = run()
    assert "picture's edge" in reasons(report)[f"nodule 0 on {ONE}/nodule-1/slice-2"]
    assert [row.z_mm for row in rows() if row.nodule == 0] == [-92.5, -90.0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(gray_at((60, 70), 7))[:-9], "cut off"),
        (png(np.zeros((600, 600), np.uint8)), "600x600 pixels"),
        (png(np.zeros((128, 128, 3), np.uint8)), "colour type 2"),
        (b"", "an empty file"),
        (b"GIF89a" + bytes(60), "no PNG"),
        (png(gray_at((60, 70), 7)).replace(b"IDAT", b"IDAX"), "a damaged one"),
    ],
)
def test_a_broken_picture_costs_only_itself_and_a_broken_mask_not_even_that(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    content: bytes,
    reason: str,
) -> None:
    (pictures / ONE / "nodule-0" / "images" / "slice-0.png").write_bytes(content)
    (pictures / ONE / "nodule-1" / "mask-0" / "slice-1.png").write_bytes(content)
    report = run()
    assert reason in reasons(report)[f"{ONE}/nodule-0/slice-0"]
    assert reason in reasons(report)[f"a mask of {ONE}/nodule-1/slice-1"]
    assert [(row.nodule, row.readers) for row in rows()] == [(0, 2), (0, 3), (0, 1), (1, 1)]


def test_masks_without_image_and_images_without_masks_are_listed(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path
) -> None:
    (pictures / ONE / "nodule-0" / "images" / "slice-0.png").unlink()
    for path in (pictures / ONE / "nodule-1").glob("mask-*/slice-2.png"):
        path.unlink()
    (pictures / "readme.txt").write_text("hello", encoding="utf-8")
    report = run()
    assert reasons(report)[f"{ONE}/nodule-0/slice-0"] == "masks without their image"
    assert reasons(report)[f"{ONE}/nodule-1/slice-2"] == "no reader has a mask on it"
    assert [Path(s.path).name for s in report.skipped] == ["readme.txt"]
    assert len(rows()) == 3


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_reported(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path
) -> None:
    closed = pictures / ONE / "nodule-0"
    closed.chmod(0)
    try:
        report = run()
    finally:
        closed.chmod(0o755)
    assert any("cannot be read" in s.reason for s in report.skipped)
    assert {row.nodule for row in rows()} == {0}


def test_a_picture_without_rights_is_reported(
    run: Callable[..., Report], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open

    def refuse(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).endswith("nodule-0/images/slice-0.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr("builtins.open", refuse)
    assert "Permission denied" in reasons(run())[f"{ONE}/nodule-0/slice-0"]


def test_patients_without_xml_are_reported_and_the_others_done(
    run: Callable[..., Report], rows: Callable[[], list[ManifestRow]], pictures: Path, xml: Path
) -> None:
    write_folder(pictures / "LIDC-IDRI-0002" / "nodule-0", enclosed(NODULE), (250, 290), [3, 4])
    write_folder(pictures / "stranger" / "nodule-0", enclosed(NODULE), (250, 290), [3, 4])
    report = run()
    assert "no LIDC XML file" in reasons(report)["stranger/nodule-0"]
    assert [s.patient_id for s in report.having("failed")] == ["LIDC-IDRI-0002", "stranger"]
    assert {row.patient_id for row in rows()} == {ONE}


def test_a_mistake_of_ours_in_one_patient_costs_only_that_one(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    xml: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_folder(pictures / "LIDC-IDRI-0003" / "nodule-0", enclosed(NODULE), (250, 290), [3, 4, 5])
    write_xml(xml / "003.xml", series_of("LIDC-IDRI-0003")[0], [NODULE])
    real = module.crop_patient

    def break_one(patient_id: str, *rest: Any) -> Any:
        if patient_id == ONE:
            raise ZeroDivisionError("by zero")
        return real(patient_id, *rest)

    monkeypatch.setattr(module, "crop_patient", break_one)
    report = run()
    assert "ZeroDivisionError: by zero" in report.having("failed")[0].reason
    assert {row.patient_id for row in rows()} == {"LIDC-IDRI-0003"}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: folder / "gone.zip", "gone.zip.*found nothing"),
        (lambda folder: folder, "expected pictures of nodules.*--xml"),
    ],
)
def test_without_xml_it_is_one_clear_error_and_the_earlier_result_is_whole(
    run: Callable[..., Report],
    tmp_path: Path,
    break_it: Callable[[Path], Path],
    message: str,
) -> None:
    run()
    before = state(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LidcError, match=message):
        run(xml=break_it(tmp_path / "empty"))
    assert state(tmp_path / "out") == before


def test_a_folder_without_pictures_or_a_broken_archive_is_one_clear_error(
    run: Callable[..., Report], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LidcError, match="nodule-0/images/slice-0.png, found none"):
        run(tmp_path / "empty")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(LidcError, match="broken.zip: expected a zip archive"):
        run(tmp_path / "broken.zip")


def test_a_full_disk_leaves_the_earlier_result_whole(
    run: Callable[..., Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = state(tmp_path / "out")
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "n01_s000.jpg":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        run()
    after = state(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    monkeypatch.undo()
    run()
    assert state(tmp_path / "out") == before


def test_pictures_that_were_stretched_are_counted(
    run: Callable[..., Report], pictures: Path, tmp_path: Path
) -> None:
    assert not run().stretched_pictures
    path = pictures / ONE / "nodule-0" / "images" / "slice-0.png"
    picture = gray_at((60, 70), 7)
    picture[0, :2] = 0, 255
    path.write_bytes(png(picture))
    report = run()
    assert "1 pictures reach from black to white" in "\n".join(report_lines(report))
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert written["totals"]["stretched_pictures"] == report.stretched_pictures == 1


@pytest.mark.parametrize(
    ("corner_xy", "shown"), [((250, 290), True), ((275, 290), True), ((283, 290), False)]
)
def test_by_context_the_picture_must_hold_what_surrounds_the_nodule(
    run: Callable[..., Report],
    rows: Callable[[], list[ManifestRow]],
    pictures: Path,
    corner_xy: tuple[int, int],
    shown: bool,
) -> None:
    shutil.rmtree(pictures / ONE / "nodule-0")
    write_folder(pictures / ONE / "nodule-0", enclosed(OTHER), (60, 70), [7, 8])
    write_folder(pictures / ONE / "nodule-1", enclosed(NODULE)[::-1], corner_xy, [3, 4, 5])
    report = run(rule="context")
    assert {row.nodule for row in rows()} == ({0, 1} if shown else {1})
    assert {row.crop for row in rows()} == {"context"}
    edge = [entry for entry in report.left_out if "picture's edge" in entry.reason]
    assert len(edge) == (0 if shown else 3)


@pytest.fixture(scope="module")
def sample(lidc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Manifest]:
    """The 40 real patients of the sample, straight from the zip archives."""
    out = tmp_path_factory.mktemp("sample")
    archive, xml = lidc_folder / "lidc-slices-sample.zip", lidc_folder / "LIDC-XML-only.zip"
    return preprocess_slices(archive, out, xml=xml), read_manifest(out)


@pytest.mark.lidc
def test_nearly_every_picture_of_the_real_sample_finds_its_place(
    sample: tuple[Report, Manifest],
) -> None:
    report, manifest = sample
    assert sum(s.slices for s in report.series) == 978
    assert len(manifest) == 978
    left = [entry.path for entry in report.left_out if "slice" in entry.path]
    assert left == ["LIDC-IDRI-0305/nodule-7/slice-7", "LIDC-IDRI-0933/nodule-0/slice-2"]
    # Where a patient has two series the set's second scan wrote over the first.
    unseen = {entry.path.split(",")[0] for entry in report.left_out} - set(left)
    assert unseen == {"LIDC-IDRI-0132", "LIDC-IDRI-0151", "LIDC-IDRI-0608"}


@pytest.mark.lidc
def test_the_crops_are_those_of_lidc32(sample: tuple[Report, Manifest], lidc32: Path) -> None:
    """On slices of three readers and more; it differs where the set lacks a reader of the XML."""
    manifest, answer = sample[1], read_manifest(lidc32)
    patients = {row.patient_id for row in manifest.rows}

    def content(of: Manifest, row: ManifestRow) -> tuple[Any, ...]:
        pixels = cv2.imread(str(of.folder / row.image), cv2.IMREAD_UNCHANGED).tobytes()
        return row.patient_id, row.series_uid, row.malignancy_ratings, row.readers, pixels

    wanted = [r for r in answer.rows if r.patient_id in patients and r.readers >= 3]
    ours = {content(manifest, row): row for row in manifest.rows}
    same = [(row, ours.get(content(answer, row))) for row in wanted]
    differing = {row.patient_id for row, mine in same if mine is None}
    assert len(wanted) == 389
    assert sum(mine is not None for _, mine in same) == 365
    assert differing == {"LIDC-IDRI-0066", "LIDC-IDRI-0788"}
    z_mm = [(row.z_mm, mine.z_mm) for row, mine in same if mine and row.z_mm is not None]
    assert all(abs(theirs - mine) < 0.01 for theirs, mine in z_mm if mine is not None)


@pytest.mark.lidc
def test_the_crops_are_those_of_the_dicom_but_for_the_sets_gray(
    sample: tuple[Report, Manifest], real_crops: Path
) -> None:
    dicom = {r.sop_uid: r for r in read_manifest(real_crops).rows if r.patient_id == ONE}
    slices = {r.sop_uid: r for r in sample[1].rows if r.patient_id == ONE}
    assert len(dicom) == 9 and set(dicom) == set(slices)
    for sop_uid, row in dicom.items():
        mine = slices[sop_uid]
        fields = ("series_uid", "nodule", "z_mm", "readers", "malignancy_ratings", "scale")
        assert [getattr(mine, f) for f in fields] == [getattr(row, f) for f in fields]
        one, other = (
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)
            for path in (real_crops / row.image, sample[1].folder / mine.image)
        )
        assert np.abs(one - other).mean() < 6
