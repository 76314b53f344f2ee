"""Draw the paper's figures from data of your own, and what a trained network looks at."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.draw_figures import main

if __name__ == "__main__":
    cli.run(main)
