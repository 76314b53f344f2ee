"""The receiving side: who is let in, and what is refused with which status."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydicom.config import disable_value_validation
from stub_node import CT, instance, until

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.serving.node.peers import Caller, parse_caller
from lungdx_paddle.serving.node.room import Limits
from lungdx_paddle.serving.node.study_queue import Queue

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from pynetdicom.association import Association

from lungdx_paddle.serving.node import receiver as receiver_module
from lungdx_paddle.serving.node.receiver import Receiver

# pynetdicom leaves a socket that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Associate = Callable[..., AbstractContextManager[Association]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Receiver, int]]]:
    receivers = []

    def started(*allowed: Caller, quiet_s: float = 0.05) -> tuple[Receiver, int]:
        queue = Queue(tmp_path / "queue", Limits(study_bytes=2000, free_bytes=0))
        receiver = Receiver(queue, "LUNGDX", allowed, quiet_s)
        receivers.append(receiver)
        return receiver, receiver.start("127.0.0.1", 0)

    yield started
    for receiver in receivers:
        threading.Thread(target=receiver.stop).start()  # which takes half a second


def test_only_known_titles_at_known_addresses_are_let_in(
    start: Callable[..., tuple[Receiver, int]],
    association: Associate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, port = start(parse_caller("SCANNER@127.0.0.0/8"), parse_caller("OTHER@10.1.2.3"))
    with association(port) as scanner:
        assert scanner.is_established and scanner.send_c_echo().Status == 0
    for titles in ({"calling": "OTHER"}, {"calling": "NOBODY"}, {"called": "LUNGS"}):
        with association(port, **titles) as scanner:
            assert scanner.is_rejected
    told = [record.message for record in caplog.records if record.name == "lungdx_paddle"]
    assert len(told) == 3 and all("refused an association of" in line for line in told)
    assert "it calls 'LUNGS', and this is 'LUNGDX'" in told[2]


def test_a_connection_from_another_address_is_closed_unread(
    start: Callable[..., tuple[Receiver, int]], caplog: pytest.LogCaptureFixture
) -> None:
    _, port = start(parse_caller("SCANNER@10.1.2.3"))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        assert connection.recv(1) == b""
    assert "refused a connection from 127.0.0.1, which --allow does not name" in caplog.text


def test_a_study_is_complete_some_quiet_time_after_the_release(
    start: Callable[..., tuple[Receiver, int]],
    association: Associate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver, port = start(quiet_s=2.0)
    now = [0.0]
    monkeypatch.setattr(receiver_module, "monotonic", lambda: now[0])
    queue = receiver.queue

    def complete_after(seconds: float) -> bool:
        now[0] += seconds
        return receiver.is_complete("1.2")

    with association(port) as scanner:
        scanner.send_c_store(instance(CT, "1.2", "1.2.1"))
        assert not complete_after(15)  # it is still open, and more may come
        assert complete_after(10)  # some senders never release it
        scanner.send_c_store(instance(CT, "1.2", "1.2.2"))
    until(lambda: not receiver._arrivals["1.2"].open)
    assert not complete_after(1.5) and complete_after(1)
    with association(port) as scanner:
        scanner.send_c_store(instance(CT, "1.2", "1.2.3"))
        scanner.abort()
    assert not complete_after(15) and complete_after(10)
    receiver.forget("1.2")  # as if another process had received it
    assert len(queue.study("1.2").instances) == 3
    receiver._begun = now[0]
    assert not complete_after(15) and complete_after(10)


def test_what_cannot_be_kept_is_refused_with_its_status(
    start: Callable[..., tuple[Receiver, int]],
    association: Associate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver, port = start()
    with disable_value_validation(), association(port) as scanner:
        for dataset, status in (
            (instance(CT, "1.2", "1.2.1", EncapsulatedDocument=bytes(1000)), 0x0000),
            (instance(CT, "1.2", "1.2.2", EncapsulatedDocument=bytes(2000)), 0xA700),
            (instance(CT, "1.2", "1.2.3", EncapsulatedDocument=bytes(2000)), 0xA700),
            (instance(CT, "1..2", "1.2.4"), 0xA900),
            (instance(CT, "", "1.2.5"), 0xA900),
        ):
            assert scanner.send_c_store(dataset).Status == status
        assert scanner.is_established
    assert receiver.queue.study("1.2").refused == 2
    assert caplog.text.count("room for an instance") == 1  # once for a study
    assert "Rossi" not in caplog.text and "1950" not in caplog.text


def test_an_instance_beyond_all_limits_ends_the_association_not_the_node(
    start: Callable[..., tuple[Receiver, int]],
    association: Associate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(receiver_module, "LARGEST_INSTANCE", 2**20)
    _, port = start()
    with association(port) as scanner:
        large = instance(CT, "1.2", "1.2.1", EncapsulatedDocument=bytes(2**24))
        assert "Status" not in scanner.send_c_store(large)
    assert "an instance of more than 1048576 bytes" in caplog.text
    with association(port) as scanner:
        assert scanner.send_c_echo().Status == 0


def test_a_port_that_is_taken_is_an_error_of_one_line(
    start: Callable[..., tuple[Receiver, int]], tmp_path: Path
) -> None:
    receiver, port = start()
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: expected .* choose others by --bind"):
        receiver.start("127.0.0.1", port)
