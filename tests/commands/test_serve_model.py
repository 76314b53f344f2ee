"""The serve command: where it listens, what it warns of, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lungdx_paddle.commands import serve_model
from lungdx_paddle.errors import ConfigError

SERVER = """
import sys
from pathlib import Path
from lungdx_paddle.commands import cli, serve_model
from lungdx_paddle.inference import predictor

class Model(predictor.Predictor):
    notes, runtime, description = ["a note on the model"], "none", {"model": "made up"}
    def __init__(self, folder):
        self.folder = folder

predictor.Predictor = Model
cli.run(serve_model.main, ["--model", "m", "--port", "0", *sys.argv[1:]])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(ending: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends", line)
        assert found, line
        with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/health", timeout=30) as answer:
            assert json.load(answer)["model"] == "made up"
        assert list(tmp_path.glob("lungdx-serve-*"))
        process.send_signal(ending)
        assert process.wait(30) == 0
        told = process.stderr.read().splitlines()
        assert told == [
            "a note on the model",
            "no log-in: whoever uses this machine can use it",
            "research use, not a medical device",
            "stopped; every CT that was open is removed",
        ]
        assert not list(tmp_path.glob("lungdx-serve-*"))
    finally:
        process.kill()
        process.communicate()


def test_another_address_is_warned_of_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    serve_model._greet(("0.0.0.0", 8000), is_own=False)
    told = capsys.readouterr().err
    assert told.startswith("WARNING: no log-in and no encryption, and 0.0.0.0 is no address of")
    assert "put a proxy with a log-in and TLS before it" in told


def test_a_port_that_is_taken_and_an_address_of_elsewhere_are_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(ConfigError, match="port that is free, found Address already in use"):
            serve_model.main(["--model", "m", "--port", port])
    with pytest.raises(ConfigError, match="an address of this machine"):
        serve_model.main(["--model", "m", "--host", "192.0.2.1", "--port", "0"])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--port", "70000"], "expected a number from 0 to 65535"),
        (["--upload-mb", "0"], "expected a number from 1 to 65536"),
        (["--idle-minutes", "0"], "expected a number from 0.1 to 1440"),
        (["--idle-minutes", "nan"], "expected a number from 0.1 to 1440"),
    ],
)
def test_numbers_out_of_range_are_refused(words: list[str], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        serve_model.main(["--model", "m", *words])
