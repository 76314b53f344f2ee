"""The pixels of one CT slice, in Hounsfield units."""

from __future__ import annotations

import warnings

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.pixels import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.lidc.slices import Slice

AIR_HU = -1000
"""What padding becomes: outside the scanned circle there is air (HU is 0 water, -1000 air)."""

LOWEST_HU = -1500
"""Nothing measured lies lower, noise included: pads of -2000 and -3024 without a padding tag."""

CORNER_PART = 16
"""The corners that are looked at for air are this part of the slice's side."""


def read_hu(s: Slice) -> np.ndarray:
    """Read the pixels of one slice: (rows, columns) int16 in HU.

    HU = slope * stored + intercept, DICOM (0028,1053) and (0028,1052) of this very slice,
    1 and 0 where they are missing.  Padding, and what lies below :data:`LOWEST_HU`,
    becomes :data:`AIR_HU`.

    Raises:
        LidcError: the pixels cannot be read or unpacked.
        InstallError: they are compressed and no decoder for them is installed.
    """
    stored = _stored_values(s)
    values = stored
    unused = 8 * stored.dtype.itemsize - s.bits_stored
    if unused > 0:  # old files keep overlays there; to and fro, the sign is extended
        values = (stored << unused) >> unused
    if s.monochrome1 and not _has_air_around(values):
        # MONOCHROME1 is how to show values, not what they mean (PS3.3, C.7.6.3.1.2).
        # Some exporters invert the stored values all the same; then air is bright.
        lowest = -(1 << (s.bits_stored - 1)) if stored.dtype.kind == "i" else 0
        values = (1 << s.bits_stored) - 1 + 2 * lowest - values.astype(np.int32)
    if s.slope == 1 and s.intercept.is_integer():  # most makers, and faster
        hu = np.add(values, int(s.intercept), dtype=np.int32)
    else:
        hu = np.rint(values * s.slope + s.intercept).astype(np.int32)
    air = hu < LOWEST_HU
    if s.padding is not None:
        air |= (stored >= s.padding[0]) & (stored <= s.padding[1])
    np.copyto(hu, AIR_HU, where=air)
    limits = np.iinfo(np.int16)
    return np.clip(hu, limits.min, limits.max, out=hu).astype(np.int16)


def _stored_values(s: Slice) -> np.ndarray:
    """(rows, columns) of the values in the file, unused bits and padding among them."""
    options = {"transfer_syntax_uid": s.transfer_syntax, "correct_unused_bits": False}
    found, cause = "", None
    try:
        with s.file.open() as stream, disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of "0 frames", which the header has settled
            inflated = s.transfer_syntax == DeflatedExplicitVRLittleEndian
            source = pydicom.dcmread(stream) if inflated else stream
            stored: np.ndarray = pixel_array(source, index=s.frame, raw=True, **options)
        if stored.shape == (s.rows, s.columns):
            return stored
        found = "{} x {}".format(*stored.shape)
    except Exception as error:  # decoders raise nearly anything on damaged data
        if "missing dependencies" in str(error):
            raise InstallError(
                str(s.file),
                expected=f"a decoder for {s.transfer_syntax.name}",
                found="none installed",
                fix=install_hint("compressed"),
            ) from error
        found, cause = " ".join(f"{type(error).__name__}: {error}".split()), error
    raise LidcError(
        str(s.file),
        expected=f"{s.rows} x {s.columns} pixels",
        found=found,
        fix="download the file again or leave it out",
    ) from cause


def _has_air_around(values: np.ndarray) -> bool:
    rows, columns = (max(1, side // CORNER_PART) for side in values.shape)
    edge = np.concatenate([values[:rows], values[-rows:]])
    corners = np.concatenate([edge[:, :columns], edge[:, -columns:]])
    return bool(np.median(corners) <= values.mean())
