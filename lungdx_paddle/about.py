"""What the package says of itself; importing it imports nothing else."""

__version__ = "0.1.0"

RESEARCH_USE = "research use, not a medical device"
"""Stands wherever a result is shown."""
