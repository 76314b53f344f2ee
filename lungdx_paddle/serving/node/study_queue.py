"""Studies on disk that were received and are not answered: a kill at any moment loses none."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lungdx_paddle.disk import NEW, append, make_folder, put_in_place, replace_files, sync
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import write_text, writing
from lungdx_paddle.locks import alone_in
from lungdx_paddle.serving.node.durable import files_in, move_into_place, remove
from lungdx_paddle.serving.node.room import Limits, NoRoom, Room

UID = re.compile(r"(?=.{1,64}$)\d+(\.\d+)*", re.ASCII)
"""A DICOM UID (PS3.5, 9.1), which is also a safe name of a file."""

RECEIVED, REFUSED, ANSWER, REASON, TRIES = "received", "refused", "answer", "reason.txt", "tries"
"""In a study's folder: its instances; an empty file for each that there was no room for; the
results that are not sent yet; why it has failed; how often it ended the process."""

ENDING = ".dcm"

REMEMBERED_S = 7 * 86400.0
"""How long an answered study's instances are known again: as digests of their UIDs, nothing else.
Senders repeat what they had no reply for within minutes, and some once more the next day."""


@dataclass(frozen=True)
class Study:
    """What a queue holds of a study, at one moment."""

    uid: str
    """DICOM (0020,000D)."""
    folder: Path
    instances: frozenset[tuple[str, str]]
    """Series and SOP instance UIDs."""
    refused: int
    """Instances that there was no room for, and that were not sent again."""
    answer: tuple[Path, ...] | None
    """Files of results that are still to be sent, in their order; None: there is no answer."""
    changed_ns: int = 0
    """When the newest of its instances was written."""

    @property
    def received(self) -> Path:
        """The folder of its instances, and of nothing else."""
        return self.folder / RECEIVED


@dataclass
class Queue:
    """A private folder of studies that are to be answered, shared by threads of one process.

    ``studies/UID`` holds a study's instances, and its ``answer`` once that is whole; ``failed``
    those that cannot be answered as they are.  A change of state is one rename, and what is
    removed is renamed first, so that a kill leaves the state before or behind it.

    Raises:
        ConfigError: the folder may be read by others.
        OutputError: it cannot be written to.
    """

    folder: Path
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        with writing(self.folder):
            make_folder(self.folder, 0o700)
            mode = stat.S_IMODE(self.folder.stat().st_mode)
            if os.name == "posix" and mode & 0o077:
                raise ConfigError(
                    str(self.folder),
                    expected="a folder that nobody else can read, as patients' images lie in it",
                    found=f"mode {mode:o}",
                    fix=f"chmod 700 {self.folder}, or name a folder that is not there yet",
                )
            for name in ("studies", "failed", "gone", "answered"):
                make_folder(self.folder / name)
        self._lock = threading.RLock()
        self._room = Room(self.limits)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that uses it; what a killed one left half done is removed.

        Raises:
            OutputError: another process uses it.
        """
        with alone_in(self.folder):
            self._sweep()
            for left in list((self.folder / "studies").rglob(f"*{NEW}")):
                remove(left)
            yield

    def add(self, uids: tuple[str, str, str], content: Sequence[bytes | memoryview]) -> bool:
        """Keep an instance; when this returns it is on the disk.

        A study that has failed is open again; an answer that is not sent yet is dropped, since
        it was one to less than there is now.

        Args:
            uids: of the study, the series and the instance.
            content: parts of the file.

        Returns:
            Whether it is new.  One that is there already with other bytes is replaced: a sender
            that corrects an instance may keep its UID.

        Raises:
            NoRoom: a limit is reached, or it cannot be written; the study remembers that it lacks
                one.
            OutputError: the study's folder cannot be made.
        """
        study_uid, series_uid, sop_uid = uids
        size = sum(map(len, content))
        with self._lock:
            folder = self.folder / "studies" / study_uid
            path = folder / RECEIVED / series_uid / (sop_uid + ENDING)
            refused = folder / REFUSED / sop_uid
            failed = self.folder / "failed" / study_uid
            with writing(folder):
                if failed.is_dir():
                    self._reopen(failed)
                for made in (path.parent, refused.parent):
                    make_folder(made)
                again = path.exists()
                if again and path.read_bytes() == b"".join(content):
                    return False
                try:
                    self._room.check(study_uid, folder / RECEIVED, size)
                    replace_files({path: content})
                    self._room.take(study_uid, size)
                    if again:  # another one of that UID is gone: what there is is counted anew
                        self._room.forget(study_uid)
                except (NoRoom, OSError) as error:
                    with suppress(OSError):  # the disk may be as full as that
                        append(refused, b"")
                        sync([refused.parent])
                    if isinstance(error, NoRoom):
                        raise
                    raise self._room.error(study_uid, error.strerror or str(error)) from error
                refused.unlink(missing_ok=True)
                self._discard(folder / ANSWER)
        return True

    def uids(self) -> list[str]:
        """The studies that are to be answered."""
        return sorted(path.name for path in (self.folder / "studies").iterdir() if path.is_dir())

    def has_answer(self, uid: str) -> bool:
        """Whether a study's answer is made, and not sent as a whole."""
        return (self.folder / "studies" / uid / ANSWER).is_dir()

    def study(self, uid: str) -> Study:
        """What there is of a study that is to be answered."""
        with self._lock:
            folder = self.folder / "studies" / uid
            answer = folder / ANSWER
            instances = list((folder / RECEIVED).glob(f"*/*{ENDING}"))
            return Study(
                uid,
                folder,
                frozenset((p.parent.name, p.name.removesuffix(ENDING)) for p in instances),
                len(files_in(folder / REFUSED)),
                tuple(sorted(answer.iterdir())) if answer.is_dir() else None,
                max((path.stat().st_mtime_ns for path in instances), default=0),
            )

    @contextmanager
    def trying(self, study: Study) -> Iterator[int]:
        """Answer a study; gives how often this was begun and ended the process, with this time."""
        path = study.folder / TRIES
        with writing(path):
            tries = append(path, b"x")  # a mark a try: a kill leaves no half number
        try:
            yield tries
        finally:
            with writing(path):
                path.unlink(missing_ok=True)

    def answer(self, study: Study, results: Iterable[tuple[str, bytes]]) -> bool:
        """Keep a study's answer, all of it or nothing.

        Args:
            study: what was answered.
            results: name of a file and its content, in the order in which they are to be sent.

        Returns:
            False where instances have come since, so that this is no answer to the study.
        """
        new = study.folder / f"{ANSWER}{NEW}"
        with self._lock, writing(new):
            if self._has_grown(study):
                return False
            remove(new)
            new.mkdir()
            replace_files({new / name: [content] for name, content in results})
            put_in_place({new: study.folder / ANSWER})
        return True

    def sent(self, result: Path) -> None:
        """Let go of a result that the PACS has."""
        with self._lock, writing(result):
            result.unlink(missing_ok=True)

    def finish(self, uid: str) -> bool:
        """Remove a study all of whose results are sent; False where it is not so."""
        with self._lock:
            study = self.study(uid)
            if study.answer != ():
                return False
            known = self.folder / "answered" / _digest(uid)
            digests = "\n".join(f"{series} {sop}" for series, sop in sorted(_digests(study)))
            with writing(known):
                replace_files({known: [digests.encode()]})
                self._discard(study.folder)
                for left in known.parent.iterdir():
                    if time.time() - left.stat().st_mtime > REMEMBERED_S:
                        left.unlink()
        return True

    def drop(self, study: Study) -> bool:
        """Remove a study that asks for no answer; False where more of it has come meanwhile."""
        with self._lock, writing(study.folder):
            if self._has_grown(study):
                return False
            self._discard(study.folder)
        return True

    def fail(self, study: Study, reason: str) -> bool:
        """Put a study aside, until more of it comes; False where more has come meanwhile."""
        with self._lock, writing(study.folder):
            if self._has_grown(study):
                return False
            write_text(study.folder / REASON, reason + "\n")
            self._room.forget(study.uid)
            move_into_place(study.folder, self.folder / "failed" / study.uid)
        return True

    def retry_failed(self) -> int:
        """Open all studies again that have failed; returns how many."""
        with self._lock, writing(self.folder):
            failed = [path for path in (self.folder / "failed").iterdir() if path.is_dir()]
            for path in failed:
                self._reopen(path)
        return len(failed)

    def repeats(self, study: Study) -> bool:
        """Whether all of it was answered already."""
        return _digests(study) <= self._answered(study)

    def lacks(self, study: Study) -> int:
        """How many instances of its series were answered already, and are gone."""
        now = _digests(study)
        series = {series for series, _ in now}
        return sum(one[0] in series for one in self._answered(study) - now)

    def _answered(self, study: Study) -> set[tuple[str, ...]]:
        known = self.folder / "answered" / _digest(study.uid)
        lines = known.read_text().splitlines() if known.exists() else []
        return {tuple(line.split()) for line in lines}

    def _has_grown(self, study: Study) -> bool:
        now = self.study(study.uid)
        return (now.instances, now.changed_ns) != (study.instances, study.changed_ns)

    def _reopen(self, failed: Path) -> None:
        (failed / REASON).unlink(missing_ok=True)
        move_into_place(failed, self.folder / "studies" / failed.name)

    def _discard(self, path: Path) -> None:
        """Remove a file or folder: out of its place at once, then from the disk."""
        self._room.forget(path.name)
        if path.exists():
            put_in_place({path: self.folder / "gone" / uuid.uuid4().hex})
            self._sweep()

    def _sweep(self) -> None:
        for left in (self.folder / "gone").iterdir():
            remove(left)


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _digests(study: Study) -> set[tuple[str, ...]]:
    return {(_digest(series), _digest(sop)) for series, sop in study.instances}
