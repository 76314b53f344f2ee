"""A DICOM node: receives CT studies, answers each, and sends the answer to a PACS."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.errors import LungdxError, OutputError
from lungdx_paddle.serving.node.receiver import Receiver
from lungdx_paddle.serving.node.sender import PacsAway, Sender
from lungdx_paddle.serving.node.study_queue import Queue, Study

LOOK_S = 0.2
"""Seconds between two looks for studies that are complete."""

RETRY_S = (5.0, 300.0)
"""Seconds until a PACS that was not there is tried again: the first time, doubled each time, and
at most."""

MOST_TRIES = 5
"""Times that an answer is begun: what ends the process each time, such as a decoder that crashes,
must not keep the node from other studies."""

ENDED = f"the process has ended {MOST_TRIES} times while it was answered"

SEND_WHOLE = "send the whole study again"

SENT, DROPPED, FAILED, WAITING = "sent", "dropped", "failed", "waiting"
"""States of a study: answered and gone; gone without an answer, as it asks for none; put aside;
to be tried again."""

Answer = Callable[[Path], list[tuple[str, bytes]]]
"""A folder of a study's instances -> name and content of each result, in the order to send them;
none where nothing in the study asks for an answer.  Raises LungdxError where it cannot be given."""


@dataclass(frozen=True)
class Outcome:
    """What became of a study."""

    study_uid: str
    state: str
    """One of sent, dropped, failed and waiting."""
    why: str = ""
    results: int = 0
    """How many were sent."""
    retry_s: float = 0.0
    """Seconds until a waiting study is tried again."""


class _Backoff:
    """When something that failed is tried again."""

    def __init__(self) -> None:
        self.delay_s, self._due = 0.0, 0.0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._due

    def failed(self) -> float:
        """Wait, twice as long as the last time; returns the seconds."""
        least, most = RETRY_S
        self.delay_s = min(max(2 * self.delay_s, least), most)
        self._due = time.monotonic() + self.delay_s
        return self.delay_s


class Node:
    """Answers the studies of a queue, one after the other.

    Args:
        queue: of studies.
        receiver: what fills it.
        sender: where answers go.
        answer: makes them.
    """

    def __init__(self, queue: Queue, receiver: Receiver, sender: Sender, answer: Answer) -> None:
        self.queue, self.receiver, self.sender, self._answer = queue, receiver, sender, answer
        self._disk, self._pacs = _Backoff(), _Backoff()

    def outcomes(self, stop: threading.Event) -> Iterator[Outcome]:
        """Answer studies as they become complete.

        Args:
            stop: ends it, behind the study that is at work.
        """
        while not stop.is_set():
            for uid in self.queue.uids():
                if stop.is_set():
                    return
                yield from self._of(uid)
            stop.wait(LOOK_S)

    def _of(self, uid: str) -> Iterator[Outcome]:
        if not self.queue.has_answer(uid):
            if not (self._disk.is_over and self.receiver.is_complete(uid)):
                return
            try:
                outcome = self._make(self.queue.study(uid))
                self._disk = _Backoff()
            except OutputError as error:
                outcome = Outcome(uid, WAITING, str(error), retry_s=self._disk.failed())
            if outcome is not None:
                yield outcome
        if self._pacs.is_over and self.queue.has_answer(uid):
            yield self._send(self.queue.study(uid))

    def _make(self, study: Study) -> Outcome | None:
        """Make a study's answer; None where there is one, or more of the study has come."""
        lacks = self.queue.lacks(study)
        if lacks and self.queue.repeats(study):
            why = "it was answered, and a part of a series was received again"
            return self._gone(study, Outcome(study.uid, DROPPED, why))
        results: list[tuple[str, bytes]] = []
        if lacks:
            why = f"{lacks} instances of its series were answered before and are gone; {SEND_WHOLE}"
        elif study.refused:
            why = f"{study.refused} more instances were refused, as there was no room; {SEND_WHOLE}"
        else:
            with self.queue.trying(study) as tries:
                results, why = self._try(study) if tries <= MOST_TRIES else ([], ENDED)
        if why:
            return self._fail(study, Outcome(study.uid, FAILED, why))
        if not results:
            why = "neither a CT nor marks on one"
            return self._gone(study, Outcome(study.uid, DROPPED, why))
        self.queue.answer(study, results)
        return None

    def _try(self, study: Study) -> tuple[list[tuple[str, bytes]], str]:
        """The answer to a study, and why there is none."""
        try:
            return self._answer(study.received), ""
        except OutputError:
            raise
        except LungdxError as error:
            return [], str(error)
        except Exception as error:
            return [], _bug(error)

    # What is known of the arrivals is let go first: one that comes meanwhile is known anew, and
    # is seen by the queue.

    def _gone(self, study: Study, outcome: Outcome) -> Outcome | None:
        self.receiver.forget(study.uid)
        return outcome if self.queue.drop(study) else None

    def _fail(self, study: Study, outcome: Outcome) -> Outcome | None:
        self.receiver.forget(study.uid)
        return outcome if self.queue.fail(study, outcome.why) else None

    def _send(self, study: Study) -> Outcome:
        sent = 0
        try:
            for path in self.sender.send(study.answer) if study.answer else ():
                self.queue.sent(path)
                sent += 1
        except PacsAway as error:  # what it has is not sent again
            return Outcome(study.uid, WAITING, str(error), sent, self._pacs.failed())
        except Exception as error:  # it refuses some
            why = str(error) if isinstance(error, LungdxError) else _bug(error)
            refused = Outcome(study.uid, FAILED, why, sent)
            self._fail(study, refused)
            return refused
        self._pacs = _Backoff()
        self.receiver.forget(study.uid)
        self.queue.finish(study.uid)
        return Outcome(study.uid, SENT, results=sent)


def _bug(error: Exception) -> str:
    """Where an error comes from; its text may hold a patient's name."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(place.filename).name
    return f"{type(error).__name__} in {file}, line {place.lineno}; this is a bug"
