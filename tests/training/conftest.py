"""A tiny config on made-up crops, for everything that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.settings import Config


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
