"""Draw the paper's figures from data of your own, and what a trained network looks at.

Figure 5 needs no data.  --lidc gives Figure 1 and a sheet of lung masks, with --model an
overview; --manifest Figure 2; --run Figure 6 and the saliency; --compare, or runs of several
methods, Figure 7.  The crops of a run that were moved are those of --manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.compare_methods import METHODS

if TYPE_CHECKING:  # help and mistakes answer at once, without Paddle and matplotlib
    import argparse

    from lungdx_paddle.figures.canvas import Figure
    from lungdx_paddle.inference.predictor import Predictor
    from lungdx_paddle.lidc import Scan

Drawings = dict[str, Callable[[], "Figure"]]
"""What draws each picture, by file name.  All inputs have been read when one is drawn."""


def main(argv: Sequence[str] | None = None) -> None:
    """Draw what the inputs allow, and print where."""
    example = (
        "python tools/figures.py --lidc LIDC-IDRI/LIDC-IDRI-0001 --manifest crops/manifest.csv "
        "--run output/partial_soft"
    )
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="DICOM with its XML; the first series is drawn")
    add("--model", type=Path, metavar="DIR", help="what tools/export.py wrote: overview of --lidc")
    crops_help = "manifest.csv of the crops: Figure 2, and the saliency of --run"
    add("--manifest", type=Path, metavar="FILE", help=crops_help)
    methods = [cli.DEFAULT_CONFIG.with_name(f"{name}.yaml") for name in METHODS]
    configs_help = "networks of Figure 5 (default: the paper's four methods)"
    add("--configs", type=Path, nargs="+", default=methods, metavar="FILE", help=configs_help)
    runs_help = "folders of tools/train.py: Figure 6 of all, the saliency of the last"
    add("--run", type=Path, nargs="+", default=[], metavar="DIR", help=runs_help)
    add("--compare", type=Path, metavar="DIR", help="folder of tools/compare.py: Figure 7")
    cli.add_arguments(parser, "device")
    default = Path("output/figures")
    out_help = "where to write (default: %(default)s)"
    add("--out", type=Path, default=default, metavar="DIR", help=out_help)
    args = parser.parse_args(argv)
    if args.model and not args.lidc:
        parser.error("--model draws the overview of a CT: give --lidc, too")
    cli.say(f"figures for {args.out}")
    from lungdx_paddle.figures.canvas import save_figure
    from lungdx_paddle.files import writable_folder

    for name, draw in _drawings(args).items():
        path = save_figure(draw(), writable_folder(args.out) / name)
        cli.say(f"{path}: {path.stat().st_size // 1024} KB")


def _drawings(args: argparse.Namespace) -> Drawings:
    from lungdx_paddle.config import load_config
    from lungdx_paddle.figures.network_diagram import draw_network

    drawings: Drawings = {"figure5.png": partial(draw_network, *map(load_config, args.configs))}
    if args.lidc:
        drawings |= _of_scans(args.lidc, args.model)
    if args.manifest:
        from lungdx_paddle.data.dataset import load_dataset
        from lungdx_paddle.figures.level_examples import draw_levels
        from lungdx_paddle.settings import DataConfig

        crops = load_dataset(DataConfig(manifest=str(args.manifest)))
        drawings["figure2.png"] = partial(draw_levels, crops)
    if args.run:
        drawings |= _of_runs(args.run, args.manifest, args.device)
    return drawings | _of_methods(args.run, args.compare)


def _of_scans(lidc: Path, model: Path | None) -> Drawings:
    """Drawings of the first series of a folder."""
    from lungdx_paddle.figures.lung_sheet import draw_lung_sheet
    from lungdx_paddle.figures.lung_steps import draw_lung_steps
    from lungdx_paddle.inference.predictor import Predictor
    from lungdx_paddle.lidc import find_scans
    from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume

    cli.say(f"reading the series in {lidc}")
    scan = find_scans(lidc)[0]
    series, shape = scan.series, scan.series.shape_zyx[1:]
    # The slice on which the readers' majority outlined most.
    masks = [
        (index, nodule.majority_mask(sop_uid, shape))
        for nodule in scan.nodules
        for index, sop_uid in enumerate(series.sop_uids)
        if sop_uid in nodule.sop_uids
    ]
    index, mask = max(masks, key=lambda found: int(found[1].sum()), default=(0, None))
    title = f"{series.patient_id}, z {series.z_mm[index]:g} mm"
    hu = series.slice_hu(index)
    steps = partial(draw_lung_steps, hu, series.spacing_zyx_mm[2], title, mask)
    drawings: Drawings = {"figure1.png": steps}
    if model:
        drawings["overview.png"] = partial(_overview, scan, Predictor(model))

    def draw_lungs() -> Figure:
        slices = cli.count_of(len(series.sop_uids), "slice")
        cli.say(f"lung masks of {slices} of {series.patient_id}")
        return draw_lung_sheet(scan, lung_volume(series))

    return drawings | {f"lungs_{series.patient_id}.jpg": draw_lungs}


def _overview(scan: Scan, predictor: Predictor) -> Figure:
    """The middle one of a series' crops, and what an exported model predicts of it."""
    import numpy as np

    from lungdx_paddle.figures.canvas import PHANTOM_DATA
    from lungdx_paddle.figures.overview import draw_overview
    from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
    from lungdx_paddle.preprocess.series import crop_series

    series = scan.series
    crops = crop_series(scan, predictor.window, predictor.crop_rule).crops
    crop = crops[len(crops) // 2]
    found = predictor.probabilities(crop.image[np.newaxis])
    probabilities = {
        task: dict(zip(names, found[task][0].tolist())) for task, names in predictor.tasks.items()
    }
    images = lung_mask(series.slice_hu(crop.index), crop.nodule.pixel_spacing_mm), crop.image
    phantom = "phantom" in predictor.description.get("training", {}).get("data", "")
    name = predictor.description["model"]
    trained = f"{name}, trained on {PHANTOM_DATA}" if phantom else name
    return draw_overview(series, crop.nodule, crop.sop_uid, images, probabilities, trained)


def _of_runs(runs: Sequence[Path], manifest: Path | None, device: str | None) -> Drawings:
    from lungdx_paddle.figures.level_examples import examples_by_level
    from lungdx_paddle.figures.saliency_maps import draw_saliency
    from lungdx_paddle.figures.training_curves import draw_curves, read_curves
    from lungdx_paddle.training.explain import explain_run
    from lungdx_paddle.training.run import load_run

    folders = [folder for run in runs for folder in load_run(run).members]
    curves = [read_curves(folder) for folder in folders]
    cli.say(f"saliency of {runs[-1]}")
    crops = str(manifest) if manifest else None
    found = explain_run(runs[-1], examples_by_level, device=device, manifest=crops)
    config = found.run.config
    by = f"held out by {config.data.split}, split seed {config.data.split_seed}"
    title = f"{config.name}, {by}"
    return {
        "figure6.png": partial(draw_curves, *curves),
        "saliency.png": partial(draw_saliency, found.predictions, found.maps, title),
    }


def _of_methods(runs: Sequence[Path], compared: Path | None) -> Drawings:
    """Figure 7 of what tools/compare.py wrote, or of runs if they are of several methods."""
    from lungdx_paddle.errors import CheckpointError
    from lungdx_paddle.evaluation.comparison import compare_methods
    from lungdx_paddle.figures.canvas import PHANTOM_DATA
    from lungdx_paddle.figures.method_bars import draw_methods
    from lungdx_paddle.training.methods import results_of
    from lungdx_paddle.training.run import load_run

    if compared:
        runs = sorted(compared.glob("runs/*/*/seed*"))
    results = results_of(map(load_run, runs if compared or len(runs) > 1 else ()))
    if any(len(methods) > 1 for methods in results.values()):
        every = [t.predictions for own in results.values() for seeds in own.values() for t in seeds]
        crops = len({row.image for p in every for row in p.rows})
        source = PHANTOM_DATA if every[0].source == "phantom" else "held-out crops"
        title = f"{source}: {cli.count_of(crops, 'crop')}"
        return {"figure7.png": lambda: draw_methods(compare_methods(results), title)}
    if compared:
        raise CheckpointError(
            str(compared),
            expected="the output folder of tools/compare.py, with runs/ of two methods or more",
            found=f"{len(runs)} runs",
            fix="run tools/compare.py first, or give runs with --run",
        )
    return {}
