"""Weights become a model file, and a model file's answers become findings."""
