"""Findings by crop become those of nodules and patients as the scores pool them."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.pooling import by_nodule, by_patient

CLASSES = {"malignancy": list("12345"), "pathology": ["benign", "malignant"]}


def crop(patient: str, nodule: int, z_mm: float, level: int, malignant: float) -> Finding:
    p = {"malignancy": np.eye(5)[level - 1], "pathology": np.array([1 - malignant, malignant])}
    about = {"image": f"{z_mm}.jpg", "patient_id": patient, "nodule": nodule, "z_mm": z_mm}
    return Finding(about, CLASSES, p, images=np.zeros((1, 32, 32), np.uint8))


CROPS = [
    crop("A", 0, 1.0, 1, 0.1),
    crop("A", 0, 2.0, 5, 0.3),
    crop("A", 0, 3.0, 5, 0.2),
    crop("A", 1, 9.0, 2, 1.0),
    crop("B", 0, 4.0, 3, 0.9),
]


def test_a_nodule_is_the_weighted_mean_of_its_slices() -> None:
    nodules = by_nodule(CROPS)
    assert [(f.about["patient_id"], f.about["nodule"], f.about["slices"]) for f in nodules] == [
        ("A", 0, 3),
        ("A", 1, 1),
        ("B", 0, 1),
    ]
    weights = slice_weights([1.0, 2.0, 3.0])
    p = (nodules[0].probabilities or {})["malignancy"]
    assert p == pytest.approx([weights[0], 0, 0, 0, weights[1] + weights[2]])
    assert nodules[0].images is not None and nodules[0].images.shape == (3, 32, 32)


def test_a_patient_is_the_most_suspicious_nodule_and_the_mean_pathology() -> None:
    first, second = by_patient(CROPS)
    assert first.about == {"patient_id": "A", "nodules": 2, "slices": 4, "most_suspicious": 0}
    assert (first.probabilities or {})["pathology"][1] == pytest.approx((0.1 + 0.3 + 0.2 + 1) / 4)
    assert first.expected_level == by_nodule(CROPS)[0].expected_level
    assert second.about["patient_id"] == "B" and second.answer("malignancy") == "3"


def test_a_patient_none_of_whose_nodules_has_a_slice_says_why() -> None:
    about = {"series_uid": "1.2", "nodule": 0, "slices": 0, "reason": "no slice is there"}
    (patient,) = by_patient([Finding(about, CLASSES, None, ("odd",))])
    assert patient.probabilities is None and patient.warnings == ("odd",)
    assert patient.about["reason"] == "no slice is there"


def test_crops_without_a_manifest_cannot_be_pooled() -> None:
    with pytest.raises(ConfigError, match="found a crop without a manifest; .* --manifest"):
        by_nodule([Finding({"image": "a.jpg"}, CLASSES, None)])


def test_a_nodule_without_an_answer_is_told_beside_the_others() -> None:
    gone = {"patient_id": "A", "nodule": 7, "slices": 0, "reason": "nothing denser than lung"}
    (patient,) = by_patient([*by_nodule(CROPS[:4]), Finding(gone, CLASSES, None)])
    assert patient.about["nodules"] == 3
    assert patient.warnings == ("nodule 7: nothing denser than lung",)
