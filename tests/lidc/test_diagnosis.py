"""The diagnosis table is read as TCIA or anybody saved it; what is wrong is named by row."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Diagnosis, DiagnosisTable, find_diagnoses, read_diagnoses

HEADER = (
    '"TCIA Patient ID","Diagnosis at the Patient Level\n0=Unknown\n1=benign","Diagnosis Method",'
    '"Primary tumor site for metastatic disease","Nodule 1\nDiagnosis at the Nodule Level"\n'
)


NODULE_METHOD = (
    "Nodule {}\nDiagnosis Method at the Nodule Level\n0 = unknown\n"
    "1 = review of radiological images to show 2 years of stable nodule"
)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a CSV table."""

    def write(text: str) -> Path:
        path = tmp_path / "diagnosis.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


SHORT = "patient_id,diagnosis,primary_site\n"


def test_a_csv_with_the_headings_of_tcia(table: Callable[[str], Path]) -> None:
    rows = "LIDC-IDRI-0068,3,4, Head & Neck Cancer ,1\n,,,,\nLIDC-IDRI-0072,1,4\n"
    assert read_diagnoses(table(HEADER + rows)).by_patient == {
        "LIDC-IDRI-0068": Diagnosis("LIDC-IDRI-0068", 3, "Head & Neck Cancer", 4, (1,)),
        "LIDC-IDRI-0072": Diagnosis("LIDC-IDRI-0072", 1, "", 4),
    }


@pytest.mark.parametrize(
    "header",
    [
        "primary_site,notes,patient_id,diagnosis",
        "Primary Tumour Site,Diagnosis Method,PATIENT ID , Diagnosis ",
        "TCIA primary site,diagnosis_method,Patient,Diagnosis (0=unknown)",
        "PrimarySite,Method of diagnosis,PatientID,Patient-level diagnosis",
        "primary site,Diagnosis Method at the Patient Level,patient id,Diagnosis_patient_level",
        "A table of mine,,,\n\nprimary site,x,patient id,diagnosis",
    ],
)
def test_columns_are_known_by_what_they_are_called(
    table: Callable[[str], Path], header: str
) -> None:
    found = read_diagnoses(table(f"\ufeff{header}\nlymphoma,3,P1,0\n"))
    method = 3 if "ethod" in header else None
    assert found.by_patient == {"P1": Diagnosis("P1", 0, "lymphoma", method)}


@pytest.mark.parametrize(
    ("code", "method"),
    [
        ("Nodule {}\nDiagnosis at the Nodule Level\n0=Unknown\n1=benign", NODULE_METHOD),
        ("nodule_{}_diagnosis", "nodule_{}_method"),
        ("NODULE {}", "Nodule {} diagnosis method (1 = two years of stable nodule)"),
        ("Diagnosis of nodule {}", "Method of diagnosis of nodule {}"),
        ("diagnosis_nodule_{}", "Diagnosis Method at the Nodule Level: nodule {}"),
        ("nodule_diagnosis_{}", "nodule_diagnosis_method_{}"),
        ("Nodule {} code (0 = unknown)", "nodule{}method"),
    ],
)
def test_nodules_have_codes_and_methods_of_their_own(
    table: Callable[[str], Path], code: str, method: str
) -> None:
    names = [f'"{text.format(k)}"' for k in (2, 10, 1) for text in (method, code)]
    header = f"patient_id,{','.join(names)},diagnosis,primary_site,nodule 1 size,nodules\n"
    rows = "P1,3.0,1,,,2,3,2,x,9,9\nP2,,,-,3,nan,,3,y,9,9\nP3,,,4,,,,1,z,9,9\nP4,,,,,,,0,u,9,9\n"
    found = read_diagnoses(table(header + rows)).by_patient
    assert found == {  # the first column stands for nodule 2, the last for nodule 1
        "P1": Diagnosis("P1", 2, "x", None, (3, 1), (2, 3)),
        "P2": Diagnosis("P2", 3, "y", None, (3,), (0,)),
        "P3": Diagnosis("P3", 1, "z", None, (0,), (4,)),
        "P4": Diagnosis("P4", 0, "u"),
    }


def test_a_table_may_say_nothing_of_methods(table: Callable[[str], Path]) -> None:
    found = read_diagnoses(table("patient_id,diagnosis,primary_site,nodule 1\nP1,2,x,2\n"))
    assert found.by_patient == {"P1": Diagnosis("P1", 2, "x", None, (2,), ())}


def test_malignant_patients_with_a_benign_nodule_are_told(table: Callable[[str], Path]) -> None:
    text = "patient_id,diagnosis,primary_site,nodule 1,nodule 2\nP1,2,x,2,1\nP2,3,x,3,0\nP3,3,,1,\n"
    found = read_diagnoses(table(text)).of(["P1", "P2"])
    assert [note.split("csv: ")[1] for note in found.notes] == [
        "1 ID of 3 is no patient's here: P3",
        "a nodule of 1 malignant patient is benign: P1",
    ]


def test_the_method_of_a_diagnosis_is_not_taken_for_the_diagnosis(
    table: Callable[[str], Path],
) -> None:
    first, code, method, *others = HEADER.split(",")
    path = table(",".join([first, method, code, *others]) + "P1,3,2,lung cancer,\n")
    assert read_diagnoses(path).by_patient["P1"].code == 2


@pytest.mark.parametrize("code", ["2", "2.0", " 2 ", "2.", '"2"', '"2,0"'])
def test_a_code_is_read_as_a_spreadsheet_writes_it(table: Callable[[str], Path], code: str) -> None:
    assert read_diagnoses(table(f"{SHORT}P1,{code},x\n")).by_patient["P1"].code == 2


def test_rows_without_a_code_are_counted_and_rows_that_agree_count_once(
    table: Callable[[str], Path],
) -> None:
    found = read_diagnoses(table(SHORT + "P1,2,Lung\nP2,,\nP1,2.0,lung\nP3,NaN,\n,,\n"))
    assert list(found.by_patient) == ["P1"]
    assert [note.split("csv: ")[1] for note in found.notes] == ["2 rows without a code (line 3, 5)"]
    assert "a diagnosis table without diagnoses" in read_diagnoses(table(SHORT)).notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "csv:1: expected one column each for .*found no patient ID, diagnosis"),
        ("patient_id,diagnosis\nP1,1\n", "no primary tumor site"),
        (
            "patient_id,TCIA Patient ID,diagnosis,primary_site\n",
            '"patient_id" and "TCIA Patient ID',
        ),
        (SHORT + "P1,4,x\n", "csv:2: expected a diagnosis from 0 to 3, found '4'"),
        (SHORT + "P1,2.5,x\n", "csv:2: .*found '2.5'"),
        (SHORT + "P1,benign,x\n", "csv:2: .*found 'benign'"),
        (SHORT + "P1,1,x\n,2,x\n", "csv:3: expected a patient ID, found none"),
        (SHORT + "P1,1,x\nP2,1,\nP1,2,x\n", "'P1 1 x' on line 2 and 'P1 2 x' on line 4"),
        (
            "method," + SHORT + "5,P1,1,x\n",
            "csv:2: expected a diagnosis method from 0 to 4, found '5'",
        ),
        ("nodule 3," + SHORT + "4,P1,1,x\n", "expected a diagnosis of nodule 3 from 0 to 3"),
        ("nodule3 method," + SHORT + "x,P1,1,x\n", "expected a method of nodule 3 from 0 to 4"),
        ("nodule 3,Nodule 03 diagnosis," + SHORT, 'found "nodule 3" and "Nodule 03 diagnosis"'),
        ("method,method of diagnosis," + SHORT, 'found "method" and "method of diagnosis"'),
        (
            "nodule 1,method," + SHORT + "1,2,P1,2,x\n2,2,P1,2,X\n",
            "method 2, nodules' codes 1' on line 2 and 'P1 2 X, method 2, nodules' codes 2' on",
        ),
        (SHORT + "P1,1,Head, Neck\n", "csv:2: .*4 cells, more than the header's 3"),
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


def test_a_file_that_is_not_there_or_is_a_pipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="No such file"):
        read_diagnoses(tmp_path / "table.xls")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(LidcError, match="a pipe, a socket or a device"):
            read_diagnoses(tmp_path / "pipe.csv")


PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0012", "P7", "Q7", "1.2.3.44"]


@pytest.mark.parametrize(
    ("own", "patient"),
    [
        ("LIDC-IDRI-0001", "LIDC-IDRI-0001"),
        (" lidc idri 0012 ", "LIDC-IDRI-0012"),
        ("LIDC_IDRI_1", "LIDC-IDRI-0001"),
        ("0012", "LIDC-IDRI-0012"),
        ("1.0", "LIDC-IDRI-0001"),
        ("q7", "Q7"),
        ("7", None),  # two patients
        ("44", None),  # a UID's last number
        ("TCGA-0001", None),
    ],
)
def test_ids_in_short_are_matched_where_one_patient_fits(
    table: Callable[[str], Path], own: str, patient: str | None
) -> None:
    found = read_diagnoses(table(f"{SHORT}{own},2,x\n")).of(PATIENTS)
    assert list(found.by_patient) == ([] if patient is None else [patient])
    is_exact = own == patient
    assert (found.notes == ()) == is_exact
    if not is_exact:
        word = "as several fit" if own == "7" else "taken for a patient's" if patient else "here:"
        assert word in found.notes[0] and "1 ID of 1 is" in found.notes[0]


@pytest.mark.parametrize(
    "cell",
    ["'P-0001", '"=""P-0001"""', "P\u20110001", "P\u20130001", "P-0001\u200b", "\u00a0P-0001 "],
)
def test_an_id_is_read_as_spreadsheets_and_word_show_it(
    table: Callable[[str], Path], cell: str
) -> None:
    found = read_diagnoses(table(f'{SHORT}{cell},\'2,"=""lung"""\n'))
    assert found.by_patient == {"P-0001": Diagnosis("P-0001", 2, "lung")}
    assert found.of(["P-0001"]).notes == ()
    assert found.of(["P\u20110001"]).by_patient["P\u20110001"].code == 2


def test_a_table_of_other_patients_is_told_as_that(table: Callable[[str], Path]) -> None:
    ids = [f"TCGA-{k}" for k in range(5)]
    found = read_diagnoses(table(SHORT + "".join(f"{name},1,\n" for name in ids))).of(["P1"])
    assert found.notes[0].endswith(
        "5 IDs of 5 are no patient's here: TCGA-0, TCGA-1, TCGA-2 and 2 more (here they are P1)"
    )


def test_two_ids_of_one_patient_must_agree(table: Callable[[str], Path]) -> None:
    found = read_diagnoses(table(SHORT + "1,1,\nP1,2,\n"))
    with pytest.raises(LidcError, match="'1 1' on line 2 and 'P1 2' on line 3"):
        found.of(["P1"])


def test_the_first_table_of_a_folder_counts_and_the_others_are_named(
    tmp_path: Path, table: Callable[[str], Path]
) -> None:
    assert find_diagnoses(tmp_path) == DiagnosisTable(str(tmp_path), {})
    (tmp_path / "Diagnosis-a.xls").write_text("<html><table>", encoding="utf-8")
    table(SHORT + "P1,2,\n")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("tables/DIAGNOSIS.CSV", SHORT + "P1,1,\n")
    found = find_diagnoses(tmp_path)
    assert found.by_patient["P1"].code == 2
    assert "not read as a diagnosis table:" in found.notes[0]
    assert "an HTML page; open it" in found.notes[0]
    assert "DIAGNOSIS.CSV: one more diagnosis table, left out;" in found.notes[1]
    assert find_diagnoses(tmp_path / "z.zip").by_patient["P1"].code == 1


@pytest.mark.parametrize("name", ["diagnosis", "Diagnoses.tab", "tcia-diagnosis-2012-04-20.dat"])
def test_a_table_is_found_under_any_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SHORT + "P1,2,\n", encoding="utf-8")
    (tmp_path / "diagnosis.dcm").write_bytes(b"no table")
    (tmp_path / "diagnosis-scan").write_bytes(bytes(128) + b"DICM")
    found = find_diagnoses(tmp_path)
    assert (found.by_patient["P1"].code, found.notes) == (2, ())


def test_a_typo_in_a_table_that_was_found_is_not_passed_over(
    tmp_path: Path, table: Callable[[str], Path]
) -> None:
    table(SHORT + "P1,22,\n")
    with pytest.raises(LidcError, match="csv:2: expected a diagnosis from 0 to 3"):
        find_diagnoses(tmp_path)


@pytest.mark.lidc
def test_the_table_of_tcia(lidc_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = read_diagnoses(lidc_folder / "tcia-diagnosis-data-2012-04-20.xls")
    assert Counter(d.code for d in found.by_patient.values()) == {0: 27, 1: 36, 2: 43, 3: 51}
    assert found.by_patient["LIDC-IDRI-0905"].primary_site == "RLL NSCLC stage 1A"
    assert Counter(d.method for d in found.by_patient.values()) == {
        0: 28,
        1: 28,
        2: 46,
        3: 39,
        4: 16,
    }
    benign = [d for d in found.by_patient.values() if d.code == 1]
    assert Counter(d.method for d in benign) == {1: 26, 2: 3, 3: 4, 4: 3}
    assert Counter(len(d.nodule_codes) for d in found.by_patient.values()) == {0: 20, 1: 117, 2: 20}
    assert found.by_patient["LIDC-IDRI-0190"].nodule_codes == (3, 1)
    assert found.by_patient["LIDC-IDRI-0190"].nodule_methods == (2, 1)
    assert found.by_patient["LIDC-IDRI-0285"].nodule_codes == (3, 0)  # and two cells of a blank
    assert found.notes == ()
    assert (
        found.of(found.by_patient)
        .notes[0]
        .endswith(
            "a nodule of 5 malignant patients is benign: "
            "LIDC-IDRI-0071, LIDC-IDRI-0072, LIDC-IDRI-0100 and 2 more"
        )
    )
    assert capfd.readouterr().out == ""
