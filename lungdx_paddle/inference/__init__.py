"""Inference: export a trained network, load the model, predict crops and nodules of a CT."""
