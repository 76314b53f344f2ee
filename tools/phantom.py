"""Write a phantom LIDC collection: DICOM slices, LIDC XML and a diagnosis table."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.make_phantom import main

if __name__ == "__main__":
    cli.run(main)
