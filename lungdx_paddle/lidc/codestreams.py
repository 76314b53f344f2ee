"""The size that a compressed picture says it has, read before a decoder takes memory for it."""

from __future__ import annotations

import struct

JPEG_START = b"\xff\xd8"
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header: SOF0 to SOF15 but DHT, JPG and DAC (ITU-T T.81, B.1.1.3), and SOF55
of JPEG-LS (ITU-T T.87)."""
WITHOUT_LENGTH = {0x01, 0xFF, *range(0xD0, 0xD9)}
"""Markers that stand alone, and the fill byte."""

JPEG_2000_START = b"\xff\x4f\xff\x51"
"""SOC and SIZ (ITU-T T.800, A.4.1 and A.5.1), also behind the boxes of a JP2 file."""


def coded_size(code: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components of a JPEG, JPEG-LS or JPEG 2000 codestream.

    None if there is no header of one.
    """
    if code.startswith(JPEG_START):
        return _jpeg_size(code)
    start = code.find(JPEG_2000_START)
    if start < 0 or len(code) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", code, start + 8)
    (components,) = struct.unpack_from(">H", code, start + 40)
    return bottom - top, right - left, components


def _jpeg_size(code: bytes) -> tuple[int, int, int] | None:
    at = len(JPEG_START)
    while at + 10 <= len(code) and code[at] == 0xFF:
        marker = code[at + 1]
        if marker in JPEG_FRAMES:
            rows, columns, components = struct.unpack_from(">2HB", code, at + 5)
            return rows, columns, components
        if marker in WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(code[at + 2 : at + 4], "big")
    return None
