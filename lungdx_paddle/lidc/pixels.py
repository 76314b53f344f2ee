"""The pixels of one CT slice, in Hounsfield units."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.files import LARGEST_BYTES
from lungdx_paddle.lidc.codestreams import coded_size
from lungdx_paddle.lidc.header import parse_header, quiet
from lungdx_paddle.lidc.slices import Slice
from lungdx_paddle.lidc.sources import SourceFile
from lungdx_paddle.words import count_of

AIR_HU = -1000
"""What padding becomes: outside the scanned circle there is air (HU is 0 water, -1000 air)."""

LOWEST_HU = -1500
"""Nothing measured lies lower, noise included: pads of -2000 and -3024 without a padding tag."""

NO_AIR_HU = -500
"""A slice through a chest has darker values than this, of lung (-850) and air (-1000); soft
tissue and fat (-100) alone have none."""

SCALES = 8
"""Tables from stored values to HU that are kept, of 450 KB: each series has one, or a few."""

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
    codes, scale = _coded(s)
    return scale.hu.take(codes)


def darkest_hu(s: Slice, hu: np.ndarray) -> int:
    """The lowest value of a slice that was measured; padding, which became air, is none.

    Args:
        s: the slice.
        hu: what :func:`read_hu` gave for it.

    Raises:
        LidcError, InstallError: as :func:`read_hu`, which is called again where all that is
            dark may be padding.
    """
    others = hu[hu != AIR_HU]
    lowest = int(others.min()) if others.size else 0
    if lowest < NO_AIR_HU:
        return lowest
    codes, scale = _coded(s)
    measured = scale.measured.take(codes)
    return int(measured.min(initial=np.iinfo(np.int16).max, where=~scale.padded.take(codes)))


def air_warnings(series_uid: str, darkest: Sequence[int], has_rescale: bool) -> tuple[str, ...]:
    """See by its air whether what was read of a series is HU.

    Args:
        series_uid: the series, to be named.
        darkest: :func:`darkest_hu` of each slice that was read.
        has_rescale: whether these slices have RescaleIntercept and RescaleSlope.

    Returns:
        A warning, if one of the slices has no air.

    Raises:
        LidcError: one has no air, and the header does not say what is HU.
    """
    without = [hu for hu in darkest if hu >= NO_AIR_HU]
    if not without:
        return ()
    found = f"none in {len(without)} of {count_of(len(darkest), 'slice')} read"
    found += f" (the darkest value is {min(without)})"
    if has_rescale:
        return (f"a chest holds air below {NO_AIR_HU} HU, but {found}: values may be no HU",)
    raise LidcError(
        f"series {series_uid}",
        expected=f"values in HU, with the air of a chest below {NO_AIR_HU} HU",
        found=f"{found}, and no RescaleIntercept or RescaleSlope",
        fix="export it again with these attributes, or leave it out",
    )


class _Scale(NamedTuple):
    """What each stored value means, by its bits as a number from 0."""

    measured: np.ndarray
    """int32 in HU."""
    padded: np.ndarray
    """bool: it is no measurement."""
    hu: np.ndarray
    """int16 in HU, padding being air."""


def _coded(s: Slice) -> tuple[np.ndarray, _Scale]:
    """(rows, columns) of the bits of the stored values, and what they mean."""
    stored = _stored_values(s)
    unused = max(0, 8 * stored.dtype.itemsize - s.bits_stored)
    # MONOCHROME1 is how to show values, not what they mean (PS3.3, C.7.6.3.1.2).
    # Some exporters invert the stored values all the same; then air is bright.
    inverted = s.monochrome1 and not _has_air_around((stored << unused) >> unused)
    native = stored.dtype.newbyteorder("=")
    scale = _scale(native, unused, inverted, s.slope, s.intercept, s.padding)
    return stored.astype(native, copy=False).view(f"u{native.itemsize}"), scale


@lru_cache(maxsize=SCALES)
def _scale(
    kind: np.dtype[Any],
    unused: int,
    inverted: bool,
    slope: float,
    intercept: float,
    padding: tuple[int, int] | None,
) -> _Scale:
    """Of all values that there are: the slices of a series have it in common as a rule."""
    bits = 8 * kind.itemsize
    stored = np.arange(2**bits, dtype=f"u{kind.itemsize}").view(kind)
    # Old files keep overlays in the unused bits; to and fro, the sign is extended.
    values = (stored << unused) >> unused
    if inverted:
        used = bits - unused
        lowest = -(1 << (used - 1)) if kind.kind == "i" else 0
        values = (1 << used) - 1 + 2 * lowest - values.astype(np.int32)
    measured = np.rint(values * slope + intercept).astype(np.int32)
    padded = measured < LOWEST_HU
    if padding is not None:
        padded |= (stored >= padding[0]) & (stored <= padding[1])
    limits = np.iinfo(np.int16)
    hu = np.clip(np.where(padded, AIR_HU, measured), limits.min, limits.max).astype(np.int16)
    return _Scale(measured, padded, hu)


def _stored_values(s: Slice) -> np.ndarray:
    """(rows, columns) of the values in the file, unused bits and padding among them."""
    found, cause = "", None
    try:
        with _open(s) as stream, quiet():
            deflated = s.transfer_syntax == DeflatedExplicitVRLittleEndian
            syntax = ExplicitVRLittleEndian if deflated else s.transfer_syntax
            stream.seek(s.pixels.offset)
            _check_code(s, stream)
            # All options are given: pydicom parses no header again for each of many frames.
            stored: np.ndarray
            stored, _ = get_decoder(syntax).as_array(
                stream,
                index=s.frame,
                raw=True,
                # pylibjpeg's is in Rust: on damaged data it panics, which is no Exception.
                decoding_plugin="pydicom" if syntax == RLELossless else "",
                rows=s.rows,
                columns=s.columns,
                number_of_frames=s.pixels.frames,
                samples_per_pixel=1,
                photometric_interpretation="MONOCHROME2",
                bits_allocated=s.pixels.bits_allocated,
                bits_stored=s.bits_stored,
                pixel_representation=int(s.pixels.signed),
                pixel_keyword="PixelData",
                pixel_vr=s.pixels.vr,
                correct_unused_bits=False,
            )
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
        text = " ".join(f"{type(error).__name__}: {error}".split())
        found, cause = text, error
    raise LidcError(
        str(s.file),
        expected=f"{s.rows} x {s.columns} pixels",
        found=found,
        fix="download the file again or leave it out",
    ) from cause


def _open(s: Slice) -> BinaryIO:
    """The slice's file, unpacked: once for all of its frames, which are read in turn."""
    file, deflated = s.file, s.transfer_syntax == DeflatedExplicitVRLittleEndian
    if s.pixels.frames == 1:
        return _inflated(file) if deflated else file.open()
    entry = file.path.stat()
    content = _unpacked(file, deflated, entry.st_mtime_ns, entry.st_size)
    return file.open() if content is None else io.BytesIO(content)


@lru_cache(maxsize=1)
def _unpacked(file: SourceFile, deflated: bool, mtime_ns: int, size: int) -> bytes | None:
    """The last file of several frames as it was at that time; None if it is not packed."""
    with _inflated(file) if deflated else file.open() as stream:
        if file.member is None and not isinstance(stream, io.BytesIO):
            return None
        stream.seek(0)
        content = stream.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"more than {LARGEST_BYTES} bytes when unpacked")
    return content


def _inflated(file: SourceFile) -> BinaryIO:
    with file.open() as stream, quiet():
        return parse_header(stream)[2]


def _check_code(s: Slice, stream: BinaryIO) -> None:
    """A ValueError where compressed pixels say another size than the header.

    Decoders take memory for whatever the picture itself says.
    """
    if not s.transfer_syntax.is_encapsulated or s.transfer_syntax == RLELossless:
        return
    code = get_frame(stream, s.frame, number_of_frames=s.pixels.frames)
    stream.seek(s.pixels.offset)
    size = coded_size(code)
    if size is not None and size != (s.rows, s.columns, 1):
        raise ValueError("a picture of {} x {} pixels and {} colours".format(*size))


def _has_air_around(values: np.ndarray) -> bool:
    rows, columns = (max(1, side // CORNER_PART) for side in values.shape)
    edge = np.concatenate([values[:rows], values[-rows:]])
    corners = np.concatenate([edge[:, :columns], edge[:, -columns:]])
    return bool(np.median(corners) <= values.mean())
