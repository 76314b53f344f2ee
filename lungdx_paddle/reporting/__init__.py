"""Findings as documents: DICOM structured reports and segmentations."""
