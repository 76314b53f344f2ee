"""A model over HTTP, and a page to click nodules in a CT."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("serve")
