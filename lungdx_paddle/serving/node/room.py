"""How much of the disk the studies of a queue may take."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lungdx_paddle.errors import LungdxError

MOST_INSTANCES = 20_000
"""Of a study: thin slices of a whole body in several kernels are some 10 000."""


class NoRoom(LungdxError):
    """An instance that a limit of the disk leaves no room for."""


@dataclass(frozen=True)
class Limits:
    """Beyond these an instance is refused."""

    study_bytes: int = 8 * 2**30
    """Of one study: 16 000 slices of 512 x 512."""
    free_bytes: int = 2**30
    """What stays free, for answers and for the machine."""


@dataclass
class Room:
    """Counts what studies take, so that not every instance is counted for each new one."""

    limits: Limits
    _taken: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of a study: number of its instances, and their bytes."""

    def check(self, study_uid: str, folder: Path, size: int) -> None:
        """See that there is room for an instance.

        Args:
            study_uid: its study.
            folder: of the study's instances.
            size: bytes of the instance.

        Raises:
            NoRoom: a limit is reached.
        """
        if study_uid not in self._taken:
            sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
            self._taken[study_uid] = len(sizes), sum(sizes)
        number, taken = self._taken[study_uid]
        if taken + size > self.limits.study_bytes or number >= MOST_INSTANCES:
            raise self.error(study_uid, f"{number} of {taken >> 20} MiB already")
        free = shutil.disk_usage(folder).free
        if free - size < self.limits.free_bytes:
            raise self.error(study_uid, f"{free >> 20} MiB free on the disk")

    def take(self, study_uid: str, size: int) -> None:
        """Count an instance that was written."""
        number, taken = self._taken[study_uid]
        self._taken[study_uid] = number + 1, taken + size

    def forget(self, study_uid: str) -> None:
        """Let go of a study that is not there any more."""
        self._taken.pop(study_uid, None)

    def error(self, study_uid: str, found: str) -> NoRoom:
        """The error for an instance without room."""
        study, free = self.limits.study_bytes >> 20, self.limits.free_bytes >> 20
        most = f"up to {MOST_INSTANCES} of {study} MiB in a study, and {free} MiB that stay free"
        return NoRoom(
            f"study {study_uid}",
            expected=f"room for an instance: {most}",
            found=found,
            fix="free some space or raise the limit, and send the study again",
        )
