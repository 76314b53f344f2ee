"""The diagnosis table is read from TCIA's .xls or a CSV; what is wrong is named by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Diagnosis, read_diagnoses

HEADER = (
    '"TCIA Patient ID","Diagnosis at the Patient Level\n0=Unknown\n1=benign","Diagnosis Method",'
    '"Primary tumor site for metastatic disease","Nodule 1\nDiagnosis at the Nodule Level"\n'
)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a CSV table."""

    def write(text: str) -> Path:
        path = tmp_path / "diagnosis.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_csv_with_the_headings_of_tcia(table: Callable[[str], Path]) -> None:
    rows = "LIDC-IDRI-0068,3,4, Head & Neck Cancer ,1\n,,,,\nLIDC-IDRI-0072,1.0,4\n"
    path = table(HEADER + rows.replace("1.0", "1"))
    assert read_diagnoses(path) == {
        "LIDC-IDRI-0068": Diagnosis("LIDC-IDRI-0068", 3, "Head & Neck Cancer"),
        "LIDC-IDRI-0072": Diagnosis("LIDC-IDRI-0072", 1, ""),
    }


def test_short_headings_in_any_order(table: Callable[[str], Path]) -> None:
    path = table("\ufeffprimary_site,notes,patient_id,diagnosis\nlymphoma,x,P1,0\n")
    assert read_diagnoses(path) == {"P1": Diagnosis("P1", 0, "lymphoma")}


def test_the_method_of_a_diagnosis_is_not_taken_for_the_diagnosis(
    table: Callable[[str], Path],
) -> None:
    first, code, method, *others = HEADER.split(",")
    path = table(",".join([first, method, code, *others]) + "P1,3,2,lung cancer,\n")
    assert read_diagnoses(path)["P1"].code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "csv:1: expected columns .*no patient id"),
        ("patient_id,diagnosis\nP1,1\n", "no primary tumor site"),
        (HEADER + "P1,4,0,x,\n", "csv:2: expected a diagnosis from 0 to 3, found '4'"),
        (HEADER + "P1,,0,x,\n", "csv:2: .*found ''"),
        (HEADER + "P1,1,0,x,\n,2,0,x,\n", "csv:3: expected a patient ID, found none"),
        (HEADER + "P1,1,0,x,\nP1,2,0,y,\n", "csv:3: expected one row a patient, found P1 again"),
    ],
)
def test_a_wrong_table_is_one_clear_error(
    table: Callable[[str], Path], text: str, message: str
) -> None:
    with pytest.raises(LidcError, match=message):
        read_diagnoses(table(text))


@pytest.mark.parametrize("name", ["table.xls", "table.csv"])
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(128, 256)) * 8)
    with pytest.raises(LidcError, match=f"{name}: expected"):
        read_diagnoses(tmp_path / name)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="No such file"):
        read_diagnoses(tmp_path / "table.xls")


@pytest.mark.lidc
def test_the_table_of_tcia(lidc_folder: Path) -> None:
    diagnoses = read_diagnoses(lidc_folder / "tcia-diagnosis-data-2012-04-20.xls")
    assert Counter(d.code for d in diagnoses.values()) == {0: 27, 1: 36, 2: 43, 3: 51}
    assert diagnoses["LIDC-IDRI-0905"].primary_site == "RLL NSCLC stage 1A"
