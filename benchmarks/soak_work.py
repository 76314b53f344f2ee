"""What a soak keeps at work: clients of a server, a scanner and a PACS of a node, and their CT."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import measure
from inference import tool

from lungdx_paddle.files import write_text
from lungdx_paddle.phantom import PhantomSettings, write_phantom

AHEAD = 2
"""Studies that the scanner may be ahead of the node's answers."""

STARTED_S, WAIT_S = 120.0, 0.2

CT, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
SMALL = PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(2, 2))


class Counts:
    """What was done and what went wrong, counted by threads."""

    def __init__(self) -> None:
        self.done, self.wrong = Counter[str](), Counter[str]()
        self._lock = threading.Lock()

    def add(self, work: str, wrong: str = "") -> None:
        with self._lock:
            self.done[work] += not wrong
            self.wrong[f"{work}: {wrong}"] += bool(wrong)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def command(log: Path, name: str, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the package that runs meanwhile, and is asked to end with the block."""
    line = [sys.executable, "-m", "lungdx_paddle", name, *map(str, words)]
    root = {
        "PYTHONPATH": os.pathsep.join([str(measure.HERE.parent), os.environ.get("PYTHONPATH", "")])
    }
    with open(log, "wb") as told:
        process = subprocess.Popen(line, stdout=told, stderr=told, env={**os.environ, **root})
        try:
            yield process
        finally:
            process.terminate()  # a job in the background would ignore an interrupt
            process.wait(STARTED_S)


def ask(
    address: str,
    ct: bytes,
    crop: bytes,
    point: Sequence[float],
    stop: threading.Event,
    counts: Counts,
) -> None:
    """One client: crops, then a CT that is opened, looked at, clicked and closed; and again."""
    import httpx

    with httpx.Client(base_url=address, timeout=STARTED_S) as client:
        crops = [("files", (f"{k}.png", crop)) for k in range(8)]
        while not stop.is_set():
            try:
                scan = client.post("/scans", files={"files": ct}).raise_for_status().json()["scan"]
                asked: list[tuple[str, str, dict[str, Any]]] = [
                    ("POST", "/predict", {"files": crops}),
                    ("GET", f"/scans/{scan}/series/0/slices/3.png", {}),
                    ("POST", f"/scans/{scan}/series/0/findings", {"json": {"point": point}}),
                    ("GET", "/metrics", {}),
                    ("DELETE", f"/scans/{scan}", {}),
                ]
                counts.add("serve")
                for method, path, content in asked:
                    client.request(method, path, **content).raise_for_status()
                    counts.add("serve")
            except httpx.HTTPError as error:
                counts.add("serve", type(error).__name__)
                stop.wait(1.0)


def scan_and_send(files: Sequence[Path], port: int, stop: threading.Event, counts: Counts) -> None:
    """A scanner: one study after the other, each of new UIDs, never far ahead of the answers."""
    import pydicom
    from pydicom.uid import generate_uid
    from pynetdicom import AE

    ae = AE("SCANNER")
    ae.add_requested_context(CT)
    for number in itertools.count(1):
        while number > counts.done["node"] / 2 + AHEAD and not stop.is_set():
            stop.wait(WAIT_S)
        if stop.is_set():
            return
        study, series = generate_uid(), generate_uid()
        scanner = ae.associate("127.0.0.1", port, ae_title="LUNGDX")
        for path in files:
            one = pydicom.dcmread(path)
            one.StudyInstanceUID, one.SeriesInstanceUID = study, series
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            if not scanner.is_established or scanner.send_c_store(one).get("Status") != 0:
                counts.add("node", "an instance was not taken")
        scanner.release()


@contextlib.contextmanager
def pacs(counts: Counts) -> Iterator[int]:
    """A PACS that takes answers and keeps none; its port."""
    from pynetdicom import AE, evt

    def take(event: evt.Event) -> int:
        counts.add("node")
        return 0

    ae = AE("PACS")
    for uid in ("1.2.840.10008.1.1", SEG, SR):
        ae.add_supported_context(uid)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    try:
        yield server.server_address[1]
    finally:
        ae.shutdown()


def held(process: Any) -> tuple[float, int, int]:
    """(MB of memory, file handles, threads) of a process and its children."""
    import psutil

    memory, handles, threads = 0.0, 0, 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += one.memory_info().rss / 1e6
            handles += one.num_fds()
            threads += one.num_threads()
    return memory, handles, threads


def material(folder: Path) -> tuple[list[Path], list[float], bytes]:
    """A CT of the phantom, a nodule's pixel in it, a crop; and a model and points beside it."""
    from lungdx_paddle.inference.locate import one_series, regions_of_readings
    from lungdx_paddle.lidc import read_annotations

    write_phantom(folder / "scans", 6, jobs=1, settings=SMALL)
    tool("preprocess", "--lidc", folder / "scans", "--out", folder / "crops")
    config = measure.CONFIGS / "testing.yaml"
    own = (f"data.manifest={folder / 'crops' / 'manifest.csv'}", f"output={folder / 'short'}")
    tool("train", "-c", config, "-o", *own, "--device", "cpu")
    tool("export", "--run", folder / "short", "--out", folder / "model")
    xml = min((folder / "scans").rglob("*.xml"))
    series, _ = one_series(xml.parent)
    regions, _ = regions_of_readings(series, read_annotations(xml))
    points = [{"name": "nodule", "point": regions[0].place_mm}]
    named = {"name": "Points of interest", "type": "Multiple points", "points": points}
    write_text(folder / "points.json", json.dumps(named))
    crop = min((folder / "crops").rglob("*.jpg"))
    return [Path(str(s.file)) for s in series.slices], list(regions[0].place_px), crop.read_bytes()
