"""The queue of a node: whole after a kill at any moment, private, and within its limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.serving.node.room import Limits, NoRoom
from lungdx_paddle.serving.node.study_queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue", Limits(study_bytes=1000, free_bytes=0))


def names(folder: Path) -> set[str]:
    """All files below a folder, but what is remembered of answered studies."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in files if not name.startswith("answered/")}


def test_an_instance_is_there_once_whoever_sends_it_again(queue: Queue) -> None:
    assert queue.add(("1.2", "9.9", "1.2.3"), [b"head", b"body"])
    assert not queue.add(("1.2", "9.9", "1.2.3"), [b"headb", b"ody"])
    study = queue.study("1.2")
    assert study.instances == {("9.9", "1.2.3")} and study.answer is None
    assert (study.received / "9.9" / "1.2.3.dcm").read_bytes() == b"headbody"


def test_an_instance_that_is_corrected_under_its_uid_replaces_the_first(queue: Queue) -> None:
    assert queue.add(("1.2", "9.9", "1.2.3"), [b"a wrong frame of reference"])
    assert queue.add(("1.2", "9.9", "1.2.3"), [b"the right one"])
    study = queue.study("1.2")
    assert study.instances == {("9.9", "1.2.3")}
    assert (study.received / "9.9" / "1.2.3.dcm").read_bytes() == b"the right one"


def test_what_is_received_answered_or_put_aside_outlives_a_power_cut(
    disk: Any, tmp_path: Path
) -> None:
    queue = Queue(tmp_path / "queue", Limits(study_bytes=1000, free_bytes=0))
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    assert disk.lost(tmp_path) == set()
    queue.answer(queue.study("1.2"), [("1.dcm", b"report"), ("2.dcm", b"mask")])
    assert disk.lost(tmp_path) == set()
    with pytest.raises(NoRoom):
        queue.add(("1.2", "9.9", "1.2.5"), [bytes(2000)])
    queue.fail(queue.study("1.2"), "no points")
    assert disk.lost(tmp_path) == set()
    queue.add(("1.2", "8.8", "1.2.6"), [b"x"])
    queue.answer(queue.study("1.2"), [])
    queue.finish("1.2")
    assert disk.lost(tmp_path) == set() and disk.too_soon == []


def test_a_study_goes_from_received_to_answered_to_gone(queue: Queue) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    assert queue.answer(queue.study("1.2"), [("1.dcm", b"report"), ("2.dcm", b"mask")])
    assert not queue.finish("1.2")
    report, mask = queue.study("1.2").answer or ()
    queue.sent(report)
    again = Queue(queue.folder)  # after a kill between the two
    assert again.study("1.2").answer == (mask,)
    again.sent(mask)
    assert again.finish("1.2")
    assert names(queue.folder) == set() and again.uids() == []


@pytest.mark.parametrize(
    "left", ["studies/1.2/received/9.9/1.2.4.dcm.new", "studies/1.2/answer.new/1.dcm"]
)
def test_what_a_kill_left_half_written_is_not_read(queue: Queue, left: str) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    path = queue.folder / left
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    (queue.folder / "gone" / "half removed").mkdir()
    again = Queue(queue.folder)
    with again.held():
        assert names(queue.folder) - {".lungdx.lock"} == {"studies/1.2/received/9.9/1.2.3.dcm"}
    assert again.answer(again.study("1.2"), [("1.dcm", b"report")])


def test_no_answer_outlives_an_instance_that_comes_behind_it(queue: Queue) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    before = queue.study("1.2")
    queue.add(("1.2", "9.9", "1.2.4"), [b"x"])
    assert not queue.answer(before, [("1.dcm", b"to one slice")])
    assert not queue.fail(before, "no points") and not queue.drop(before)
    queue.answer(queue.study("1.2"), [("1.dcm", b"to two slices")])
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    assert queue.study("1.2").answer is not None
    queue.add(("1.2", "9.9", "1.2.5"), [b"x"])
    assert queue.study("1.2").answer is None
    before = queue.study("1.2")
    queue.add(("1.2", "9.9", "1.2.5"), [b"corrected"])
    assert not queue.answer(before, [("1.dcm", b"to the first")])


def test_a_failed_study_is_kept_with_the_reason_until_more_comes(queue: Queue) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    queue.fail(queue.study("1.2"), "no points")
    assert queue.uids() == []
    assert (queue.folder / "failed" / "1.2" / "reason.txt").read_text() == "no points\n"
    queue.add(("1.2", "9.9", "1.2.4"), [b"x"])
    assert queue.study("1.2").instances == {("9.9", "1.2.3"), ("9.9", "1.2.4")}
    queue.fail(queue.study("1.2"), "no points")
    assert queue.retry_failed() == 1 and queue.uids() == ["1.2"]
    assert not list((queue.folder / "failed").iterdir())


def test_only_tries_that_ended_the_process_are_counted(queue: Queue) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    with pytest.raises(KeyboardInterrupt), queue.trying(queue.study("1.2")) as tries:
        assert tries == 1
        raise KeyboardInterrupt
    killed = [queue.trying(queue.study("1.2")) for _ in range(2)]
    assert [one.__enter__() for one in killed] == [1, 2]  # and never left


def test_an_answered_study_is_known_again_without_its_uids(queue: Queue) -> None:
    for sop_uid in ("1.2.3", "1.2.4"):
        queue.add(("1.2", "9.9", sop_uid), [b"x"])
    queue.answer(queue.study("1.2"), [])
    queue.finish("1.2")
    queue.add(("1.2", "9.9", "1.2.4"), [b"x"])
    assert queue.repeats(queue.study("1.2")) and queue.lacks(queue.study("1.2")) == 1
    queue.add(("1.2", "9.9", "1.2.5"), [b"x"])
    assert not queue.repeats(queue.study("1.2")) and queue.lacks(queue.study("1.2")) == 1
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    assert queue.lacks(queue.study("1.2")) == 0
    queue.drop(queue.study("1.2"))
    queue.add(("1.2", "8.8", "1.2.6"), [b"x"])  # a series that comes later
    assert queue.lacks(queue.study("1.2")) == 0
    (known,) = (queue.folder / "answered").iterdir()
    assert "1.2" not in known.name and "." not in known.read_text()


def test_a_study_larger_than_the_limit_is_refused_and_lacks_an_instance(queue: Queue) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [bytes(600)])
    with pytest.raises(NoRoom, match="study 1.2: expected room .* found 1 of 0 MiB already"):
        queue.add(("1.2", "9.9", "1.2.4"), [bytes(600)])
    assert queue.study("1.2").instances == {("9.9", "1.2.3")} and queue.study("1.2").refused == 1
    queue.add(("1.5", "9.9", "1.5.1"), [bytes(600)])
    queue = Queue(queue.folder, Limits(free_bytes=0))
    queue.add(("1.2", "9.9", "1.2.4"), [bytes(600)])
    assert queue.study("1.2").refused == 0


def test_a_disk_that_is_nearly_full_refuses(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue", Limits(free_bytes=2**60))
    with pytest.raises(NoRoom, match="MiB free on the disk; free some space"):
        queue.add(("1.2", "9.9", "1.2.3"), [b"x"])


def test_a_disk_that_is_full_refuses_and_leaves_no_half_file(
    queue: Queue, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    with full_disk(100), pytest.raises(NoRoom, match="File too large"):
        queue.add(("1.2", "9.9", "1.2.3"), [bytes(600)])
    assert names(queue.folder) == {"studies/1.2/refused/1.2.3"}


def test_two_nodes_do_not_share_a_queue(
    queue: Queue, another_in: Callable[[Path], AbstractContextManager[object]]
) -> None:
    queue.add(("1.2", "9.9", "1.2.3"), [b"x"])
    half = queue.study("1.2").received / "9.9" / "1.2.4.dcm.new"
    half.write_bytes(b"of the other")
    with another_in(queue.folder), pytest.raises(OutputError, match="no other process writes"):
        with Queue(queue.folder).held():
            pass
    assert half.exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_nobody_else_can_read_the_queue(tmp_path: Path, queue: Queue) -> None:
    assert queue.folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="nobody else can read, .* found mode 755; chmod 700"):
        Queue(tmp_path / "open")
