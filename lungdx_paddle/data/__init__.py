"""Crops -> batches: labels, splits, the dataset, augmentation."""
