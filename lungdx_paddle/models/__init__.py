"""Batches -> logits: towers, sharing units, the two-task network, ensembles."""
