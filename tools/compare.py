"""Compare the four methods: several seeds, both splits, one manifest; the paper's Figure 7."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("compare")
