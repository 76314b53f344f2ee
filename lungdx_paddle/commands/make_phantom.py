"""Write a phantom LIDC collection: DICOM slices, LIDC XML and a diagnosis table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Write the collection that the arguments name."""
    parser = cli.parser(__doc__, "python tools/phantom.py --out output/phantom --patients 20")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--patients", type=int, metavar="N", help="number of patients (default 55)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    args = parser.parse_args(argv)
    from lungdx_paddle.phantom import DEFAULT_PATIENTS, write_phantom

    patients = DEFAULT_PATIENTS if args.patients is None else args.patients
    write_phantom(args.out, patients, args.seed, args.jobs)
    cli.say(f"wrote {cli.count_of(patients, 'patient')} to {args.out}")
