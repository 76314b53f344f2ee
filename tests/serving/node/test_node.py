"""A node between a scanner and a PACS: every study is answered once, whatever ends in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import stub_node
from pydicom.dataset import Dataset
from stub_node import CT, SEG, instance, until

from lungdx_paddle.errors import LidcError
from lungdx_paddle.serving.node.peers import Peer
from lungdx_paddle.serving.node.study_queue import Queue

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from pynetdicom.association import Association

from lungdx_paddle.serving.node import node as node_module
from lungdx_paddle.serving.node.node import DROPPED, FAILED, SENT, WAITING, Answer, Node, Outcome
from lungdx_paddle.serving.node.receiver import Receiver
from lungdx_paddle.serving.node.sender import Sender

# pynetdicom leaves a socket that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Associate = Callable[..., AbstractContextManager[Association]]


class Running:
    """A node at work in this process."""

    def __init__(self, queue: Queue, pacs_port: int, answer: Answer) -> None:
        self.queue, self.outcomes, self._stop = queue, list[Outcome](), threading.Event()
        self.receiver = Receiver(queue, "LUNGDX", quiet_s=0.1)
        self.port = self.receiver.start("127.0.0.1", 0)
        sender = Sender(Peer("PACS", "127.0.0.1", pacs_port), "LUNGDX")
        self._node = Node(queue, self.receiver, sender, answer)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for outcome in self._node.outcomes(self._stop):
            self.outcomes.append(outcome)

    def wait_for(self, number: int) -> list[tuple[str, str]]:
        until(lambda: len(self.outcomes) >= number)
        return [(outcome.study_uid, outcome.state) for outcome in self.outcomes]

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        threading.Thread(target=self.receiver.stop).start()  # which takes half a second


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    monkeypatch.setattr(node_module, "LOOK_S", 0.02)
    monkeypatch.setattr(node_module, "RETRY_S", (0.1, 0.2))
    nodes: list[Running] = []

    def started(pacs_port: int, answer: Answer = stub_node.answer) -> Running:
        nodes.append(Running(Queue(tmp_path / "queue"), pacs_port, answer))
        return nodes[-1]

    yield started
    for node in nodes:
        node.end()


def store(association: Association, *datasets: Dataset) -> list[int]:
    return [association.send_c_store(dataset).Status for dataset in datasets]


def ct(study: str, number: int) -> Dataset:
    return instance(CT, study, f"{study}.1.{number}", EncapsulatedDocument=bytes(10))


def left(queue: Queue) -> list[str]:
    """The files of studies that are on the disk."""
    found = [
        path for part in ("studies", "failed", "gone") for path in (queue.folder / part).rglob("*")
    ]
    return sorted(path.name for path in found if path.is_file())


def test_two_studies_of_one_association_are_answered_apart_and_leave_nothing(
    start: Callable[..., Running], pacs: Any, association: Associate
) -> None:
    node = start(pacs.port)
    with association(node.port) as scanner:
        assert scanner.send_c_echo().Status == 0
        slices = [ct("1.2", 1), ct("1.3", 1), ct("1.2", 2), ct("1.2", 1), ct("1.3", 2)]
        assert store(scanner, *slices, ct("1.3", 3)) == [0] * 6
        time.sleep(0.3)
        assert pacs.uids == []  # not before the association is released
    assert sorted(node.wait_for(2)) == [("1.2", SENT), ("1.3", SENT)]
    # The same instance twice counts once.
    assert sorted(pacs.uids) == ["1.2.2.1", "1.2.2.2", "1.3.3.1", "1.3.3.2"]
    assert left(node.queue) == []


def test_a_study_sent_again_gives_the_same_results_and_a_straggler_none(
    start: Callable[..., Running], pacs: Any, association: Associate
) -> None:
    node = start(pacs.port)
    for number, sent in enumerate([(1, 2), (1, 2), (2,)], start=1):
        with association(node.port) as scanner:
            store(scanner, *(ct("1.2", k) for k in sent))
        node.wait_for(number)
    assert [o.state for o in node.outcomes] == [SENT, SENT, DROPPED]
    assert node.outcomes[-1].why == "it was answered, and a part of a series was received again"
    assert pacs.uids == ["1.2.2.1", "1.2.2.2"] * 2
    assert left(node.queue) == []


def test_what_comes_behind_a_failure_is_answered_with_what_was_there(
    start: Callable[..., Running], pacs: Any, association: Associate
) -> None:
    def needs_marks(folder: Path) -> list[tuple[str, bytes]]:
        if len(list(folder.rglob("*.dcm"))) < 3:
            raise LidcError("study", expected="points", found="none", fix="send a SEG")
        return stub_node.answer(folder)

    node = start(pacs.port, needs_marks)
    with association(node.port) as scanner:
        store(scanner, ct("1.2", 1), ct("1.2", 2))
    node.wait_for(1)
    assert node.outcomes[0].state == FAILED
    assert node.outcomes[0].why == "study: expected points, found none; send a SEG"
    with association(node.port) as scanner:
        store(scanner, instance(SEG, "1.2", "1.2.9"))
    assert node.wait_for(2)[-1] == ("1.2", SENT)
    assert pacs.uids == ["1.2.3.1", "1.2.3.2"] and left(node.queue) == []
    # Something new of a study that is gone cannot be answered, and the reason says so.
    with association(node.port) as scanner:
        store(scanner, ct("1.2", 7))
    node.wait_for(3)
    assert node.outcomes[2].why == (
        "3 instances of its series were answered before and are gone; send the whole study again"
    )


def test_a_pacs_that_is_not_there_is_waited_for(
    start: Callable[..., Running], listening: Any, pacs: Any, association: Associate
) -> None:
    with listening(type(pacs)()) as other:
        pass  # a port that nobody listens on
    node = start(other.port)
    with association(node.port) as scanner:
        store(scanner, ct("1.2", 1))
    until(lambda: len(node.outcomes) >= 2)
    first, second = node.outcomes[:2]
    assert first.state == second.state == WAITING and second.retry_s == 2 * first.retry_s
    assert "expected a PACS that takes results, found no association" in first.why
    with listening(other):
        until(lambda: node.outcomes[-1].state == SENT)
    assert other.uids == ["1.2.1.1", "1.2.1.2"] and left(node.queue) == []


def test_what_a_pacs_refuses_is_kept_and_what_it_takes_is_not_sent_again(
    start: Callable[..., Running], pacs: Any, association: Associate
) -> None:
    busy = [0xA700]
    pacs.status = lambda d: busy.pop() if busy else 0xC000 if d.SOPClassUID == SEG else 0
    node = start(pacs.port)
    with association(node.port) as scanner:
        store(scanner, ct("1.2", 1))
    assert node.wait_for(2) == [("1.2", WAITING), ("1.2", FAILED)]
    assert "status A700" in node.outcomes[0].why
    assert "found one that refuses 2 (status C000)" in node.outcomes[1].why
    assert left(node.queue) == ["1.2.1.1.dcm", "2.dcm", "reason.txt"]
    pacs.status = lambda d: 0x0111  # it has it already
    node.queue.retry_failed()
    assert node.wait_for(3)[-1] == ("1.2", SENT) and left(node.queue) == []


def test_a_bug_costs_one_study_and_tells_no_name(
    start: Callable[..., Running], pacs: Any, association: Associate
) -> None:
    def broken(folder: Path) -> list[tuple[str, bytes]]:
        if folder.parent.name == "1.2":
            raise ValueError("Rossi^Ada is no number")
        return [] if folder.parent.name == "1.3" else stub_node.answer(folder)

    node = start(pacs.port, broken)
    for study in ("1.2", "1.3", "1.4"):
        with association(node.port) as scanner:
            store(scanner, ct(study, 1))
    found = {outcome.study_uid: outcome for outcome in (node.wait_for(3), node.outcomes)[1]}
    assert {uid: outcome.state for uid, outcome in found.items()} == {
        "1.2": FAILED,
        "1.3": DROPPED,
        "1.4": SENT,
    }
    assert found["1.2"].why.startswith("ValueError in test_node.py, line ")
    assert "Rossi" not in (node.queue.folder / "failed" / "1.2" / "reason.txt").read_text()


def test_what_ends_the_process_is_put_aside(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    queue.add(("1.2", "9.9", "1.2.1"), [b"x"])
    (queue.study("1.2").folder / "tries").write_bytes(b"x" * node_module.MOST_TRIES)
    node = Node(
        queue,
        Receiver(queue, "LUNGDX", quiet_s=0),
        Sender(Peer("P", "h", 1), "L"),
        stub_node.answer,
    )
    outcome = next(node.outcomes(threading.Event()))
    assert (outcome.state, outcome.why) == (
        FAILED,
        "the process has ended 5 times while it was answered",
    )


@contextmanager
def process(folder: Path, pacs_port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A node of its own process, and its port."""
    words = [sys.executable, stub_node.__file__, str(folder), str(pacs_port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout is not None
        try:
            yield made, int(made.stdout.readline())
        finally:
            made.kill()


def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, pacs: Any, association: Associate
) -> None:
    def kill(made: subprocess.Popen[str]) -> None:
        made.send_signal(signal.SIGKILL)
        made.wait()

    folder = tmp_path / "queue"
    with process(folder, pacs.port) as (made, port), association(port) as scanner:
        store(scanner, ct("1.2", 1), ct("1.2", 2))
        kill(made)  # it has received a half
    with process(folder, pacs.port) as (made, port):
        with association(port) as scanner:
            store(scanner, *(ct("1.2", k) for k in (1, 2, 3)))
        kill(made)  # it has received all
    assert pacs.uids == [] and left(Queue(folder)) == ["1.2.1.1.dcm", "1.2.1.2.dcm", "1.2.1.3.dcm"]

    def takes_the_first_as_the_node_dies(dataset: Dataset) -> int:
        if pacs.stored:
            kill(node)
        return 0

    pacs.status = takes_the_first_as_the_node_dies
    with process(folder, pacs.port) as (node, _):
        node.wait()  # the PACS has both, and the node has heard of one
    assert left(Queue(folder)) == ["1.2.1.1.dcm", "1.2.1.2.dcm", "1.2.1.3.dcm", "2.dcm"]
    pacs.status = lambda dataset: 0
    with process(folder, pacs.port) as (made, _):
        assert made.stdout is not None
        assert made.stdout.readline() == "1.2 sent\n"
    # By the same UIDs: the last is the one result that was sent twice.
    assert pacs.uids == ["1.2.3.1", "1.2.3.2", "1.2.3.2"]
    assert left(Queue(folder)) == []
