"""A bar shows something on every terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty", reason="Windows has no pseudo terminals")


def test_a_terminal_that_does_not_know_its_size_shows_the_bar() -> None:
    ours, theirs = pty.openpty()  # of 0 columns, as a container's
    code = "from lungdx_paddle.progress import bar\nfor _ in bar(range(3), desc='crops'): pass"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "crops: 100%" in shown and "3/3" in shown
