"""Findings as documents: a page to read, DICOM structured reports and segmentations."""
