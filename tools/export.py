"""Export a training run as an inference model: the weights that it was evaluated with."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("export")
