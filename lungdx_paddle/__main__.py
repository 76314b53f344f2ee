"""From LIDC-IDRI scans to a model that reads a CT: a command for each step."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from typing import NoReturn

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.commands import cli

COMMANDS = {
    "train": ("train_run", "train the two-task network; without data, on a phantom"),
    "eval": ("eval_run", "scores of a run with their intervals, and pictures"),
    "compare": ("compare_methods", "the paper's four methods, over seeds and splits (Figure 7)"),
    "export": ("export_model", "the inference model of a run"),
    "predict": ("predict_nodules", "malignancy and pathology of nodules, a JSON line each"),
    "preprocess": ("preprocess_scans", "scans or slices to nodule crops and manifest.csv"),
    "phantom": ("make_phantom", "a small collection shaped like LIDC-IDRI"),
    "figures": ("draw_figures", "the paper's Figures 1, 2, 5, 6 and 7 from data of your own"),
    "download": ("download_lidc", "a part of LIDC-IDRI"),
}
"""Subcommand -> its module in :mod:`lungdx_paddle.commands`, and what it gives."""


def main() -> NoReturn:
    """Run ``lungdx COMMAND ...``, which is ``python tools/COMMAND.py ...``."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        module = importlib.import_module(f"lungdx_paddle.commands.{COMMANDS[words[0]][0]}")
        cli.run(module.main, words[1:])
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
    parser.exit(cli.USER_MISTAKE, f"lungdx: no command {unknown!r}; {hint}\n")


if __name__ == "__main__":
    main()
