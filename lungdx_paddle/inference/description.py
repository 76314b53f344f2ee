"""inference.yml: what an exported model takes and gives, and the digests of its files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle.data.labels import MALIGNANCY, TASKS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.files import UnreadableError, open_file, read_text
from lungdx_paddle.manifest import CROP_RULES
from lungdx_paddle.manifest_cells import STRETCHED, gray_of
from lungdx_paddle.plain_yaml import read_yaml

NAME = "inference.yml"

SHA256 = "sha256"
"""Key of the digests: {file name: as the tool ``sha256sum`` prints it}."""

TRAINING_SERIES = "training_series.txt"
"""A line for each CT that the model was trained on: :func:`series_digest` of it."""

_BLOCK = 2**20


@dataclass(frozen=True)
class Description:
    """A folder that tools/export.py wrote, as its inference.yml describes it."""

    folder: Path
    values: Mapping[str, Any]
    """All that the file says; of it what the properties give is checked."""

    @property
    def name(self) -> str:
        """Name of the model: the config's that it was trained with."""
        return str(self.values["model"])

    @property
    def tasks(self) -> dict[str, list[str]]:
        """{task: class names}, in the order of the outputs."""
        return {output["task"]: output["classes"] for output in self.values["outputs"]}

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU of the crops that the model was trained on.

        Raises:
            CheckpointError: there is none, since their gray values were no HU.
        """
        if self.gray == STRETCHED:
            raise CheckpointError(
                str(self.folder / NAME),
                expected="a model that was trained on HU, to read a CT with",
                found="one of pictures that were stretched from black to white one by one",
                fix="run tools/preprocess.py --slices without --stretched, and train again",
            )
        return self._window

    @property
    def gray(self) -> str:
        """What the gray values of its training crops mean, as a manifest's row says it."""
        return gray_of(self._window, str(self.values["input"]["window"].get("unit")))

    @property
    def _window(self) -> tuple[float, float]:
        window = self.values["input"]["window"]
        return float(window["center"]), float(window["width"])

    @property
    def crop_rule(self) -> str:
        """Rule by which the model's training crops were made: paper or context."""
        return str(self.values["input"].get("crop", CROP_RULES[0]))

    @property
    def calibration(self) -> Calibration:
        """What turns the program's probabilities into answers; of one network the identity."""
        found = self.values.get("calibration")
        return Calibration() if found is None else Calibration.from_dict(found)

    @property
    def digests(self) -> Mapping[str, str]:
        """{file name: SHA-256}; empty in a folder that an earlier version exported."""
        found: Mapping[str, str] = self.values.get(SHA256, {})
        return found

    def has_trained_on(self, series_uid: str) -> bool:
        """Whether a CT is among those that the model was trained on, as far as it is known.

        Raises:
            CheckpointError: the file that lists them is not the one that was exported.
        """
        if not self.has(TRAINING_SERIES):  # exported by an earlier version
            return False
        try:
            known = read_text(self.file(TRAINING_SERIES)).split()
        except UnreadableError as error:
            raise CheckpointError(
                str(self.folder / TRAINING_SERIES),
                expected="the digests of the CTs that the model was trained on",
                found=str(error),
                fix="run tools/export.py again",
            ) from error
        return series_digest(series_uid) in known

    def has(self, name: str) -> bool:
        """Whether the folder has something of that name."""
        return (self.folder / name).exists()

    def file(self, name: str) -> Path:
        """One of the model's files, which is as it was exported.

        A runtime may crash on a damaged file, and answers from files of two exports as if
        nothing were: so each is compared with its digest before a runtime reads it.

        Raises:
            CheckpointError: it is not the file that was exported, is missing, or cannot be read.
        """
        path = self.folder / name
        try:
            if self.digests:
                found = "" if self.digests.get(name) == sha256_of(path) else "another file"
            else:
                open_file(path).close()
                found = ""
        except OSError as error:
            found = error.strerror or str(error)
        if found:
            raise CheckpointError(
                str(path),
                expected=f"the file whose SHA-256 is in {NAME} beside it",
                found=found,
                fix="it is damaged or of another export; copy the folder again or run "
                "tools/export.py again",
            )
        return path


def read_description(folder: Path) -> Description:
    """Read and check inference.yml.

    Raises:
        CheckpointError: it is missing or not what tools/export.py writes.
    """
    path, values = folder / NAME, None
    try:
        values = read_yaml(path)
        found = _mistake(values)
    except UnreadableError as error:
        found = str(error)
    if found:
        raise CheckpointError(
            str(path),
            expected="the description of an exported model",
            found=found,
            fix=f"run tools/export.py --run output/partial_soft --out {folder}",
        )
    return Description(folder, values or {})


def series_digest(series_uid: str) -> str:
    """Sixteen hexadecimal digits (BLAKE2b) of a SeriesInstanceUID, which itself is not told."""
    return hashlib.blake2b(series_uid.encode(), digest_size=8).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file in hexadecimal, about a second for a gigabyte.

    Raises:
        OSError: it cannot be read, or is a pipe or a device.
    """
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _mistake(values: Any) -> str:
    """What is wrong with the values of a description; nothing where they can be used."""
    if not isinstance(values, dict):
        return "no keys and values"
    outputs, given = values.get("outputs"), values.get("input")
    window = given.get("window") if isinstance(given, dict) else None
    if not (isinstance(outputs, list) and outputs and isinstance(window, dict)):
        return "a file without outputs (task, classes) or input (window: center, width)"
    tasks = [output.get("task") for output in outputs if isinstance(output, dict)]
    if len(tasks) != len(outputs) or not all(isinstance(task, str) for task in tasks):
        return "an output without a task"
    if not set(tasks) <= set(TASKS) or len(set(tasks)) != len(tasks):
        return f"tasks other than {' and '.join(TASKS)}, or one twice"
    for output in outputs:
        if not _are_names(output.get("classes"), numbers=output["task"] == MALIGNANCY):
            return f"classes of {output['task']} that are no list of different names"
    center, width = (str(window.get(name)) for name in ("center", "width"))
    if not (_is_number(center) and _is_number(width) and float(width) > 0):
        return "a window whose center and width are no finite numbers, the width above 0"
    if values["input"].get("crop", CROP_RULES[0]) not in CROP_RULES:
        return f"another crop rule than {' and '.join(CROP_RULES)}"
    if not _is_text(values.get("model")):
        return "no name of the model"
    training = values.get("training", {})
    if not isinstance(training, dict) or not isinstance(training.get("data", ""), str):
        return "a training without the name of its data"
    try:
        if values.get("calibration") is not None:
            Calibration.from_dict(values["calibration"])
    except ValueError as error:
        return f"a calibration of {error}"
    digests = values.get(SHA256, {})
    if not isinstance(digests, dict) or not all(
        _is_text(part) for pair in digests.items() for part in pair
    ):
        return f"a {SHA256} that is no list of files and digests"
    return ""


def _are_names(classes: Any, numbers: bool) -> bool:
    if not isinstance(classes, list) or not classes or not all(map(_is_text, classes)):
        return False
    return len(set(classes)) == len(classes) and not (
        numbers and not all(name.isdecimal() for name in classes)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
