"""A run and its model, made once, which each test copies; the same as ONNX, and of an ensemble."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.onnx import require_paddle2onnx
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.regions import patient_mm
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.settings import Config
from lungdx_paddle.training.crossval import train_any
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train


@pytest.fixture(scope="session")
def world(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with crops, a run on them and, in it, its model."""
    folder = tmp_path_factory.mktemp("world")
    own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
    (folder / "run").mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    out = writable_folder(folder / "run" / "inference")
    export(load_run(folder / "run"), out, safetensors=True)
    return folder


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Path:
    """A copy of the run, and of its crops, that a test may change."""
    shutil.copytree(world, tmp_path / "world")
    config = tmp_path / "world" / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(world), str(tmp_path / "world")))
    return config.parent


@pytest.fixture
def model(run: Path) -> Path:
    return run / "inference"


@pytest.fixture(scope="session")
def train_folds(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Config]:
    """A function (folds) -> a run that has trained them; each number is trained once."""

    @functools.cache
    def trained(folds: int) -> Config:
        folder = tmp_path_factory.mktemp("either")
        own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
        own += [f"data.folds={folds}", "data.split=patient"]
        config = load_config(configs / "testing.yaml", own)
        train_any(config, JobOptions(jobs=1, device="cpu"))
        return config

    return trained


# Made anew with each file, since pytest keeps one value of a fixture with parameters.
@pytest.fixture(scope="session", params=[0, 2], ids=["network", "ensemble"])
def either(train_folds: Callable[[int], Config], request: pytest.FixtureRequest) -> Config:
    """A run that has trained one network, or an ensemble of folds."""
    return train_folds(request.param)


@pytest.fixture(scope="session")
def onnx(either: Config) -> Path:
    """The model of a run with its ONNX file."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    try:
        require_paddle2onnx()
    except InstallError as error:
        pytest.skip(str(error))
    folder = either.output_folder.parent / "onnx"
    if not folder.is_dir():
        export(load_run(either.output_folder), writable_folder(folder), onnx=True)
    return folder


MARKED_ROWS = 94  # times 94 columns are no whole number of bytes of bits


@pytest.fixture(scope="session")
def marked_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantom patients of 6 slices, for others' marks."""
    folder = tmp_path_factory.mktemp("marked")
    sizes = PhantomSettings(rows=MARKED_ROWS, slices=6, nodules=(1, 1))
    write_phantom(folder, 2, jobs=1, settings=sizes)
    return folder


@pytest.fixture(scope="session")
def marked(marked_scans: Path) -> Series:
    """The first one's series."""
    return find_series(marked_scans / "PHANTOM-0001")[0][0]


@pytest.fixture(scope="session")
def masks() -> np.ndarray:
    """(6, rows, columns, 2) bool: a ball with a hole on slices 0 to 4, and a bar on 2 and 5."""
    z, y, x = np.indices((6, MARKED_ROWS, MARKED_ROWS))
    apart = np.hypot(x - 40.2, y - 31.7) + 3 * abs(z - 2)
    ball = (apart < 9) & ~((apart < 2) & (z == 2))
    bar = (x >= 60) & (x < 90) & (y == 70) & np.isin(z, (2, 5))
    return np.stack([ball, bar], axis=-1)


@pytest.fixture(scope="session")
def make_seg(marked: Series) -> Callable[..., Dataset]:
    """A function (masks, kind): a SEG by another program, frames without a pixel left out."""
    seg = pytest.importorskip("highdicom.seg", reason="the extra sr is not installed")
    lesion = pydicom.sr.codedict.codes.SCT.Lesion

    def make(masks: np.ndarray, kind: str = "BINARY", **others: Any) -> Dataset:
        described = [
            seg.SegmentDescription(number, name, lesion, lesion, "MANUAL")
            for number, name in enumerate(("ball", "bar"), 1)
        ]
        made: Dataset = seg.Segmentation(
            [pydicom.dcmread(s.file.path) for s in marked.slices],
            masks.astype(np.uint8),
            kind,
            described,
            generate_uid(),
            1,
            generate_uid(),
            1,
            "maker",
            "model",
            "1",
            "0",
            **others,
        )
        return made

    return make


@pytest.fixture
def seg(make_seg: Callable[..., Dataset], masks: np.ndarray) -> Dataset:
    """A binary SEG of both, which the test may change."""
    return make_seg(masks)


@pytest.fixture(scope="session")
def make_rtstruct(marked: Series) -> Callable[..., Dataset]:
    """A function (ROI name -> slice, geometric type, (n, 2) column, row of each contour)."""

    def make(**contours: list[tuple[int, str, np.ndarray]]) -> Dataset:
        made, drawn_on, study, frame = Dataset(), Dataset(), Dataset(), Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", generate_uid()
        made.StudyInstanceUID, made.SeriesInstanceUID = marked.study_uid, generate_uid()
        drawn_on.SeriesInstanceUID = marked.series_uid
        study.RTReferencedSeriesSequence = [drawn_on]
        frame.RTReferencedStudySequence = [study]
        frame.FrameOfReferenceUID = marked.slices[0].frame_of_reference
        made.ReferencedFrameOfReferenceSequence = [frame]
        made.StructureSetROISequence, made.ROIContourSequence = [], []
        for number, (name, its) in enumerate(contours.items(), 1):
            roi, drawn = Dataset(), Dataset()
            roi.ROINumber, roi.ROIName = number, name
            roi.ReferencedFrameOfReferenceUID = frame.FrameOfReferenceUID
            drawn.ReferencedROINumber, drawn.ContourSequence = number, []
            for index, kind, xy in its:
                contour, image = Dataset(), Dataset()
                image.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
                image.ReferencedSOPInstanceUID = marked.sop_uids[index]
                contour.ContourImageSequence = [image]
                contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(xy)
                points_mm = patient_mm(marked.slices[index], xy)
                contour.ContourData = [f"{mm:.3f}" for mm in points_mm.ravel()]
                drawn.ContourSequence.append(contour)
            made.StructureSetROISequence.append(roi)
            made.ROIContourSequence.append(drawn)
        return made

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Dataset], Path]:
    """A function that writes an object into the test's own folder."""

    def write(dataset: Dataset) -> Path:
        path = tmp_path / "marks.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write
