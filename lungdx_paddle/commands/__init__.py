"""Command-line entry points: parse arguments, make one call, print the result."""
