"""The stored values of one slice -> Hounsfield units."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.uid import UID

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.lidc.headers import PixelFormat, Slice
from lungdx_paddle.lidc.sources import READ_ERRORS

AIR_HU = -1000
"""What padding becomes: outside the scanned circle there is air (HU is 0 water, -1000 air)."""

LOWEST_HU = -1500
"""Nothing measured lies lower, noise included: pads of -2000 and -3024 without a padding tag."""

CORNER_PART = 16
"""The corners that are looked at for air are this part of the slice's side."""


def read_hu(s: Slice) -> np.ndarray:
    """Read one slice: (rows, columns) int16 in HU.

    HU = slope * stored + intercept, DICOM (0028,1053) and (0028,1052) of this very slice,
    1 and 0 where they are missing.  Padding, and what lies below :data:`LOWEST_HU`,
    becomes :data:`AIR_HU`.

    Raises:
        LidcError: the pixels cannot be read or unpacked.
        InstallError: they are compressed and no decoder for them is installed.
    """
    stored = _plain(s) if s.pixels.offset is not None else _unpacked(s)
    hu = _rescaled(_measured(stored, s.pixels), s.slope, s.intercept)
    air = hu < LOWEST_HU
    if s.pixels.padding is not None:
        low, high = s.pixels.padding
        air |= (stored >= low) & (stored <= high)
    np.copyto(hu, AIR_HU, where=air)
    limits = np.iinfo(np.int16)
    return np.clip(hu, limits.min, limits.max, out=hu).astype(np.int16)


def _plain(s: Slice) -> np.ndarray:
    """(rows, columns) of stored values, straight from their place in the file."""
    wanted = s.pixels.frame_bytes
    try:
        with s.file.open() as stream:
            stream.seek((s.pixels.offset or 0) + s.frame * wanted)
            data = stream.read(wanted)
    except READ_ERRORS as error:
        raise _error(s, str(error)) from error
    if len(data) < wanted:
        raise _error(s, f"{len(data)} of {wanted} bytes")
    kind = "i" if s.pixels.signed else "u"
    order = ">" if s.pixels.big_endian else "<"
    stored = np.frombuffer(data, f"{order}{kind}{s.pixels.bits_allocated // 8}")
    return stored.reshape(s.pixels.rows, s.pixels.columns)


def _unpacked(s: Slice) -> np.ndarray:
    """The same from a compressed or deflated file, by pydicom and its decoders."""
    try:
        with s.file.open() as stream:
            array: np.ndarray = pydicom.dcmread(stream, force=True).pixel_array
        return array[s.frame] if array.ndim == 3 else array
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        if "missing" not in str(error):  # pydicom's word for decoders that are not installed
            raise _error(s, str(error)) from error
        raise InstallError(
            str(s.file),
            expected=f"a decoder for {UID(s.pixels.transfer_syntax).name}",
            found="none installed",
            fix="pip install 'lungdx-paddle[compressed]'",
        ) from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise _error(s, f"{type(error).__name__}: {error}") from error


def _error(s: Slice, found: str) -> LidcError:
    return LidcError(
        str(s.file),
        expected=f"{s.pixels.rows} x {s.pixels.columns} pixels",
        found=" ".join(found.split()),
        fix="download the file again or leave it out",
    )


def _measured(stored: np.ndarray, pixels: PixelFormat) -> np.ndarray:
    """The bits that are measurement: 12 of 16 in most unsigned files."""
    unused = pixels.bits_allocated - pixels.bits_stored
    if unused > 0:  # old files keep overlays there; to and fro, the sign is extended
        stored = (stored << unused) >> unused
    if pixels.monochrome1 and not _has_air_around(stored):
        # MONOCHROME1 tells how to show values, not what they mean (PS3.3, C.7.6.3.1.2).
        # Some exporters turn the stored values round all the same; then air is bright.
        lowest = -(1 << (pixels.bits_stored - 1)) if pixels.signed else 0
        stored = (1 << pixels.bits_stored) - 1 + 2 * lowest - stored.astype(np.int32)
    return stored


def _has_air_around(stored: np.ndarray) -> bool:
    rows, columns = (max(1, side // CORNER_PART) for side in stored.shape)
    edge = np.concatenate([stored[:rows], stored[-rows:]])
    corners = np.concatenate([edge[:, :columns], edge[:, -columns:]])
    return bool(np.median(corners) <= stored.mean())


def _rescaled(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if slope == 1 and float(intercept).is_integer():  # most makers, and faster
        return np.add(values, int(intercept), dtype=np.int32)
    return np.rint(values * slope + intercept).astype(np.int32)
