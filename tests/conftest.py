"""Fixtures of several test folders: real data if there are any, and made-up crops."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import ManifestRow, write_manifest
from lungdx_paddle.settings import Config

# A thread a training: pytest-xdist has the other cores.
os.environ.setdefault("LUNGDX_THREADS", "1")

CONFIGS = Path(__file__).parent.parent / "configs"

LUNGDX_LIDC = os.environ.get("LUNGDX_LIDC")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if real data are given and a test that needs them is skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return  # a process of pytest-xdist
    reports = reporter.stats.get("skipped", [])
    skipped = [r for r in reports if "lidc" in getattr(r, "keywords", ())]  # a whole file has none
    if skipped and LUNGDX_LIDC:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"LUNGDX_LIDC is set, and {len(skipped)} tests of real data skipped")


@pytest.fixture(scope="session", autouse=True)
def pynetdicom_closes_its_sockets() -> None:
    """Close a socket of which the peer has closed its end first.

    pynetdicom 3.0.4 leaves it to the garbage collector, since ``shutdown`` of it fails; the
    warning of that would come in a later test, whichever it is.
    """
    with contextlib.suppress(ImportError):
        from pynetdicom.transport import AssociationSocket

        shut_down = AssociationSocket._shutdown_socket

        def shut_down_and_close(self: AssociationSocket) -> None:
            shut_down(self)
            if self.socket is not None:
                self.socket.close()

        AssociationSocket._shutdown_socket = shut_down_and_close  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def lidc_folder() -> Path:
    """The folder of real LIDC-IDRI data; without one the test is skipped and says so."""
    if not LUNGDX_LIDC:
        pytest.skip("no real data: set LUNGDX_LIDC to its folder")
    return Path(LUNGDX_LIDC).resolve()


@pytest.fixture(scope="session")
def lidc32(lidc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """manifest.csv of the 11 409 real crops, unpacked."""
    folder = tmp_path_factory.mktemp("lidc32")
    with zipfile.ZipFile(lidc_folder / "lidc32.zip") as archive:
        archive.extractall(folder)
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def sample_xml(lidc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip archive of the XML files of the sample's 40 patients: all 1318 take 15 s to read."""
    with zipfile.ZipFile(lidc_folder / "lidc-slices-sample.zip") as archive:
        patients = {patient for name in archive.namelist() for patient in name.split("/")}
    series = {uid for uid, facts in known_series().items() if facts.patient_id in patients}
    path = tmp_path_factory.mktemp("sample_xml") / "LIDC-XML-only.zip"
    with zipfile.ZipFile(lidc_folder / path.name) as archive, zipfile.ZipFile(path, "w") as sample:
        for name in archive.namelist():
            content = archive.read(name)
            found = re.search(rb"<SeriesInstanceUid>\s*([0-9.]+)", content)
            if found and found[1].decode() in series:
                sample.writestr(name, content)
    return path


@pytest.fixture(scope="session")
def configs() -> Path:
    """The folder of the shipped configs."""
    return CONFIGS


def make_rows(patients: int = 8, nodules: int = 2, slices: int = 5) -> list[ManifestRow]:
    """Rows of a made-up collection in which every second patient is diagnosed."""
    diagnoses = [(1, ""), (2, "lung cancer"), (2, "adenocarcinoma"), (3, "colon cancer")]
    rows = []
    for patient in range(patients):
        code, site = diagnoses[patient // 2 % 4] if patient % 2 == 0 else (None, "")
        for nodule in range(nodules):
            for k in range(slices):
                rows.append(
                    ManifestRow(
                        image=f"crops/P{patient:02d}/n{nodule:02d}_s{k:02d}.jpg",
                        patient_id=f"P{patient:02d}",
                        series_uid=f"1.2.{patient}",
                        nodule=nodule,
                        z_mm=2.5 * k,
                        pixel_spacing_mm=0.7,
                        scale=1.0,
                        window_center=20.0,
                        window_width=2040.0,
                        readers=1 + (k + 2) % 4,
                        malignancy_ratings=(1 + (patient + nodule) % 5,) * 4,
                        diagnosis=code,
                        primary_site=site,
                        source="phantom",
                    )
                )
    return rows


@pytest.fixture
def crop_rows() -> list[ManifestRow]:
    """The rows of a made-up collection."""
    return make_rows()


@pytest.fixture(scope="session")
def write_crops_into() -> Callable[..., Path]:
    """A function (folder, sizes) that writes rows and a JPG for each; returns the manifest's path.

    The gray value of a crop follows its malignancy rating, so that there is something to
    learn.
    """

    def write(folder: Path, **sizes: int) -> Path:
        random = np.random.default_rng(0)
        rows = make_rows(**sizes)
        for row in rows:
            path = folder / row.image
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.zeros((32, 32), np.uint8)
            level = 40 * row.malignancy_ratings[0] + int(random.integers(0, 20))
            image[8:24, 8:24] = np.clip(level + random.integers(-9, 9, (16, 16)), 0, 255)
            cv2.imwrite(str(path), image)
        write_manifest(folder / "manifest.csv", rows)
        return folder / "manifest.csv"

    return write


@pytest.fixture
def write_crops(tmp_path: Path, write_crops_into: Callable[..., Path]) -> Callable[..., Path]:
    """A function (sizes) that writes crops into the test's own folder."""
    return functools.partial(write_crops_into, tmp_path / "crops_made_up")


@pytest.fixture
def full_disk() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """A function that makes a context in which no file can grow over some bytes."""
    resource = pytest.importorskip("resource", reason="file sizes cannot be limited here")

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@dataclass
class Disk:
    """What a power cut would leave: of each file and folder (inode) what was there at its fsync."""

    stamps: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of a file: size and time of the last change."""
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    """Of a folder: what lies in it."""
    too_soon: list[str] = field(default_factory=list)
    """What was renamed before it was on the disk."""

    def fsync(self, file: int) -> None:
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(file) as entries:
                self.names[found.st_ino] = {entry.name: entry.inode() for entry in entries}
        else:
            self.stamps[found.st_ino] = found.st_size, found.st_mtime_ns

    def replace(self, source: Path, target: Path) -> None:
        if not self._holds(source):
            self.too_soon.append(str(target))

    def lost(self, folder: Path) -> set[str]:
        """The files and folders below a folder that a power cut would take away or damage."""
        paths = list(folder.rglob("*"))
        return {path.relative_to(folder).as_posix() for path in paths if not self._keeps(path)}

    def _keeps(self, path: Path) -> bool:
        inside = self.names.get(path.parent.stat().st_ino, {})
        return inside.get(path.name) == path.stat().st_ino and self._holds(path)

    def _holds(self, path: Path) -> bool:
        found = path.stat()
        if path.is_dir():
            return not os.listdir(path) or not self.lost(path)
        return self.stamps.get(found.st_ino) == (found.st_size, found.st_mtime_ns)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Knows what this process has put on the disk."""
    made, fsync, replace = Disk(), os.fsync, os.replace

    def synced(file: int) -> None:
        fsync(file)
        made.fsync(file)

    def replaced(source: Path, target: Path) -> None:
        made.replace(Path(source), Path(target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return made


HOLD = """
import sys
from pathlib import Path
from lungdx_paddle.locks import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def another_in() -> Callable[[Path], contextlib.AbstractContextManager[subprocess.Popen[str]]]:
    """A function (folder) -> another process that writes there until it reads a line."""

    @contextlib.contextmanager
    def holding(folder: Path) -> Iterator[subprocess.Popen[str]]:
        words = [sys.executable, "-c", HOLD, str(folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            try:
                yield process
            finally:
                process.kill()

    return holding


class Visit(NamedTuple):
    """What a script saw of a page, in values that JSON has."""

    result: Any
    """What the script returned."""
    errors: list[str]
    """The page's own JavaScript errors."""
    elsewhere: list[str]
    """Hosts other than the page's that it asked for something."""


@pytest.fixture(scope="session")
def visit() -> Callable[..., Visit]:
    """A function (url, script) that opens a page in Chromium and runs a script there.

    The script is the body of an async JavaScript function of Playwright's ``page``, and of
    ``given``: the further keywords.  What it raises fails the test.  Node finds playwright-core by
    its own rules: in ``node_modules`` of the checkout (``npm install --no-save playwright-core``)
    or of a folder that NODE_PATH names.
    """
    here = Path(__file__).parent
    node = shutil.which("node") or pytest.skip("no browser test: node is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if not browser:
        pytest.skip("no browser test: chromium is not installed")
    looked = [node, "-e", "require.resolve('playwright-core')"]
    if subprocess.run(looked, cwd=here, capture_output=True, check=False).returncode:
        pytest.skip("no browser test: npm install --no-save playwright-core")

    def visited(url: str, script: str, width: int = 1280, height: int = 800, **given: Any) -> Visit:
        job = {"browser": browser, "url": url, "script": script, "given": given}
        ran = subprocess.run(
            [node, "browser.js"],
            cwd=here,
            input=json.dumps({**job, "width": width, "height": height}),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert ran.returncode == 0, ran.stderr
        return Visit(**json.loads(ran.stdout))

    return visited


@pytest.fixture
def shown() -> Callable[..., np.ndarray]:
    """A function that draws a matplotlib figure: (rows, columns, 4) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def draw(figure: Any) -> np.ndarray:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())

    return draw


@pytest.fixture
def make_config(
    write_crops: Callable[..., Path], configs: Path, tmp_path: Path
) -> Callable[..., Config]:
    """A function (folder name, overrides) -> the testing config; its folder exists."""
    manifest = write_crops()

    def make(folder: str, *overrides: str) -> Config:
        (tmp_path / folder).mkdir(exist_ok=True)
        own = (f"output={tmp_path / folder}", f"data.manifest={manifest}")
        return load_config(configs / "testing.yaml", [*own, *overrides])

    return make


@pytest.fixture(scope="session")
def calibrated(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Config:
    """A cross-validation of three folds that is calibrated, though its nodules are few."""
    from lungdx_paddle.evaluation import calibration_fit
    from lungdx_paddle.training.crossval import cross_validate
    from lungdx_paddle.training.parallel.jobs import JobOptions

    folder = tmp_path_factory.mktemp("calibrated")
    crops = write_crops_into(folder / "crops", patients=30)
    own = [f"output={folder / 'run'}", f"data.manifest={crops}", "data.split=patient"]
    config = load_config(configs / "testing.yaml", [*own, "data.folds=3"])
    (folder / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_fit, "LEAST_NODULES", {"temperature": 10, "cuts": 10})
        cross_validate(config, JobOptions(jobs=1, device="cpu"))
    return config
