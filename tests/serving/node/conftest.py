"""A PACS made on the spot, and a scanner that sends to a node."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.dataset import Dataset
from stub_node import CT, SEG, SR

from lungdx_paddle.inference import predictor as predictor_module
from lungdx_paddle.inference.locate import regions_of_readings
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.sessions import Session
from lungdx_paddle.lidc import Series, find_series, read_annotations
from lungdx_paddle.phantom import PhantomSettings, write_phantom

if TYPE_CHECKING:  # an extra
    from pynetdicom import evt
    from pynetdicom.association import Association


@dataclass
class Pacs:
    """Takes what it is sent and knows it again."""

    port: int = 0
    stored: list[Dataset] = field(default_factory=list)
    status: Callable[[Dataset], int] = lambda dataset: 0

    def on_store(self, event: evt.Event) -> int:
        dataset = event.dataset
        status = self.status(dataset)
        if status == 0:
            self.stored.append(dataset)
        return status

    @property
    def uids(self) -> list[str]:
        return [str(dataset.SOPInstanceUID) for dataset in self.stored]


@contextlib.contextmanager
def listening(pacs: Pacs, classes: Sequence[str] = (SR, SEG)) -> Iterator[Pacs]:
    """A PACS on the port that it had, or on any that is free."""
    from pynetdicom import AE, evt

    ae = AE("PACS")
    for uid in ("1.2.840.10008.1.1", *classes):
        ae.add_supported_context(uid)
    handlers = [(evt.EVT_C_STORE, pacs.on_store)]
    server = ae.start_server(("127.0.0.1", pacs.port), block=False, evt_handlers=handlers)
    pacs.port = server.server_address[1]
    try:
        yield pacs
    finally:
        ae.shutdown()


@pytest.fixture(scope="session")
def pacs_of_all() -> Iterator[Pacs]:
    with listening(Pacs()) as pacs:
        yield pacs


@pytest.fixture
def pacs(pacs_of_all: Pacs) -> Pacs:
    """A PACS that has nothing yet."""
    pacs_of_all.stored, pacs_of_all.status = [], lambda dataset: 0
    return pacs_of_all


@pytest.fixture(name="listening")
def listening_fixture() -> Callable[..., contextlib.AbstractContextManager[Pacs]]:
    return listening


@contextlib.contextmanager
def association(
    port: int, calling: str = "SCANNER", called: str = "LUNGDX"
) -> Iterator[Association]:
    from pynetdicom import AE

    ae = AE(calling)
    for uid in ("1.2.840.10008.1.1", CT, SEG, SR):
        ae.add_requested_context(uid)
    made = ae.associate("127.0.0.1", port, ae_title=called)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


@pytest.fixture(name="association")
def association_fixture() -> Callable[..., contextlib.AbstractContextManager[Association]]:
    return association


DESCRIPTION = """
model: testing
input: {crop: paper, window: {center: 20.0, width: 2040.0, unit: HU}}
outputs:
- {task: malignancy, classes: ['1', '2', '3', '4', '5']}
- {task: pathology, classes: [normal, lung cancer]}
"""


@pytest.fixture
def predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """A model that gives every crop the same, without a runtime."""

    def run(batch: np.ndarray) -> list[np.ndarray]:
        return [
            np.tile(np.array(p, np.float32), (len(batch), 1))
            for p in ([0.1] * 3 + [0.3, 0.4], [0.5, 0.5])
        ]

    monkeypatch.setattr(predictor_module, "open_session", lambda *_: Session("none", run, 64))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "inference.yml").write_text(DESCRIPTION, encoding="utf-8")
    return Predictor(tmp_path / "model")


@dataclass(frozen=True)
class MarkedCT:
    """A CT of the phantom, and where its nodules are."""

    files: list[Path]
    series: Series
    places_mm: list[tuple[float, float, float]]


@pytest.fixture(scope="session")
def marked_ct(tmp_path_factory: pytest.TempPathFactory) -> MarkedCT:
    folder = tmp_path_factory.mktemp("ct")
    write_phantom(
        folder,
        1,
        seed=3,
        jobs=1,
        settings=PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(2, 2)),
    )
    xml = next(folder.rglob("*.xml"))
    (series,), _ = find_series(xml.parent)
    regions, _ = regions_of_readings(series, read_annotations(xml))
    places = [region.place_mm for region in regions if region.areas]
    return MarkedCT([Path(str(s.file)) for s in series.slices], series, places)
