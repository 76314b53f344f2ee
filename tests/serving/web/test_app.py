"""The server as a whole: the same answers to many at once, nothing of a patient, no leak."""

from __future__ import annotations

import gc
import html
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.config import load_config
from lungdx_paddle.errors import InstallError
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.onnx import require_paddle2onnx
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train

CLIENTS = 20


@pytest.fixture(scope="module")
def model(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model, as ONNX too where that can be written here."""
    folder = tmp_path_factory.mktemp("served")
    own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
    for made in ("run", "model"):
        (folder / made).mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    try:
        require_paddle2onnx()
        has_onnx = True
    except InstallError:
        has_onnx = False
    export(load_run(folder / "run"), folder / "model", onnx=has_onnx)
    return folder / "model"


@pytest.fixture
def in_paddle(model: Path, tmp_path: Path) -> Path:
    """The model without its ONNX file."""
    for path in model.iterdir():
        if path.suffix != ".onnx":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("which", ["model", "in_paddle"])
def test_many_clients_at_once_get_the_answers_that_each_gets_alone(
    serve: Callable[..., TestClient],
    with_marks: bytes,
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    client = serve(Predictor(request.getfixturevalue(which)))

    def ask(number: int) -> object:
        random = np.random.default_rng(number)
        crops = np.zeros((1 + number % 5, 32, 32), np.uint8)
        crops[:, 8:24, 8:24] = 10 * number + random.integers(0, 20, (len(crops), 16, 16))
        files = [("files", cv2.imencode(".png", crop)[1].tobytes()) for crop in crops]
        if number % 4 == 0:
            files = [("files", with_marks)]
        response = client.post("/predict", files=files)
        assert response.status_code == 200, response.text
        return response.json()

    alone = [ask(number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        together = list(pool.map(ask, range(CLIENTS)))
    assert together == alone
    assert len({str(answer) for answer in alone}) > CLIENTS // 2


WITHOUT_PADDLE = """
import sys
sys.modules["paddle"] = sys.modules["visualdl"] = sys.modules["matplotlib"] = None
from pathlib import Path
from fastapi.testclient import TestClient
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.serving.web.app import make_app
with TestClient(make_app(Predictor(Path(sys.argv[1])))) as client:
    files = {"files": Path(sys.argv[2]).read_bytes()}
    found = client.post("/predict", files=files, data={"nodule": "40,40,4"})
    print(client.get("/health").json()["runtime"], found.status_code)
"""


def test_a_model_with_an_onnx_file_is_served_without_paddle(
    model: Path, zipped: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    if not (model / "inference.onnx").is_file():
        pytest.skip("no paddle2onnx here")
    (tmp_path / "ct.zip").write_bytes(zipped)
    words = [sys.executable, "-c", WITHOUT_PADDLE, str(model), str(tmp_path / "ct.zip")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.stdout == "ONNX Runtime 200\n", ran.stderr


def test_nothing_of_the_patient_is_in_an_answer_or_a_log(
    client: TestClient, ct: Path, with_marks: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cut_off = [("files", (path.name, path.read_bytes()[:-99])) for path in ct.glob("*.dcm")]
    opened = client.post("/scans", files={"files": ("Roe_Richard.zip", with_marks)})
    path = f"/scans/{opened.json()['scan']}"
    texts = [
        opened.text,
        client.post("/predict", files={"files": with_marks}).text,
        client.post("/predict", files=cut_off, data={"nodule": "1,1,1"}).text,
        client.post(f"{path}/series/0/findings", json={"point": [40, 40, 4]}).text,
        client.get(f"{path}/series/0/slices/0.png").content.decode("latin-1"),
        client.get("/metrics").text,
        caplog.text,
    ]
    for text in texts:
        for private in ("ROE", "Roe", "RICHARD", "1951", "PHANTOM-0001", str(ct)):
            assert private not in text


def test_memory_does_not_grow_with_requests(client: TestClient, zipped: bytes) -> None:
    def turn() -> None:
        opened = client.post("/scans", files={"files": zipped}).json()["scan"]
        client.get(f"/scans/{opened}/series/0/slices/3.png")
        client.post(f"/scans/{opened}/series/0/findings", json={"point": [40, 40, 4]})
        client.delete(f"/scans/{opened}")
        client.post("/predict", files={"files": b"bad"})

    def kept() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    turn()
    tracemalloc.start()
    try:
        turn()
        before = kept()
        for _ in range(6):
            turn()
        assert kept() - before < 200_000  # of 2 MB of slices that were sent
    finally:
        tracemalloc.stop()


def test_health_and_model_say_what_answers(client: TestClient) -> None:
    assert client.get("/health").json() == {
        "status": "ok",
        "model": "brightness",
        "version": client.get("/model").json()["version"],
        "runtime": "none",
    }
    found = client.get("/model").json()
    assert found["window"] == {"center": 20, "width": 2040} and found["crop_rule"] == "context"
    assert found["calibrated"] is False and found["note"] == RESEARCH_USE
    scores = {"part": "held out", "patients": 12, "auc": {"interval": [0.5, 0.9]}}
    assert found["scores"] == scores  # numbers, though inference.yml is read as text


def test_the_documentation_names_every_request_and_loads_nothing_from_outside(
    client: TestClient,
) -> None:
    api = client.get("/openapi.json").json()
    page = client.get("/docs").text
    for path, methods in api["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in html.unescape(page)
    assert RESEARCH_USE.capitalize() in page and "files" in page
    form = api["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(form["schema"]["properties"]) == {"files", "nodule", "point-mm", "box", "series-uid"}
    sources = [page] + [client.get(f"/{name}").text for name in ("", "viewer.css", "page.js")]
    sources += [client.get(f"/{name}.js").text for name in ("view", "cards", "input", "server")]
    for text in sources:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert not re.search(r"<script>|\son\w+=|style=|eval\(|innerHTML", text)


def test_what_is_not_there_is_404_and_no_folder_is_listed(client: TestClient) -> None:
    for path in ("/nothing", "/../app.py", "/%2e%2e/app.py", "/templates/docs.html", "/scans"):
        assert client.get(path).status_code in (404, 405)
