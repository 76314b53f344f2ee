"""Compare the four methods: several seeds, both splits, one manifest; the paper's Figure 7."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.compare_methods import main

if __name__ == "__main__":
    cli.run(main)
