"""``train --dashboard``: VisualDL shows a training while it runs, and until Ctrl-C after it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.errors import OutputError
from lungdx_paddle.training import dashboard_server
from lungdx_paddle.training.dashboard import Dashboard
from lungdx_paddle.training.dashboard_server import HOST, DashboardServer

TRAIN = Path(__file__).parents[2] / "tools" / "train.py"

LOOK = """
// How many pictures are drawn: curves are blue, also as areas; the page's logo is none.
const drawn = () => page.evaluate(() => {
  const blue = (canvas) => {
    const { width, height } = canvas;
    const of = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let count = 0;
    for (let k = 0; k < of.length; k += 4) count += of[k + 3] > 0 && of[k + 2] > of[k] + 50;
    return count > 100;
  };
  const pictures = [...document.images].filter((e) => e.naturalWidth > 100);
  return [...document.querySelectorAll("canvas")].filter(blue).length + pictures.length;
});
const seen = [];
for (const [name, wanted] of Object.entries(given.pages)) {
  await page.evaluate((path) => {  // as a link of the page does, which loads nothing anew
    history.pushState({}, "", path);
    dispatchEvent(new PopStateEvent("popstate"));
  }, "/app/" + name);
  for (const text of wanted) await page.getByText(text, { exact: true }).first().waitFor();
  while (name != "sample/text" && (await drawn()) < 2) await page.waitForTimeout(100);
  seen.push(name);
}
return seen;
"""

RUN = "testing/vdl"
PAGES = {
    "scalar": ["loss", "accuracy_test", RUN],
    "sample/image": ["confusion/malignancy", "crops"],
    "histogram": ["shares_malignancy", "weights_cross_a"],
    "pr-curve": ["pr"],
    "roc-curve": ["roc"],
    "sample/text": [
        "environment/processor",
        "cpu (the paper's Table 1: NVIDIA Tesla V100, CUDA 11)",
    ],
}


def get(url: str) -> bytes:
    """What a server answers; a ConnectionError if there is none."""
    request = urllib.request.Request(url, headers={"Accept-Language": "en"})
    try:
        return bytes(urllib.request.urlopen(request, timeout=10).read())
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, ConnectionError) else error from None


def answers(address: str) -> bool:
    try:
        return b"VisualDL" in get(address)
    except ConnectionError:
        return False


def becomes(look: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def run(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a training that was started with --dashboard and ended by Ctrl-C."""
    folder = tmp_path_factory.mktemp("dashboard")
    manifest = write_crops_into(folder / "crops")
    words = [sys.executable, str(TRAIN), "-c", str(configs / "testing.yaml"), "--dashboard"]
    words += ["--device", "cpu", "-o", f"data.manifest={manifest}", f"output={folder / 'testing'}"]
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Dashboard: http://127.0.0.1:"), (folder / "stderr").read_text()
        address = first.split()[1]
        assert answers(address)
        lines = list(iter(process.stdout.readline, f"{address} stays until Ctrl-C.\n"))
        assert any("Test accuracy after step 20" in line for line in lines)
        assert answers(address)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not answers(address)
    finally:
        process.kill()
        process.communicate()
    return folder / "testing"


def test_a_browser_sees_scalars_images_histograms_curves_and_the_environment(
    visit: Callable, run: Path
) -> None:
    with DashboardServer([run]) as server:
        result, errors, elsewhere = visit(server.address, LOOK, pages=PAGES)
    assert result == list(PAGES)
    assert errors == [] and elsewhere == []  # no telemetry


def test_a_training_that_is_killed_takes_the_dashboard_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from lungdx_paddle.training.dashboard_server import DashboardServer\n"
        "with DashboardServer([Path(sys.argv[1])]) as server:\n"
        "    print(server.address, flush=True)\n"
        "    server.wait()\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert answers(address)
        process.kill()
    assert becomes(lambda: not answers(address))


def test_a_log_that_is_written_anew_is_read_anew_at_a_free_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tags() -> list[str]:
        base = server.address.replace("scalar", "api")
        try:
            get(f"{base}/component_tabs")  # as a page does; it has the server look at the logs
            answer = json.loads(get(f"{base}/scalar/tags"))
        except ConnectionError:  # it is being started again
            return []
        return [tag for run in answer["data"]["tags"] for tag in run]

    def show(tag: str) -> None:
        with Dashboard(tmp_path / "vdl") as dashboard:
            dashboard.scalars(1, {tag: 1.0})

    show("loss/of_an_earlier_run")
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(dashboard_server, "PORT", port)
        with DashboardServer([tmp_path]) as server:
            assert f":{port}/" not in server.address
            assert tags() == ["loss/of_an_earlier_run"]
            shutil.rmtree(tmp_path / "vdl")
            show("loss/anew")
            assert becomes(lambda: tags() == ["loss/anew"])


def test_a_server_that_does_not_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(dashboard_server, "free_port", lambda _: taken)  # taken since it looked
        with pytest.raises(OutputError, match=f"--dashboard, 127.0.0.1:{taken}.* in use"):
            DashboardServer([tmp_path]).__enter__()
