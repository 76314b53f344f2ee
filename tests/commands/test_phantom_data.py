"""Where no data are configured, trainings of one folder share one phantom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FIRST_TRAINING = """
import functools, logging, sys
from lungdx_paddle.commands import phantom_data
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.settings import Config, DataConfig
small = PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(3, 5))
phantom_data.write_phantom = functools.partial(write_phantom, settings=small)
config = Config(output=sys.argv[1], data=DataConfig(phantom_patients=4))
logging.basicConfig(format="%(message)s", level="INFO", stream=sys.stdout)
if __name__ == "__main__":
    print(phantom_data.with_data(config).data.manifest)
"""


def start(run: Path) -> subprocess.Popen[str]:
    script = run.with_name("first_training.py")  # its worker processes import it
    script.write_text(FIRST_TRAINING)
    words = [sys.executable, str(script), str(run)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True)


def test_two_first_trainings_at_once_make_one_phantom(tmp_path: Path) -> None:
    both = [start(tmp_path / name) for name in ("first", "second")]
    printed = [(process.communicate(), process.returncode) for process in both]
    assert [code for _, code in printed] == [0, 0], printed
    waits = [out.count("Waiting for process") for (out, _), _ in printed]
    assert sorted(waits) == [0, 1]
    manifest = tmp_path / "phantom_4" / "crops" / "manifest.csv"
    assert [out.splitlines()[-1] for (out, _), _ in printed] == [str(manifest)] * 2
    assert not list(tmp_path.rglob("*.lock"))


def test_a_phantom_that_was_killed_half_way_is_completed(tmp_path: Path) -> None:
    collection = tmp_path / "phantom_4" / "lidc"
    killed = start(tmp_path / "run")
    while len(list(collection.glob("*/*/*/*.xml"))) < 2:
        assert killed.poll() is None, "it ended before it could be killed"
    killed.kill()
    killed.communicate()
    assert not list(collection.glob("*.csv"))
    again = start(tmp_path / "run")
    (out, err), manifest = again.communicate(), collection.with_name("crops") / "manifest.csv"
    assert again.returncode == 0 and "Waiting" not in out, err
    assert len({line.split(",")[1] for line in manifest.read_text().splitlines()[1:]}) == 4
