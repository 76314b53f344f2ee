"""Evaluation of predictions: scores, intervals, comparisons, leakage, saliency."""
