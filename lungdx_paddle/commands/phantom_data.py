"""Where no data are configured: make a phantom collection and preprocess it."""

from __future__ import annotations

from dataclasses import replace

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.locks import alone_in
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.phantom.collection import DIAGNOSIS_TABLE
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.progress import log
from lungdx_paddle.settings import Config
from lungdx_paddle.workers import executor


def with_data(config: Config) -> Config:
    """The config with a manifest: its own, or that of a phantom made for it.

    The phantom lies beside the output folder, where other configs find it; what is there
    already is not made again, and what another training makes there is waited for.

    Raises:
        OutputError: the phantom cannot be written.
    """
    if config.data.manifest:
        return config
    folder = config.output_folder.parent / f"phantom_{config.data.phantom_patients}"
    collection, crops = folder / "lidc", folder / "crops"
    log.info("No data.manifest: training on PHANTOM data, made by a program, in %s", folder)
    with alone_in(folder, wait=True):
        if not (collection / DIAGNOSIS_TABLE).is_file():
            write_phantom(collection, config.data.phantom_patients)
        with executor() as pool:
            report = preprocess(collection, crops, pool=pool)
    for line in report_lines(report):
        log.info(line)
    return replace(config, data=replace(config.data, manifest=str(crops / "manifest.csv")))
