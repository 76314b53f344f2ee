"""Scans -> crops: pure functions on arrays, then one pipeline; never imports Paddle."""
