"""The command of the DICOM node: what it refuses to start with, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytest.importorskip("highdicom", reason="the extra node is not installed")

from pynetdicom import AE

from lungdx_paddle.commands import cli, run_node
from lungdx_paddle.inference import predictor
from lungdx_paddle.inference.sessions import Session

DESCRIPTION = """
model: testing
input: {crop: paper, window: {center: 20.0, width: 2040.0}}
outputs: [{task: malignancy, classes: ['1', '2', '3', '4', '5']}]
"""

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM to catch"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a node that starts, its model without a runtime."""
    monkeypatch.setattr(predictor, "open_session", lambda *_: Session("none", lambda _: [], 64))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "inference.yml").write_text(DESCRIPTION, encoding="utf-8")
    model, queue = str(tmp_path / "model"), str(tmp_path / "queue")
    return ["--model", model, "--queue", queue, "--send-to", "PACS@127.0.0.1:1"]


def test_it_starts_without_the_pacs_answers_an_echo_and_ends_by_sigterm(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    established = []

    def call() -> None:
        ae = AE("SCANNER")
        ae.add_requested_context("1.2.840.10008.1.1")
        for _ in range(200):
            association = ae.associate("127.0.0.1", port, ae_title="LUNGDX")
            if association.is_established:
                established.append(association.send_c_echo().Status)
                association.release()
                break
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    caller = threading.Thread(target=call)
    caller.start()
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.exit_code(run_node.main, [*words, "--port", str(port)]) == 0
    finally:
        caller.join()
        signal.signal(signal.SIGTERM, before)
    assert established == [0]
    screen = capsys.readouterr()
    assert f"LUNGDX listens on 127.0.0.1:{port} and sends to PACS@127.0.0.1:1" in screen.out
    assert "research use, not a medical device" in screen.err
    assert (
        "PACS@127.0.0.1:1: expected a PACS that takes results, found no association" in screen.err
    )


def test_what_it_cannot_start_with_is_a_line_and_2(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    another_in: object,
) -> None:
    (tmp_path / "points.json").write_text("[]")
    for own, why in (
        (
            ["--bind", "0.0.0.0"],
            "found a service that everybody in the network",
        ),
        (["--points", str(tmp_path / "points.json")], "found no object at the top"),
        (["--send-to", "PACS"], "expected AET@HOST:PORT"),
        (["--bind", "192.0.2.1", "--allow", "PACS"], "expected an address of this machine"),
    ):
        assert cli.exit_code(run_node.main, [*words, *own]) == 2
        err = capsys.readouterr().err
        assert why in err and "Traceback" not in err
    with another_in(tmp_path / "queue"):  # type: ignore[operator]
        assert cli.exit_code(run_node.main, words) == 2
    assert "a folder that no other process writes into" in capsys.readouterr().err


def test_an_amount_below_zero_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("-1", "nan", "inf", "much"):
        with pytest.raises(SystemExit):
            run_node.main([*words, f"--quiet-seconds={text}"])
        assert "argument --quiet-seconds: invalid" in capsys.readouterr().err
