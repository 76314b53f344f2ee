"""Draw the paper's figures from data of your own, and what a trained network looks at."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("figures")
