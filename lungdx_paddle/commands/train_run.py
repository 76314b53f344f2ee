"""Train the two-task network; with no data configured, on a phantom made on the spot."""

from __future__ import annotations

from collections.abc import Sequence

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or resume, what the arguments name."""
    parser = cli.parser(__doc__, "python tools/train.py -o data.manifest=crops/manifest.csv")
    cli.add_arguments(parser, "config", "override", "device")
    add = parser.add_argument
    add("--resume", action="store_true", help="go on from the output folder's latest checkpoint")
    add("--jobs", type=int, metavar="N", help="folds trained at once (default: one a core)")
    add("--audit", action="store_true", help="train it split by patient too: the honest number")
    args = parser.parse_args(argv)
    from lungdx_paddle.config import load_config

    config = load_config(args.config, args.override)
    from lungdx_paddle.commands import run_wording as words
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.figures.canvas import save_figure
    from lungdx_paddle.figures.dashboard_pictures import dashboard_pictures
    from lungdx_paddle.figures.training_curves import draw_curves, read_curves
    from lungdx_paddle.runtime import set_up
    from lungdx_paddle.training.crossval import train_any
    from lungdx_paddle.training.parallel.jobs import JobOptions
    from lungdx_paddle.training.parallel.processes import join
    from lungdx_paddle.training.run import load_run

    set_up(args.device, config.seed)  # processes connect by way of the device
    config = join().rank_zero_first(lambda: with_data(config))
    options = JobOptions(args.jobs, args.device, args.resume, dashboard_pictures)
    if args.audit and config.data.split != "patient":
        train_any(config.by_patient(), options)
    metrics = train_any(config, options)
    if metrics is None:  # not rank 0 of several processes
        return
    folder = config.output_folder
    lines = words.result_lines(metrics)
    if metrics.leakage.leaks:
        lines += [f"Note: {metrics.leakage}."]
        lines += [words.unseen_patients_line(config)]
    lines += ["", "Environment, beside the paper's Table 1:"]
    lines += words.table1_lines(load_run(folder).environment)
    lines += [words.CLOSING_NOTE, ""]
    shown = cli.quoted
    if config.is_ensemble:
        logs = folder
    else:
        logs = folder / "vdl"
        save_figure(draw_curves(read_curves(folder)), folder / "curves.png")
        lines.append(f"Curves:          {folder / 'curves.png'}")
    lines += [
        f"Dashboard:       visualdl --logdir {shown(logs)} --disable-telemetry --port 8040",
        "                 and open http://localhost:8040/app/scalar",
        f"Export:          python tools/export.py --run {shown(folder)} "
        f"--out {shown(folder / 'inference')}",
        f"Predict:         python tools/predict.py --model {shown(folder / 'inference')} "
        f"--manifest {shown(config.data.manifest)}",
    ]
    cli.say("\n".join(lines))
