"""Logits become numbers and pictures."""
