"""A process with settings and a library of its own, asked through its stdin."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import InstallError

HERE = Path(__file__).resolve().parent


class Asked:
    """A script of this folder that answers each line it is given with a line of JSON.

    Args:
        name: of what it times, for an error.
        python: the Python that runs it.
        words: the script's name and its arguments.
        environment: what differs from ours; a value of None is taken away.

    Raises:
        InstallError: it ends without an answer.
    """

    def __init__(
        self,
        name: str,
        python: str,
        words: Sequence[str],
        environment: Mapping[str, Any],
    ) -> None:
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        own = {**os.environ, "PYTHONPATH": path, **environment}
        self.name = name
        self.process = subprocess.Popen(
            [python, str(HERE / words[0]), *words[1:]],
            env={key: str(value) for key, value in own.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._answer()
        """What it says before it is asked, such as its version."""

    def ask(self, line: str) -> Any:
        """Its answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise InstallError(
            self.name,
            expected="a library that answers",
            found="a process that ended; its reason stands above",
            fix="pip install -e '.[bench,onnx]'",
        )
