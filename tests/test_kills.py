"""The script that kills our programs: what it finds, and a few of its kills."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import kills
import pytest


def count_slowly(shared: Path, own: Path) -> None:
    """A work that does not go on where it was, but does all of it again."""
    for _ in range(20):
        with (own / "lines").open("a") as file:
            file.write("1\n")
        time.sleep(0.01)


def test_what_does_not_resume_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = kills.Work(count_slowly, kills.files, seconds=0.3)
    monkeypatch.setattr(kills, "WORKS", {"counting": work})
    assert kills.finish(work, tmp_path, tmp_path / "whole") == ""
    work.whole = work.result(tmp_path / "whole")
    draw = random.Random(3)
    done, wrong = kills.one_round("counting", tmp_path, tmp_path / "killed", 5, draw)
    assert 1 <= done <= 5 and wrong == "differs: lines"


def test_preprocessing_killed_at_random_moments_ends_with_the_same_bytes() -> None:
    words = ["--kills", "4", "--seed", "3", "--only", "preprocessing", "slices"]
    ran = subprocess.run(
        [sys.executable, kills.__file__, *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("4 kills in ")
