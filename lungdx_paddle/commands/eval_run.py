"""Evaluate a finished training: every score with its interval, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate the run that the arguments name."""
    parser = cli.parser(__doc__, "python tools/eval.py --run output/partial_soft")
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="output folder of tools/train.py")
    add("--out", type=Path, metavar="DIR", help="where to write (default: eval in that folder)")
    add("--all", action="store_true", help="all crops, such as those of another data.manifest")
    cli.add_arguments(parser, "override", "device")
    args = parser.parse_args(argv)
    from lungdx_paddle.commands import run_wording as words
    from lungdx_paddle.config import with_overrides
    from lungdx_paddle.errors import ConfigError
    from lungdx_paddle.figures.canvas import PHANTOM_DATA, save_figure
    from lungdx_paddle.figures.score_plots import draw_scores
    from lungdx_paddle.locks import alone_in
    from lungdx_paddle.progress import log
    from lungdx_paddle.training.held_out import evaluate_run
    from lungdx_paddle.training.run import load_run
    from lungdx_paddle.training.run_metrics import METRICS, PREDICTIONS, write_results

    run = load_run(args.run)
    config = with_overrides(run.config, args.override)
    own = run.config.data
    crops = replace(config.data, manifest=own.manifest, min_readers=own.min_readers)
    if replace(config, data=crops) != run.config:
        raise ConfigError(
            "-o",
            expected="other crops: data.manifest=crops/manifest.csv, data.min_readers=1",
            found=" ".join(args.override),
            fix="network, classes and split are those of the run; leave the others out",
        )
    if args.out and args.out.resolve() == args.run.resolve():
        raise ConfigError(
            "--out",
            expected="another folder than the run's, whose own results stand there",
            found=str(args.out),
            fix="leave --out out: the results are written to eval in the run's folder",
        )
    out = args.out or args.run / "eval"
    with alone_in(out, wait=True):
        log.info("Evaluating %s at step %d", args.run, run.step)
        evaluation = evaluate_run(run, config.data, args.all, args.device)
        metrics = evaluation.metrics
        write_results(out, metrics, evaluation.predictions)
        data = PHANTOM_DATA if metrics.data == "phantom" else metrics.data
        title = f"{data}, {metrics.part}"
        save_figure(draw_scores(evaluation.predictions, title), out / "scores.png")
    lines = [f"{args.run}, step {metrics.step}, on {metrics.data}, {metrics.part}:"]
    lines += [*words.accuracy_lines(metrics.test), *words.score_lines(metrics.test)]
    lines += words.calibration_lines(metrics)
    lines += words.evaluation_notes(evaluation, run.config, args.all)
    if metrics.data == "phantom":
        lines.append(words.PHANTOM_LINE)
    lines += [words.environment_line(metrics.environment), words.CLOSING_NOTE]
    lines.append(f"Written to {out}: {METRICS}, {PREDICTIONS}, scores.png")
    cli.say(*lines)
