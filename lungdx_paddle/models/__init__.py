"""Batches become logits: towers, sharing units, the two-task network."""
