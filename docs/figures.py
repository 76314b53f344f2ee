"""Draw the paper's figures from data of your own, and what a trained network looks at.

Figure 5 needs no data; --lidc gives Figure 1, --manifest Figure 2, --run Figure 6 and the
saliency.  What they show, on real data: docs/figures.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle.commands import cli
from lungdx_paddle.files import writable_folder, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = [
    cli.DEFAULT_CONFIG.with_name(f"{name}.yaml")
    for name in ("single_task", "hard", "soft", "partial_soft")
]
DOTS_PER_INCH = 90


def save(figure: Figure, path: Path) -> None:
    with writing(path):
        figure.savefig(path, dpi=DOTS_PER_INCH)
    cli.say(f"{path}: {path.stat().st_size // 1024} KB")


def figure1(lidc: Path) -> Figure:
    """The lung steps on the slice where the readers' majority outlined most."""
    from lungdx_paddle.figures.lung_steps import draw_lung_steps
    from lungdx_paddle.lidc import find_scans

    scan = find_scans(lidc)[0]
    series, shape = scan.series, scan.series.shape_zyx[1:]
    masks = [
        (index, nodule.majority_mask(sop_uid, shape))
        for nodule in scan.nodules
        for index, sop_uid in enumerate(series.sop_uids)
        if sop_uid in nodule.sop_uids
    ]
    index, mask = max(masks, key=lambda found: int(found[1].sum()), default=(0, None))
    title = f"{series.patient_id}, z {series.z_mm[index]:g} mm"
    return draw_lung_steps(series.slice_hu(index), series.spacing_zyx_mm[1], title, mask)


def figure2(manifest: Path) -> Figure:
    from lungdx_paddle.data.dataset import load_dataset
    from lungdx_paddle.figures.level_examples import draw_levels
    from lungdx_paddle.settings import DataConfig

    return draw_levels(load_dataset(DataConfig(manifest=str(manifest))))


def figure5(configs: Sequence[Path]) -> Figure:
    from lungdx_paddle.config import load_config
    from lungdx_paddle.figures.network_diagram import draw_network

    return draw_network(*map(load_config, configs))


def figure6(runs: Sequence[Path]) -> Figure:
    from lungdx_paddle.figures.training_curves import draw_curves, read_curves

    return draw_curves(*map(read_curves, runs))


def saliency(run: Path) -> Figure:
    from lungdx_paddle.training.explain import explain_run

    return explain_run(run)


def main(argv: list[str] | None = None) -> None:
    example = (
        "python docs/figures.py --lidc LIDC-IDRI/LIDC-IDRI-0001 --manifest crops/manifest.csv "
        "--run output/partial_soft"
    )
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="DICOM of a series with its XML: Figure 1")
    add("--manifest", type=Path, metavar="FILE", help="manifest.csv of the crops: Figure 2")
    add("--configs", type=Path, nargs="+", default=METHODS, metavar="FILE", help="Figure 5's")
    runs_help = "folders of tools/train.py: Figure 6 of all, the saliency of the last"
    add("--run", type=Path, nargs="+", default=[], metavar="DIR", help=runs_help)
    default = Path(__file__).parent / "images"
    add("--out", type=Path, default=default, metavar="DIR", help="(default: docs/images)")
    args = parser.parse_args(argv)
    out = writable_folder(args.out)
    save(figure5(args.configs), out / "figure5.png")
    if args.lidc:
        save(figure1(args.lidc), out / "figure1.png")
    if args.manifest:
        save(figure2(args.manifest), out / "figure2.png")
    if args.run:
        save(figure6(args.run), out / "figure6.png")
        save(saliency(args.run[-1]), out / "saliency.png")


if __name__ == "__main__":
    cli.run(main)
