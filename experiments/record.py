"""What a study measured, with all that somebody needs to measure it again: one JSON file a study.

A study is a script of this folder: a function that reads finished runs and returns plain values
(its results), and functions that make Markdown of them.  ``write_docs.py`` puts that Markdown into
the pages.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungdx_paddle.commands import cli
from lungdx_paddle.config import load_config, overrides
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.files import UnreadableError, read_json, writable_folder, write_text
from lungdx_paddle.settings import Config
from lungdx_paddle.words import count_of

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = ROOT / "docs" / "lab" / "numbers"
"""Folder of the records, ``NAME.json``, in the repository."""

Results = Mapping[str, Any]
"""Numbers, texts, lists and mappings, as JSON has them."""

SHOWN = 3
"""Commands of trainings that the line below a table has; the record has all."""

ABSOLUTE = re.compile(r"""(?:^|[\s='"(,:])(?:/|~/|[A-Za-z]:[\\/])[^\s/]""")
"""A path of one machine inside a text."""


@dataclass(frozen=True)
class Data:
    """The crops that a study rests on."""

    manifest: str
    """Its folder's and its own name; of many the first."""
    source: str
    """``lidc``, ``phantom``, or ``unknown`` where the manifest does not tell."""
    crop: str
    """The rule that made the crops."""
    crops: int
    """Of all parts, as far as the runs use them."""
    patients: int
    digests: tuple[str, ...]
    """BLAKE2b of all pixels and labels, as a run records it; several where labels were changed."""

    @classmethod
    def of_runs(cls, runs: Sequence[Run]) -> Data:
        """The crops of runs; the largest number of them, where runs differ."""
        largest = max((run.record for run in runs), key=lambda record: len(record.rows))
        manifest = largest.manifest
        first, *others = dict.fromkeys(_end(run.config.data.manifest) for run in runs)
        return cls(
            manifest=first + f" and {len(others)} more" * bool(others),
            source=manifest.source or "unknown",
            crop=", ".join(manifest.crop_rules),
            crops=len(largest.rows),
            patients=len({row.patient_id for row in largest.rows}),
            digests=tuple(sorted({run.record.digest for run in runs})),
        )


@dataclass(frozen=True)
class Record:
    """The results of a study, and what they rest on."""

    study: str
    """Its script, which also makes the Markdown: ``table2`` for ``experiments/table2.py``."""
    what: str
    """In one sentence."""
    trainings: tuple[str, ...]
    """Commands that make the runs, but for seeds and output folders."""
    command: str
    """That makes the record of them."""
    environments: tuple[Environment, ...]
    """Of the trainings, with commit and date, the earliest first; one of each kind."""
    data: Data
    seeds: tuple[int, ...]
    """Of weights, order and dropout."""
    split_seeds: tuple[int, ...]
    """Of the split, or the folds."""
    date: str
    """UTC, ISO 8601, of the last scores."""
    seconds: float
    """Wall time of all trainings, each from its start to the scores of its last network."""
    results: Results

    @classmethod
    def of_runs(
        cls, study: str, what: str, command: str, runs: Sequence[Run], results: Results
    ) -> Record:
        """The record of a study that read finished runs.

        Raises:
            CheckpointError: a run is not finished, or its record is damaged.
        """
        starts = sorted((run.environment for run in runs), key=lambda environment: environment.date)
        kinds = {dataclasses.replace(e, date=""): e for e in reversed(starts)}
        spent = [_trained(run) - _time(run.environment) for run in runs]
        return cls(
            study=study,
            what=what,
            trainings=tuple(dict.fromkeys(training_command(run.config) for run in runs)),
            command=command,
            environments=tuple(reversed(kinds.values())),
            data=Data.of_runs(runs),
            seeds=tuple(sorted({run.config.seed for run in runs})),
            split_seeds=tuple(sorted({run.config.data.split_seed for run in runs})),
            date=max(run.metrics.environment.date for run in runs),
            seconds=round(sum(span.total_seconds() for span in spent)),
            results=results,
        )

    @property
    def is_phantom(self) -> bool:
        """Whether the numbers say nothing medical."""
        return self.data.source == "phantom"

    @property
    def making(self) -> str:
        """How the numbers were made, in a line of Markdown."""
        more = len(self.trainings) - SHOWN
        commands = [f"`{training}`" for training in self.trainings[:SHOWN]]
        commands += [count_of(more, "other")] if more > 0 else []
        data = self.data
        machines = dict.fromkeys(
            f"{e.processor}, {count_of(e.threads, 'thread')}, Paddle {e.paddle}"
            for e in self.environments
        )
        return (
            f"{', '.join([*commands, f'`{self.command}`'])}; {data.manifest}, "
            f"{count_of(data.crops, 'crop')} of {count_of(data.patients, 'patient')}, source "
            f"{data.source}, rule {data.crop}; {'; '.join(machines)}; "
            f"{self.seconds / 3600:.1f} hours of training"
        )

    @property
    def origin(self) -> str:
        """Which numbers they are: crops, seeds, commit and date, in a line of Markdown."""
        digests = self.data.digests
        phantom = "**phantom, made by a program: says nothing medical**; " * self.is_phantom
        labellings = f"{len(digests)} labellings, the first of " if len(digests) > 1 else ""
        commits = dict.fromkeys(e.commit for e in self.environments)
        dates = dict.fromkeys(date[:10] for date in (self.environments[0].date, self.date))
        return (
            f"{phantom}{labellings}digest {digests[0][:8]}; seeds {_span(self.seeds)}, of the "
            f"split {_span(self.split_seeds)}; commit {', '.join(commits)}; {' to '.join(dates)}"
        )

    def write(self, path: Path) -> None:
        """Write JSON.

        Raises:
            LungdxError: something is missing, or holds a path of this machine.
            OutputError: it cannot be written.
        """
        text = _check(self, str(path))
        writable_folder(path.parent)
        write_text(path, text)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read what :meth:`write` wrote.

        Raises:
            LungdxError: it is missing, incomplete or something else.
        """
        try:
            entries = read_json(path)
            lists = {key: tuple(entries[key]) for key in ("trainings", "seeds", "split_seeds")}
            data = entries["data"]
            record = cls(
                **{
                    **entries,
                    **lists,
                    "environments": tuple(Environment(**e) for e in entries["environments"]),
                    "data": Data(**{**data, "digests": tuple(data["digests"])}),
                }
            )
        except (UnreadableError, KeyError, TypeError) as error:
            raise _incomplete(str(path), f"{type(error).__name__}: {error}") from error
        _check(record, str(path))
        return record


def grouped(runs: Sequence[Run], kind: Callable[[Run], str]) -> dict[str, list[Run]]:
    """{kind: its runs}, in the order in which they come."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(kind(run), []).append(run)
    return groups


def training_command(config: Config) -> str:
    """The command that makes a run, but for its seeds and places."""
    shipped = load_config(config.name)
    placed = dataclasses.replace(
        config,
        seed=shipped.seed,
        output=shipped.output,
        data=dataclasses.replace(
            config.data,
            manifest=_end(config.data.manifest),
            split_seed=shipped.data.split_seed,
        ),
    )
    words = ["-c", config.name, "-o", *overrides(shipped, placed)]
    return f"python tools/train.py {cli.quoted(*words)}"


def command(
    doc: str | None, example: str, measure: Callable[[Sequence[Run]], Results]
) -> Callable[[Sequence[str] | None], None]:
    """The main of a study that reads runs: measure them and write the record.

    Args:
        doc: the script's docstring, whose first line says what the study is.
        example: a whole line that begins with ``python experiments/X.py --run``.
        measure: from the runs, in the order in which they are given, to the results.
    """
    study = Path(example.split()[1]).stem

    def main(argv: Sequence[str] | None = None) -> None:
        parser = cli.parser(doc, example)
        add = parser.add_argument
        add("--run", type=Path, nargs="+", required=True, metavar="DIR", help="finished trainings")
        add("--name", default=study, help="of the record in docs/lab/numbers/ (%(default)s)")
        options = parser.parse_args(argv)
        from lungdx_paddle.training.run import load_run

        runs = [load_run(folder) for folder in options.run]
        results = measure(runs)
        named = "" if options.name == study else f" --name {options.name}"
        own = f"python experiments/{study}.py --run RUN ...{named}"
        path = NUMBERS / f"{options.name}.json"
        record = Record.of_runs(study, (doc or "").splitlines()[0], own, runs, results)
        record.write(path)
        cli.say(
            record.making,
            record.origin,
            f"written to {path}; next: python experiments/write_docs.py",
        )

    return main


def _trained(run: Run) -> datetime:
    """When the last network was scored: the run itself may be scored again later."""
    folds = range(run.config.data.folds) if run.config.is_ensemble else ()
    networks = [run.member(fold) for fold in folds] or [run]
    return max(_time(network.metrics.environment) for network in networks)


def _check(record: Record, where: str) -> str:
    """The text of a record, if every entry is there and none names a path of a machine.

    Raises:
        LungdxError: otherwise.
    """
    entries = dataclasses.asdict(record)
    needed = {**entries, **{f"data.{key}": value for key, value in entries["data"].items()}}
    for environment in entries["environments"]:
        needed |= {f"{key} of an environment": environment[key] for key in ("commit", "processor")}
    for key, value in needed.items():
        if value in ("", (), [], {}, None):
            raise _incomplete(where, f"no {key}")
    text = json.dumps(entries, indent=1, allow_nan=False) + "\n"
    if found := ABSOLUTE.search(text):
        raise LungdxError(
            where,
            expected="no path of a machine",
            found=text[found.start() : found.end() + 40],
            fix="write the name of the file alone, or a path inside the repository",
        )
    return text


def _incomplete(where: str, found: str) -> LungdxError:
    return LungdxError(
        where,
        expected=f"a record with {', '.join(f.name for f in dataclasses.fields(Record))}",
        found=found,
        fix="make it again with its study in experiments/, of runs trained in a git checkout",
    )


def _end(path: str) -> str:
    """The names of a file and its folder."""
    return "/".join(Path(path).parts[-2:])


def _time(environment: Environment) -> datetime:
    return datetime.fromisoformat(environment.date)


def _span(numbers: tuple[int, ...]) -> str:
    if len(numbers) > 1 and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
