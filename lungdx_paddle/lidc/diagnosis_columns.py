"""Which columns of a diagnosis table hold what, by their headings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

HEADINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "patient ID": ("patientid$", "patientid", "patient$", "subjectid"),
        "diagnosis at the patient level": (
            *("diagnosis(?!method).*patient", "patient(level)?diagnosis(?!method)"),
            *("diagnosis$", "diagnosiscode", r"diagnosis\d"),
        ),
        "primary tumor site": ("primarytumou?rsite", "primarysite", "primarytumou?r$"),
    }
)
"""Column -> how its heading may begin, the surest first: letters and digits, without "TCIA"."""

METHOD = "diagnosis method"
"""The patient's; a table may lack it, and all columns of nodules."""
_METHOD_HEADINGS = (
    "diagnosismethod(?!.*nodule)",
    "method(ofdiagnosis)?(?!.*nodule)",
    "patient(level)?(diagnosis)?method",
)

OF_NODULE = "diagnosis of nodule ", "method of nodule "
"""How the names of a nodule's columns begin, before its number."""
_NODULE = re.compile(
    "(diagnosis|method|of|(at)?(the)?nodulelevel)*nodule(diagnosis|method)*"
    r"(?P<number>[0-9]{1,4})(diagnosis|method|(at)?(the)?nodulelevel|code)*$"
)


def find_columns(header: Sequence[str]) -> dict[str, list[int]]:
    """Places of the columns that fit each name, by the surest way that one fits."""
    headings = [_plain(cell) for cell in header]
    # Legends of the codes (0 = unknown, 1 = two years of stable nodule) say "nodule", too.
    names = [_plain(re.split(r"\d\s*=", cell)[0]) for cell in header]
    found: dict[str, list[int]] = {}
    for column, beginnings in HEADINGS.items():
        found[column] = _surest(headings, beginnings)
    found[METHOD] = _surest(names, _METHOD_HEADINGS)
    for i, name in enumerate(names):
        match = _NODULE.match(name)
        if match:
            column = OF_NODULE["method" in name] + str(int(match["number"]))
            found.setdefault(column, []).append(i)
    return {column: places for column, places in found.items() if places}


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell).lower().removeprefix("tcia")


def _surest(headings: Sequence[str], beginnings: Sequence[str]) -> list[int]:
    places = ([i for i, h in enumerate(headings) if re.match(b, h)] for b in beginnings)
    return next(filter(None, places), [])
