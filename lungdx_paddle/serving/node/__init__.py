"""A DICOM node: studies come from a PACS, findings go back to it."""
