"""Crops become batches: labels, splits, the dataset."""
