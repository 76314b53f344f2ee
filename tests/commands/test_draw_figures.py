"""The figures command draws what its inputs allow, and says what is missing in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.commands.cli import exit_code
from lungdx_paddle.commands.draw_figures import main
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.settings import Config
from lungdx_paddle.training.trainer import train

SMALLEST, LARGEST = 5_000, 250_000


def made(folder: Path) -> set[str]:
    """Names of the pictures, each neither empty nor large."""
    for path in folder.iterdir():
        head = path.read_bytes()[:4]
        assert head == b"\x89PNG" if path.suffix == ".png" else head[:2] == b"\xff\xd8"
        assert SMALLEST < path.stat().st_size < LARGEST, path.name
    return {path.name for path in folder.iterdir()}


def test_scans_crops_and_configs_are_drawn(
    write_crops: Callable[..., Path], configs: Path, tmp_path: Path
) -> None:
    small = PhantomSettings(rows=128, slices=8)
    write_phantom(tmp_path / "scans", patients=1, jobs=1, settings=small)
    words = ["--lidc", str(tmp_path / "scans"), "--manifest", str(write_crops())]
    main([*words, "--configs", str(configs / "hard.yaml"), "--out", str(tmp_path / "out")])
    assert made(tmp_path / "out") == {
        "figure1.png",
        "figure2.png",
        "figure5.png",
        "lungs_PHANTOM-0001.jpg",
    }


def test_runs_give_curves_saliency_and_the_methods_side_by_side(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    runs = []
    for name, sites in (("alone", "[]"), ("trunk", "[trunk]")):
        config = make_config(name, f"name={name}", f"sharing.sites={sites}", "data.split=patient")
        train(config, "cpu")
        runs.append(str(config.output_folder))
    main(["--run", *runs, "--out", str(tmp_path / "both")])
    assert made(tmp_path / "both") == {
        "figure5.png",
        "figure6.png",
        "figure7.png",
        "saliency.png",
    }
    main(["--run", runs[0], "--out", str(tmp_path / "one")])
    assert "figure7.png" not in made(tmp_path / "one")
    folder = tmp_path / "compared" / "runs" / "patient"
    for run in map(Path, runs):
        (folder / run.name).mkdir(parents=True)
        run.rename(folder / run.name / "seed0")
    main(["--compare", str(tmp_path / "compared"), "--out", str(tmp_path / "compare")])
    assert made(tmp_path / "compare") == {"figure5.png", "figure7.png"}


def test_crops_that_were_moved_are_named_with_manifest_before_anything_is_drawn(
    make_config: Callable[..., Config], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = make_config("run", "data.split=patient")
    train(config, "cpu")
    moved = Path(config.data.manifest).parent.rename(tmp_path / "moved")
    words = ["--run", str(config.output_folder), "--out", str(tmp_path / "out")]
    capfd.readouterr()
    assert exit_code(main, words) == 2
    error = capfd.readouterr().err
    assert "found no such file; give the manifest.csv of the run's crops with --manifest" in error
    assert not (tmp_path / "out").exists()
    assert exit_code(main, [*words, "--manifest", str(moved)]) == 0
    assert made(tmp_path / "out") == {"figure2.png", "figure5.png", "figure6.png", "saliency.png"}


@pytest.mark.parametrize("option", ["--lidc", "--manifest", "--run", "--configs", "--compare"])
def test_what_is_not_there_is_one_clear_line(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(main, [option, str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "expected" in error


def test_a_model_needs_a_ct(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "inference"])
    assert "give --lidc, too" in capsys.readouterr().err
