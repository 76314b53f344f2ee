"""Lung masks of a slice and of a series."""
