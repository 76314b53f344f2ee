"""A node and a real PACS, by the configuration that docs/how-to/node.md shows."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_node import until

from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.serving.node.peers import Peer, parse_caller
from lungdx_paddle.serving.node.study_queue import Queue

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from lungdx_paddle.serving.node.node import Node
from lungdx_paddle.serving.node.receiver import Receiver
from lungdx_paddle.serving.node.sender import Sender

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "node.md"

# pynetdicom leaves a socket that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def shown_configuration() -> dict[str, Any]:
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return dict(next(block for block in map(json.loads, blocks) if "DicomAet" in block))


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[tuple[Callable[..., Any], int, int]]:
    """A function that calls its REST API; the port of its DICOM, and of the node that it knows."""
    program = shutil.which("Orthanc")
    config = shown_configuration()
    if program is None or not all(Path(plugin).is_file() for plugin in config["Plugins"]):
        pytest.skip("Debian's orthanc and orthanc-dicomweb are not installed")
    http, dicom, node = free_port(), free_port(), free_port()
    config |= {"HttpPort": http, "DicomPort": dicom}
    config["DicomModalities"]["lungdx"][2] = node
    (tmp_path / "orthanc.json").write_text(json.dumps(config), encoding="utf-8")

    def call(path: str, content: bytes | None = None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{http}{path}", content)
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)

    def is_up() -> bool:
        try:
            return bool(call("/system"))
        except OSError:
            return False

    with (tmp_path / "log").open("w") as log:
        words = [program, "orthanc.json"]
        with subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log) as process:
            try:
                until(is_up)
                yield call, dicom, node
            finally:
                process.kill()


def test_a_study_of_orthanc_gets_its_report_and_segmentation(
    orthanc: tuple[Callable[..., Any], int, int],
    predictor: Predictor,
    marked_ct: Any,
    tmp_path: Path,
) -> None:
    pytest.importorskip("highdicom", reason="the extra node is not installed")
    from lungdx_paddle.serving.node.answerer import Answerer

    call, dicom, port = orthanc
    points = tmp_path / "points.json"
    points.write_text(json.dumps({marked_ct.series.series_uid: marked_ct.places_mm}))
    queue = Queue(tmp_path / "queue")
    receiver = Receiver(queue, "LUNGDX", [parse_caller("PACS@127.0.0.1")], quiet_s=0.2)
    sender = Sender(Peer("PACS", "127.0.0.1", dicom), "LUNGDX")
    receiver.start("127.0.0.1", port)
    stop = threading.Event()
    outcomes: list[Any] = []
    node = Node(queue, receiver, sender, Answerer(predictor, points))
    thread = threading.Thread(target=lambda: outcomes.extend(node.outcomes(stop)))
    thread.start()
    try:
        sender.echo()
        assert call("/modalities/lungdx/echo", b"{}") == {}
        for path in marked_ct.files:
            call("/instances", path.read_bytes())
        (study,) = call("/studies")
        for _ in range(2):  # the second time with what it has got: the same again
            sent = call("/modalities/lungdx/store", study.encode())
            assert sent["FailedInstancesCount"] == 0
            until(lambda: not queue.uids())
            time.sleep(0.3)
    finally:
        stop.set()
        thread.join()
        receiver.stop()
    assert [outcome.state for outcome in outcomes] == ["sent", "sent"]
    found = {m: call(f"/dicom-web/series?Modality={m}") for m in ("SR", "SEG")}
    for series in found.values():
        assert [s["0020000D"]["Value"] for s in series] == [[marked_ct.series.study_uid]]
    assert len(call("/instances")) == len(marked_ct.files) + 2
