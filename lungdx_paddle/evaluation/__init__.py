"""Predictions become numbers: scores, intervals, comparisons, leakage, saliency."""
