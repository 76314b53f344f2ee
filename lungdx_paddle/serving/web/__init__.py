"""Findings over HTTP: an exported model, a page to click in a CT, and nothing kept."""
