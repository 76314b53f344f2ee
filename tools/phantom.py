"""Write a phantom LIDC collection: DICOM slices, LIDC XML and a diagnosis table."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("phantom")
