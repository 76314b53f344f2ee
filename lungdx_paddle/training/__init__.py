"""Training: steps, checkpoints, the record of a run, cross-validation, the dashboard."""
