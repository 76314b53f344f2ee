"""What is written is what is read, for any legal values and however programs write them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pydicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from targets import CORPUS

from lungdx_paddle.config import load_config, save_config, with_overrides
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.lidc import CHARACTERISTICS, find_series, read_annotations, read_diagnoses
from lungdx_paddle.lidc.attributes import NUMBERS, TEXTS
from lungdx_paddle.manifest import COLUMNS, ManifestRow, read_rows, write_manifest
from lungdx_paddle.manifest_cells import NO_VALUE, SPACING_MM, WINDOW_WIDTH_HU
from lungdx_paddle.settings import Config

few = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
names = st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True)
numbers = st.floats(-2000, 2000).map(lambda value: float(f"{value:g}"))
widths_hu = st.floats(*WINDOW_WIDTH_HU).map(lambda value: float(f"{value:g}"))

manifest_rows = st.lists(
    st.builds(
        ManifestRow,
        image=st.lists(names, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg"),
        patient_id=texts.filter(lambda text: text not in NO_VALUE),
        series_uid=st.from_regex(r"[0-9]{1,3}(\.[1-9][0-9]{0,5}){2,5}", fullmatch=True),
        nodule=st.integers(0, 99),
        z_mm=st.none() | numbers,
        pixel_spacing_mm=st.floats(*SPACING_MM).map(lambda value: float(f"{value:g}")),
        scale=st.floats(0.1, 1.0).map(lambda value: float(f"{value:g}")),
        window_center=numbers,
        window_width=widths_hu,
        readers=st.integers(1, 4),
        malignancy_ratings=st.lists(st.integers(1, 5), max_size=4).map(tuple),
        diagnosis=st.none() | st.integers(0, 3),
        primary_site=st.just("") | texts.filter(lambda text: text not in NO_VALUE),
        crop=st.sampled_from(("paper", "context")),
        source=st.sampled_from(("", "lidc", "phantom")),
        extra=st.just({}),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row.image.lower(),
)

dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t"),
        "encoding": st.sampled_from(("utf-8", "utf-8-sig", "utf-16")),
        "lineterminator": st.sampled_from(("\n", "\r\n")),
        "floats": st.booleans(),  # 2.0 for 2
        "backslashes": st.booleans(),
        "order": st.randoms(use_true_random=False),
    }
)
"""How spreadsheets, pandas and Windows write a table."""


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], dialect: Mapping[str, Any]) -> None:
    """Write cells as another program would: None is an empty cell."""
    columns = list(rows[0])
    dialect["order"].shuffle(columns)
    delimiter = dialect["delimiter"]

    def cell(value: Any) -> str:
        if isinstance(value, int) and dialect["floats"]:
            value = float(value)
        if isinstance(value, float):
            return str(value).replace(".", "," if delimiter == ";" else ".")
        return "" if value is None else str(value)

    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=dialect["lineterminator"])
    writer.writerow(columns)
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    path.write_bytes(text.getvalue().encode(dialect["encoding"]))


@few
@given(manifest_rows)
def test_a_manifest_reads_back(tmp_path: Path, rows: list[ManifestRow]) -> None:
    write_manifest(tmp_path / "manifest.csv", rows)
    assert read_rows(tmp_path / "manifest.csv") == tuple(rows)


@few
@given(manifest_rows, dialects)
def test_a_manifest_of_another_program_reads_the_same(
    tmp_path: Path, rows: list[ManifestRow], dialect: Mapping[str, Any]
) -> None:
    cells = []
    for row in rows:
        values = {name: getattr(row, name) for name in (*COLUMNS, "crop", "source")}
        values["malignancy_ratings"] = ";".join(map(str, row.malignancy_ratings))
        if dialect["backslashes"]:
            values["image"] = row.image.replace("/", "\\")
        cells.append(values)
    write_table(tmp_path / "manifest.csv", cells, dialect)
    assert read_rows(tmp_path / "manifest.csv") == tuple(rows)


@few
@given(st.dictionaries(names, st.tuples(st.integers(0, 3), texts), min_size=1), dialects)
def test_a_diagnosis_table_of_any_program_reads_the_same(
    tmp_path: Path, patients: dict[str, tuple[int, str]], dialect: Mapping[str, Any]
) -> None:
    rows = [
        {
            "TCIA Patient ID": f"LIDC-IDRI-{name}",
            "Diagnosis at the Patient Level\n0=Unknown": code,
            "Diagnosis Method\n0 = unknown": 3,
            "Primary tumor site for metastatic disease": site,
        }
        for name, (code, site) in patients.items()
    ]
    write_table(tmp_path / "diagnosis.csv", rows, dialect)
    found = read_diagnoses(tmp_path / "diagnosis.csv").by_patient
    expected = {f"LIDC-IDRI-{name}": value for name, value in patients.items()}
    assert {key: (value.code, value.primary_site) for key, value in found.items()} == expected


def values_of(kind: type) -> st.SearchStrategy[Any]:
    """Any legal instance of a settings dataclass, by the limits that its fields name."""
    types, parts = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        rules, of = field.metadata, types[field.name]
        low = rules.get("from", rules.get("above", 0))
        high = rules.get("up_to", rules.get("below", 10**6))
        if dataclasses.is_dataclass(of):
            parts[field.name] = values_of(of)
        elif "choices" in rules and of is str:
            parts[field.name] = st.sampled_from(rules["choices"])
        elif of is bool:
            parts[field.name] = st.booleans()
        elif of is int:
            parts[field.name] = st.integers(low, high)
        elif of is float:
            parts[field.name] = st.floats(
                low, high, exclude_min="above" in rules, exclude_max="below" in rules
            )
        elif of is str:
            parts[field.name] = names
    return st.fixed_dictionaries(parts)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted key: value}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        found.update(flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return found


@few
@given(values_of(Config))
def test_settings_read_back_from_overrides_and_from_a_file(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    # Some settings exclude each other; a ConfigError of the whole is not what is tested here.
    values["data"] |= {"folds": 0, "fold": -1}
    values["sharing"].pop("sites", None)
    config = with_overrides(Config(), [f"{key}={value}" for key, value in flat(values).items()])
    wanted = flat(values)
    assert {key: flat(dataclasses.asdict(config))[key] for key in wanted} == wanted
    save_config(config, tmp_path / "a.yaml")
    assert load_config(tmp_path / "a.yaml") == config


points = st.lists(st.tuples(st.integers(0, 511), st.integers(0, 511)), min_size=2, max_size=6)
readings = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(list(CHARACTERISTICS)), st.integers(1, 5)),
        st.lists(st.tuples(points, st.integers(0, 3), st.booleans()), min_size=1, max_size=3),
    ),
    max_size=3,
)


@few
@given(st.lists(readings, min_size=1, max_size=4), st.sampled_from(("utf-8", "utf-16")))
def test_marks_are_read_as_they_were_written(sessions: list[Any], encoding: str) -> None:
    lines = [f'<?xml version="1.0" encoding="{encoding}"?><LidcReadMessage xmlns="x">']
    lines.append("<ResponseHeader><SeriesInstanceUid> 1.2 </SeriesInstanceUid>")
    lines.append("<StudyInstanceUID>1</StudyInstanceUID></ResponseHeader>")
    for number, session in enumerate(sessions):
        lines.append(f"<readingSession><id>{number}</id>")
        for ratings, contours in session:
            lines.append("<unblindedReadNodule><noduleID>n</noduleID><characteristics>")
            lines += [f"<{name}> {rating} </{name}>" for name, rating in ratings.items()]
            lines.append("</characteristics>")
            for outline, index, inclusion in contours:
                lines.append(f"<roi><imageZposition>{index}.5 </imageZposition>")
                lines.append(f"<imageSOP_UID>1.{index}</imageSOP_UID>")
                lines.append(f"<inclusion>{'TRUE' if inclusion else 'FALSE'}</inclusion>")
                lines += [
                    f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
                    for x, y in outline
                ]
                lines.append("</roi>")
            lines.append("</unblindedReadNodule>")
        lines.append("</readingSession>")
    lines.append("</LidcReadMessage>")
    found = read_annotations(("a.xml", "\n".join(lines).encode(encoding)))
    expected = [
        (
            dict(ratings),
            [(outline, f"1.{index}", index + 0.5, i) for outline, index, i in contours],
        )
        for session in sessions
        for ratings, contours in session
    ]
    assert [
        (
            dict(reading.characteristics),
            [
                ([tuple(p) for p in c.points_xy.tolist()], c.sop_uid, c.z_mm, c.inclusion)
                for c in reading.contours
            ],
        )
        for reading in found.readings
    ] == expected


STRANGE = ("", "0", "-1", "1", "nan", "inf", "1e300", "1e-300", "n/a", "\x1b[31m", "  2 ")
strange_values = st.lists(st.sampled_from(STRANGE) | texts, max_size=7)


@few
@given(
    st.dictionaries(
        st.sampled_from([*NUMBERS, *TEXTS]), st.none() | strange_values, min_size=1, max_size=3
    )
)
def test_any_value_of_an_attribute_gives_a_slice_or_a_reason(
    tmp_path: Path, changes: dict[str, list[str] | None]
) -> None:
    header = pydicom.dcmread(CORPUS / "dicom" / "slice_a.dcm")
    header.SpecificCharacterSet = "ISO_IR 192"
    for name, values in changes.items():
        if name in header:
            del header[name]
        if values is not None:
            header.add(DataElement(tag_for_keyword(name), "LO", values))
    header.save_as(tmp_path / "a.dcm")
    series, skipped = find_series(tmp_path / "a.dcm")
    assert len(series) + len(skipped) == 1
    for s in series:
        assert s.patient_id.isprintable() and np.isfinite((*s.z_mm, *s.spacing_zyx_mm)).all()
        with contextlib.suppress(LungdxError):
            assert s.slice_hu(0).shape == (8, 8)
