"""Train the two-task network; with no data configured, on a phantom made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or resume, what the arguments name."""
    parser = cli.parser(__doc__, "python tools/train.py -o data.manifest=crops/manifest.csv")
    cli.add_arguments(parser, "config", "override", "device")
    add = parser.add_argument
    add("--resume", action="store_true", help="go on from the output folder's latest checkpoint")
    add("--jobs", type=int, metavar="N", help="folds trained at once (default: one a core)")
    add("--audit", action="store_true", help="train it split by patient too: the honest number")
    shown = "show it with VisualDL to this machine's browsers, also after its end, until Ctrl-C"
    add("--dashboard", action="store_true", help=shown)
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
    from lungdx_paddle.training.dashboard_server import DashboardServer
    from lungdx_paddle.training.parallel.jobs import JobOptions
    from lungdx_paddle.training.parallel.processes import join
    from lungdx_paddle.training.run import CURVES, load_run

    set_up(args.device, config.seed)  # processes connect by way of the device
    processes, folder = join(), config.output_folder
    options = JobOptions(args.jobs, args.device, args.resume, dashboard_pictures)
    audit = args.audit and config.data.split != "patient"
    with ExitStack() as at_the_end:
        with processes.alone_in(folder):  # to the last picture
            if args.dashboard and processes.is_first:
                runs = [config, config.by_patient()] if audit else [config]
                dashboard = DashboardServer([each.output_folder for each in runs])
                at_the_end.enter_context(dashboard)
                cli.say(f"Dashboard: {dashboard.address} (for this machine only)")
            config = processes.rank_zero_first(lambda: with_data(config))
            if audit:
                train_any(config.by_patient(), options)
            metrics = train_any(config, options)
            if metrics is None:  # not rank 0 of several processes
                return
            environment = load_run(folder).environment
            if not config.is_ensemble:
                save_figure(draw_curves(read_curves(folder)), folder / CURVES)
        lines = words.result_lines(metrics)
        if metrics.leakage.leaks:
            lines += [f"Note: {metrics.leakage}.", words.unseen_patients_line(config)]
        lines += ["", "Environment, beside the paper's Table 1:", *words.table1_lines(environment)]
        cli.say(*lines, words.CLOSING_NOTE, "", *words.next_lines(config))
        if args.dashboard:
            with suppress(KeyboardInterrupt):
                cli.say("", f"{dashboard.address} stays until Ctrl-C.")
                dashboard.wait()
