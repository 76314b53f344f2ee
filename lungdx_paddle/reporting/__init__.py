"""Findings -> what people and archives read."""
