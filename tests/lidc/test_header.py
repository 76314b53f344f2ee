"""A file of a few bytes may not take all memory, nor a noisy library bury what is told."""

from __future__ import annotations

import logging
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lungdx_paddle.lidc import find_series, header

WriteSlice = Callable[..., Path]


def reasons(source: Path) -> list[str]:
    series, skipped = find_series(source)
    assert not series
    return [s.reason for s in skipped]


def deflate_anew(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change what is deflated in a file."""
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")  # behind group 0002
    packer = zlib.compressobj(wbits=-15)
    inflated = change(zlib.decompress(content[start:], -15))
    path.write_bytes(content[:start] + packer.compress(inflated) + packer.flush())


def test_a_deflated_file_is_inflated_up_to_a_limit(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_slice(syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(header, "INFLATED_BYTES", 2**20)
    deflate_anew(path, lambda content: content + bytes(2**20 - len(content)))
    assert find_series(scan)[0][0].volume_hu().shape == (1, 6, 5)
    deflate_anew(path, lambda content: content + bytes(1))
    assert reasons(scan) == ["deflated, and more than 1 MiB when inflated"]


def test_a_deflated_file_that_is_cut_off_is_told(write_slice: WriteSlice, scan: Path) -> None:
    deflate_anew(write_slice(syntax=DeflatedExplicitVRLittleEndian), lambda content: content[:-9])
    assert reasons(scan) == ["cut off: 51 of 60 bytes of pixels"]


@pytest.mark.parametrize("undefined_length", [False, True])
def test_a_header_has_an_end(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch, undefined_length: bool
) -> None:
    frames = Sequence([Dataset() for _ in range(50)])
    for frame in frames:
        frame.is_undefined_length_sequence_item = undefined_length
    frames.is_undefined_length = undefined_length
    write_slice(NumberOfFrames=50, PerFrameFunctionalGroupsSequence=frames)
    monkeypatch.setattr(header, "MOST_ITEMS", 49)
    assert reasons(scan) == ["a header with sequences of more than 49 items"]
    monkeypatch.setattr(header, "MOST_ITEMS", 50)
    monkeypatch.setattr(header, "HEADER_BYTES", 2**10)
    assert reasons(scan) == ["a header of more than 0 MiB"]


def test_what_pydicom_finds_odd_is_not_printed_for_every_slice(
    write_slice: WriteSlice,
    scan: Path,
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for z_mm in (0, 2.5):
        path = write_slice(z_mm, SOPInstanceUID=f"1.2.113.{z_mm:03g}", NumberOfFrames=0)
        path.write_bytes(path.read_bytes().replace(b"1.2.113", b"1.2.013"))
    recwarn.clear()
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        (series,), _ = find_series(scan)
        series.volume_hu()
    assert not recwarn.list and not caplog.records
    assert logging.getLogger("pydicom").propagate


def test_threads_that_read_leave_the_settings_as_they_were() -> None:
    log, filters = logging.getLogger("pydicom"), list(warnings.filters)
    first, second, done = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        with header.quiet():
            second.set()
            first.wait(10)
        done.set()

    thread = threading.Thread(target=read)
    with header.quiet():
        thread.start()
        assert second.wait(10)
    assert not log.propagate  # the other still reads
    first.set()
    thread.join(10)
    assert done.is_set() and log.propagate and warnings.filters == filters
