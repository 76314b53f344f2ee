"""Any bytes in place of a file end in a value or a LungdxError: the corpus, and mutations of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import CORPUS, TARGETS, run

SEEDS = {name: sorted((CORPUS / name).iterdir()) for name in TARGETS}

MUTATIONS = 60
"""Inputs a target and run of the suite; tests/fuzz/fuzz.py makes thousands a second."""

STRANGE = (b"\0", b"\xff" * 8, b"\n", b";", b'"', b"-1", b"nan", b"1e999", b"9" * 5000, b"\\" * 3)


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """One of a target's seeds with some of its bytes cut, doubled, replaced or swapped."""
    seeds = [path.read_bytes() for path in SEEDS[target]]
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        known = [b"", data[start:end] * 2, *STRANGE, *(seed[start:end] for seed in seeds)]
        part = draw(st.sampled_from(known) | st.binary(max_size=16))
        data = data[:start] + part + data[end:]
    return data


@pytest.mark.parametrize(
    "path", [p for paths in SEEDS.values() for p in paths], ids=lambda p: p.name
)
def test_seeds(path: Path, tmp_path: Path) -> None:
    run(path.parent.name, path.read_bytes(), tmp_path / "input")


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str, tmp_path: Path) -> None:
    @settings(max_examples=MUTATIONS, deadline=None, database=None, derandomize=True)
    @given(mutated(target))
    def only_our_errors(data: bytes) -> None:
        run(target, data, tmp_path / "input")

    only_our_errors()
