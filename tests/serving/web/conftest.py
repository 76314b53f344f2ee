"""A small CT with a name in it, a model that computes nothing, and clients of a server."""

from __future__ import annotations

import io
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from fastapi.testclient import TestClient

from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.inference.description import NAME as NAME_OF_DESCRIPTION
from lungdx_paddle.inference.description import Description
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.serving.web.app import make_app
from lungdx_paddle.serving.web.connections import server_of
from lungdx_paddle.serving.web.limits import Limits

NAME, BORN = "ROE^RICHARD", "19510704"


class Brightness(Predictor):
    """Probabilities that each crop's pixels decide, without a network."""

    crop_rule = "context"
    runtime = "none"
    tasks = {"malignancy": ["1", "2", "3", "4", "5"], "pathology": ["benign", "malignant"]}
    window = (20.0, 2040.0)
    description = {
        "model": "brightness",
        "input": {"window": {"center": 20, "width": 2040}, "crop": crop_rule},
        "outputs": [{"task": task, "classes": names} for task, names in tasks.items()],
        "scores": {"part": "held out", "patients": "12", "auc": {"interval": ["0.5", "0.9"]}},
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calibration = Calibration()
        self._described = Description(folder, self.description)
        (folder / NAME_OF_DESCRIPTION).write_text(yaml.safe_dump(self.description))

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
        sums = images.reshape(len(images), -1).astype(np.int64).sum(axis=1)
        found = {}
        for task, classes in self.tasks.items():
            raw = np.stack([np.sin(sums + 7.0 * k) + 1.1 for k in range(len(classes))], axis=1)
            found[task] = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
        return found


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that computes nothing."""
    return Brightness(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of 10 slices of 128x128 pixels with a nodule, XML and a name."""
    folder = tmp_path_factory.mktemp("ct")
    small = PhantomSettings(rows=128, slices=10, slice_mm=3.0, nodules=(3, 3))
    write_phantom(folder, 1, jobs=1, settings=small)
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientBirthDate = NAME, BORN
        header.save_as(path)
    return next(folder.rglob("*.xml")).parent


def packed(*paths: Path, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of files, in a folder of the patient's name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for path in paths:
            archive.writestr(f"{NAME}/{path.name}", path.read_bytes())
    return content.getvalue()


@pytest.fixture(scope="session")
def with_marks(ct: Path) -> bytes:
    """The series with its XML."""
    return packed(*sorted(ct.iterdir()))


@pytest.fixture(scope="session")
def zipped(ct: Path) -> bytes:
    """The series, without its XML."""
    return packed(*sorted(ct.glob("*.dcm")))


@pytest.fixture
def serve(brightness: Predictor) -> Iterator[Callable[..., TestClient]]:
    """A function (limits, predictor) -> a client of a server, which ends with the test."""
    clients: list[TestClient] = []

    def start(predictor: Predictor | None = None, **limits: float) -> TestClient:
        own = Limits(**limits)  # type: ignore[arg-type]
        client = TestClient(make_app(predictor or brightness, own))
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture
def scan(client: TestClient, zipped: bytes) -> str:
    """The path of a CT that is open."""
    token = client.post("/scans", files={"files": zipped}).json()["scan"]
    return f"/scans/{token}"


@pytest.fixture
def address(brightness: Predictor) -> Iterator[str]:
    """A server that listens while the test runs."""
    server = server_of(make_app(brightness))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join(30)
