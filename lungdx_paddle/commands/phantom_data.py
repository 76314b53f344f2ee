"""The data of a machine without any: a phantom collection, preprocessed like a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.phantom.collection import DIAGNOSIS_TABLE
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.settings import Config


def with_data(config: Config, say: Callable[[str], None]) -> Config:
    """The config with a manifest: its own, or that of a phantom made for it.

    The phantom lies beside the output folder, where other configs find it; what is there
    already is not made again.

    Args:
        config: its ``data.manifest`` may be empty.
        say: is given a line on what is made and where.

    Raises:
        OutputError: the phantom cannot be written.
    """
    if config.data.manifest:
        return config
    folder = config.output_folder.parent / f"phantom_{config.data.phantom_patients}"
    collection, crops = folder / "lidc", folder / "crops"
    say(f"No data.manifest: training on PHANTOM data, made by a program, in {folder}")
    if not (collection / DIAGNOSIS_TABLE).is_file():
        write_phantom(collection, config.data.phantom_patients)
    for line in report_lines(preprocess(collection, crops)):
        say(line)
    return replace(config, data=replace(config.data, manifest=str(crops / "manifest.csv")))
