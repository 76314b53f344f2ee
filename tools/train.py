"""Train the two-task network; with no data configured, on a phantom made on the spot."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("train")
