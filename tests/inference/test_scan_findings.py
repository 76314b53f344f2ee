"""One CT, the whole way: the nodules that readers marked, and a point that a user gives."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.commands import predict_nodules
from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.scan_findings import findings_from_points
from lungdx_paddle.lidc import find_series
from lungdx_paddle.manifest import Manifest, read_manifest
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom, its crops, and a model of it."""
    folder = tmp_path_factory.mktemp("world")
    write_phantom(folder / "lidc", patients=5, jobs=1)
    preprocess(folder / "lidc", folder / "crops")
    configs = Path(__file__).parents[2] / "configs"
    own = [f"output={folder / 'run'}", f"data.manifest={folder / 'crops'}"]
    for made in ("run", "model"):
        (folder / made).mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    export(load_run(folder / "run"), folder / "model")
    return folder


@pytest.fixture
def ct(world: Path) -> Path:
    return next((world / "lidc" / "PHANTOM-0001").rglob("*.xml"))


def predict(world: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The JSON lines of the predict command."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        predict_nodules.main(["--model", str(world / "model"), *map(str, arguments)])
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def own_rows(manifest: Manifest, patient: str, nodule: int) -> list[int]:
    return [i for i, r in enumerate(manifest.rows) if (r.patient_id, r.nodule) == (patient, nodule)]


def test_a_ct_gives_the_mean_of_what_its_crops_give(world: Path, ct: Path) -> None:
    manifest = read_manifest(world / "crops")
    of_rows = predict(world, "--manifest", world / "crops" / "manifest.csv")
    findings = predict(world, "--series", ct.parent, "--xml", ct)
    assert [f["nodule"] for f in findings] == list(range(len(findings))) != []
    for finding in findings:
        rows = own_rows(manifest, "PHANTOM-0001", finding["nodule"])
        assert finding["slices"] == len(rows)
        z_mm = [manifest.rows[i].z_mm or 0.0 for i in rows]
        assert min(z_mm) <= finding["place_mm"][2] <= max(z_mm)
        for k in range(5):  # the crops went through JPG, which moves gray values a little
            mean = sum(of_rows[i]["malignancy"]["probabilities"][k] for i in rows) / len(rows)
            assert finding["malignancy"]["probabilities"][k] == pytest.approx(mean, abs=0.05)


def test_a_point_in_a_nodule_finds_its_place(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    large = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    first = series.slices[0]
    x, y = (
        (large["place_mm"][k] - first.position_mm[k]) / first.pixel_spacing_mm[0] for k in (0, 1)
    )
    index = int(abs(series.z_mm - large["place_mm"][2]).argmin())
    (finding,) = predict(world, "--series", ct.parent, "--nodule", f"{x:.0f},{y:.0f},{index}")
    assert finding["slices"] == 1
    assert finding["place_mm"] == pytest.approx(large["place_mm"], abs=8)


def test_a_point_outside_the_ct_is_refused(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    slices, rows, columns = series.shape_zyx
    edge = columns - 1, 0, slices - 1
    predictor = Predictor(world / "model")
    (finding,) = findings_from_points(predictor, ct.parent, [edge])
    assert finding.about["slices"] == 1
    x, y, index = edge
    outside = ((x + 1, y, index), (-1, y, index), (x, rows, index), (x, y, slices), (x, y, -1))
    for point in outside:
        with pytest.raises(LidcError, match=f"x below {columns}, y below {rows} and a slice below"):
            list(findings_from_points(predictor, ct.parent, [point]))


def test_what_cannot_be_predicted_is_an_error(world: Path, ct: Path) -> None:
    other = next((world / "lidc" / "PHANTOM-0002").rglob("*.xml"))
    with pytest.raises(LidcError, match="found 1 other series; give the folder and the XML"):
        predict(world, "--series", ct.parent, "--xml", other)
    with pytest.raises(LidcError, match="one CT series, found 5 series"):
        predict(world, "--series", world / "lidc", "--nodule", "1,1,1")
    for point in ("9999,1,1", "1,9999,1", "1,1,9999"):
        with pytest.raises(LidcError, match="all from 0, found a point outside the CT"):
            predict(world, "--series", ct.parent, "--nodule", point)
    with pytest.raises(ConfigError, match="expected x,y,slice_index, found '1,2'"):
        predict(world, "--series", ct.parent, "--nodule", "1,2")
    for request in ([], ["--series", ct.parent], ["a.jpg", "--manifest", ct]):
        with pytest.raises(ConfigError, match="see tools/predict.py --help"):
            predict(world, *request)


def test_a_nodule_whose_slices_are_missing_has_a_line_that_says_so(
    world: Path, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = predict(world, "--series", ct.parent, "--xml", ct)
    kept = sorted(ct.parent.glob("*.dcm"))[:2]
    for path in kept:
        shutil.copy(path, tmp_path)
    few = predict(world, "--series", tmp_path, "--xml", ct)
    assert [line["nodule"] for line in few] == [line["nodule"] for line in everything]
    gone = [line for line in few if line["slices"] == 0]
    assert gone and all("malignancy" not in line and line["missing_slices"] for line in gone)
    assert "none of its outlined slices" in capsys.readouterr().err
