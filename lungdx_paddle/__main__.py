"""From LIDC-IDRI scans to a model that reads a CT: a command for each step."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.extras import failed_import

COMMANDS = {
    "train": ("train_run", "train the two-task network; without data, on a phantom"),
    "eval": ("eval_run", "scores of a run with their intervals, and pictures"),
    "compare": ("compare_methods", "the paper's four methods, over seeds and splits (Figure 7)"),
    "export": ("export_model", "the inference model of a run"),
    "predict": ("predict_nodules", "malignancy and pathology of nodules, a JSON line each"),
    "serve": ("serve_model", "a model over HTTP, and a page to click nodules in a CT"),
    "preprocess": ("preprocess_scans", "scans or slices to nodule crops and manifest.csv"),
    "phantom": ("make_phantom", "a small collection shaped like LIDC-IDRI"),
    "figures": ("draw_figures", "the paper's Figures 1, 2, 5, 6 and 7 from data of your own"),
    "node": ("run_node", "a DICOM node: answers the CT studies that a PACS sends"),
    "download": ("download_lidc", "a part of LIDC-IDRI"),
}
"""Subcommand -> its module in :mod:`lungdx_paddle.commands`, and what it gives."""


def run_command(name: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Import a command and run it; a package that cannot be imported for it is named in a line.

    Args:
        name: one of :data:`COMMANDS`.
        argv: its arguments; None: those of this process.
    """
    try:
        from lungdx_paddle.commands import cli

        command = importlib.import_module(f"lungdx_paddle.commands.{COMMANDS[name][0]}").main
    except KeyboardInterrupt:
        sys.exit(130)  # nothing has begun
    except Exception as error:  # a broken installation raises anything
        failed = failed_import(error)
        if failed is None:
            raise
        tool = Path(sys.argv[0]).stem
        sys.stderr.write(f"{tool if tool == name else f'lungdx {name}'}: {failed}\n")
        sys.exit(2)
    cli.run(command, argv)


def main() -> NoReturn:
    """Run ``lungdx COMMAND ...``, which is ``python tools/COMMAND.py ...``."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        run_command(words[0], words[1:])
    listed = "\n".join(f"  {name:12}{title}" for name, (_, title) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="lungdx",
        usage="lungdx COMMAND ...",
        description=f"{__doc__}\n\n{listed}",
        epilog=f"lungdx COMMAND --help says more\n\n{RESEARCH_USE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lungdx {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="one of the above")
    if words and not words[0].startswith("-"):  # a wrong name is one before --help, too
        unknown = words[0]
    else:
        unknown = parser.parse_known_args(words)[0].command
    near = difflib.get_close_matches(unknown, COMMANDS, n=1, cutoff=0.5)
    hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(COMMANDS)}"
    parser.exit(2, f"lungdx: no command {unknown!r}; {hint}\n")


if __name__ == "__main__":
    main()
