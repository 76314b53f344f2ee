"""The sending side: what a PACS says is told apart."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from stub_node import SEG, SR, instance

from lungdx_paddle.serving.node.peers import Peer

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from lungdx_paddle.serving.node.sender import PacsAway, PacsRefuses, Sender

# pynetdicom leaves a socket that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def result(folder: Path, sop_class: str, name: str) -> Path:
    path = folder / f"{name}.dcm"
    pydicom.dcmwrite(path, instance(sop_class, "1.2", f"1.2.{len(name)}"), enforce_file_format=True)
    return path


def test_a_pacs_that_takes_no_segmentation_gets_the_report(
    tmp_path: Path, pacs: Any, listening: Callable[..., AbstractContextManager[Any]]
) -> None:
    results = [result(tmp_path, SEG, "segmentation"), result(tmp_path, SR, "report")]
    with listening(type(pacs)(), classes=[SR]) as other:
        sender = Sender(Peer("PACS", "127.0.0.1", other.port), "LUNGDX")
        sent = []
        with pytest.raises(PacsRefuses, match="found one that refuses segmentation .no such SOP"):
            for path in sender.send(results):
                sent.append(path)
        assert sent == results[1:] and other.uids == ["1.2.6"]


def test_what_has_no_room_now_may_have_it_later(tmp_path: Path, pacs: Any) -> None:
    sender = Sender(Peer("PACS", "127.0.0.1", pacs.port), "LUNGDX")
    path = result(tmp_path, SR, "report")
    pacs.status = lambda dataset: 0xA700
    with pytest.raises(PacsAway, match="status A700; see that it is up and knows LUNGDX"):
        list(sender.send([path]))
    for status in (0x0000, 0x0111, 0xB000):  # success, a duplicate, a warning: it has it
        pacs.status = lambda dataset, status=status: status
        assert list(sender.send([path])) == [path]


def test_an_echo_tells_who_is_not_there(pacs: Any) -> None:
    Sender(Peer("PACS", "127.0.0.1", pacs.port), "LUNGDX").echo()
    with pytest.raises(PacsAway, match="PACS@127.0.0.1:1: .* found no association"):
        Sender(Peer("PACS", "127.0.0.1", 1), "LUNGDX").echo()
