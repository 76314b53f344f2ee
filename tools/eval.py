"""Evaluate a finished training: every score with its interval, and a picture."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("eval")
