"""Findings over HTTP and DICOM: a model at work beside a PACS or a browser."""
