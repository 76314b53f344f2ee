"""Coverage-guided fuzzing of one target of targets.py.

    pip install atheris
    python tests/fuzz/fuzz.py xml --minutes 10 --out findings

Starts from the corpus beside this file.  What it finds (an exception that is no LungdxError, 5
seconds, 1 GB) is written to ``--out`` and ends it with 1; inputs that reach new code lie in
``--out/corpus``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lungdx_paddle"]):
    from targets import CORPUS, TARGETS, run


def main() -> None:
    """Fuzz what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("findings"))
    args = parser.parse_args()
    corpus = args.out / "corpus" / args.target
    corpus.mkdir(parents=True, exist_ok=True)
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as folder:
        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={round(args.minutes * 60)}",
                f"-artifact_prefix={args.out}/{args.target}-",
                *("-timeout=5", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"),
                *(str(path) for path in (corpus, CORPUS / args.target)),
            ],
            lambda data: run(args.target, data, Path(folder) / "input"),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
