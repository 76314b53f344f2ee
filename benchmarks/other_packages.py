"""The same steps as people write them with pydicom, SciPy and scikit-image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pydicom
from scipy import ndimage
from skimage import exposure, filters, measure, morphology

from lungdx_paddle.lidc.sources import SourceFile
from lungdx_paddle.preprocess.lungs.paper_steps import CLOSING_RADIUS_PX as R
from lungdx_paddle.preprocess.lungs.paper_steps import SMALLEST_LUNG_PX, disc
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW

DISC = disc(R).astype(bool)
EIGHT = np.ones((3, 3), bool)
LOW_HU, HIGH_HU = (DEFAULT_WINDOW[0] + half * DEFAULT_WINDOW[1] for half in (-0.5, 0.5))


ATTRIBUTES = """
SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID PatientID Modality ImageType
InstanceNumber ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness Rows Columns
BitsAllocated BitsStored PixelRepresentation PhotometricInterpretation SamplesPerPixel
RescaleSlope RescaleIntercept PixelPaddingValue WindowCenter WindowWidth""".split()
"""What is needed of a header."""


def pydicom_headers(files: Sequence[SourceFile]) -> list[str]:
    """SOP instance UIDs, caudal to cranial; every attribute is read, as pydicom is lazy."""
    datasets = _by_place(files, stop_before_pixels=True)
    values = [{name: dataset.get(name) for name in ATTRIBUTES} for dataset in datasets]
    return [str(value["SOPInstanceUID"]) for value in values]


def pydicom_hu(files: Sequence[SourceFile]) -> list[np.ndarray]:
    """Slices in HU, caudal to cranial."""
    slices = []
    for dataset in _by_place(files, stop_before_pixels=False):
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        hu[hu < -1500] = -1000  # outside the scanned circle
        slices.append(hu.astype(np.int16))
    return slices


def _by_place(files: Sequence[SourceFile], stop_before_pixels: bool) -> list[pydicom.Dataset]:
    datasets = []
    for file in files:
        with file.open() as stream:
            datasets.append(pydicom.dcmread(stream, stop_before_pixels=stop_before_pixels))
    return sorted(datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))


def scipy_tissue(hu: np.ndarray) -> np.ndarray:
    # The means by NumPy: scipy.ndimage.mean takes five times as long.
    gray = np.floor((hu - LOW_HU) * (255 / DEFAULT_WINDOW[1]) + 0.5).clip(0, 255).astype(np.uint8)
    threshold, new = -1.0, (float(gray.min()) + float(gray.max())) / 2
    while new != threshold:
        threshold = new
        tissue = gray >= threshold
        new = (float(gray[tissue].mean()) + float(gray[~tissue].mean())) / 2
    return gray >= threshold


def skimage_tissue(hu: np.ndarray) -> np.ndarray:
    scaled = exposure.rescale_intensity(
        hu.astype(np.float32), in_range=(LOW_HU, HIGH_HU), out_range=(0, 255)
    )
    gray = np.floor(scaled + 0.5).astype(np.uint8)
    return gray > filters.threshold_isodata(gray)


def scipy_areas(tissue: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(ndimage.binary_fill_holes(tissue), EIGHT)
    body = labels == _largest(labels)
    air = ndimage.binary_fill_holes(body & ~tissue)
    return _without_small(ndimage.label(air, EIGHT)[0])


def skimage_areas(tissue: np.ndarray) -> np.ndarray:
    labels = measure.label(_filled(tissue), connectivity=2)
    body = labels == _largest(labels)
    return _without_small(measure.label(_filled(body & ~tissue), connectivity=2))


def scipy_closing(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_closing(np.pad(mask, R), DISC)[R:-R, R:-R]


def skimage_closing(mask: np.ndarray) -> np.ndarray:
    return morphology.closing(np.pad(mask, R), DISC)[R:-R, R:-R]


def scipy_lung(hu: np.ndarray) -> np.ndarray:
    return ndimage.binary_fill_holes(scipy_closing(scipy_areas(scipy_tissue(hu))))


def skimage_lung(hu: np.ndarray) -> np.ndarray:
    return _filled(skimage_closing(skimage_areas(skimage_tissue(hu))))


def _filled(mask: np.ndarray) -> np.ndarray:
    """All that the outside does not reach; a border makes the outside one area."""
    labels = measure.label(~np.pad(mask, 1), connectivity=1)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def _largest(labels: np.ndarray) -> int:
    areas_px = np.bincount(labels.ravel())
    areas_px[0] = 0
    return int(areas_px.argmax()) or 1  # 1: an empty picture has no area of that number


def _without_small(labels: np.ndarray) -> np.ndarray:
    """What ``remove_small_objects`` does, whose arguments differ by version."""
    kept = np.bincount(labels.ravel()) >= SMALLEST_LUNG_PX
    kept[0] = False
    return kept[labels]
