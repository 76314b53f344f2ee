"""A node whose answers are made without a model, as a process that can be killed."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"

WAIT_S = 20.0
"""After which something that should happen is held not to."""


def instance(sop_class: str, study_uid: str, sop_uid: str, **values: object) -> Dataset:
    """A DICOM object of next to nothing."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, sop_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, f"{study_uid}.1"
    dataset.PatientName, dataset.PatientBirthDate = "Rossi^Ada", "19500417"
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = sop_uid
    return dataset


def answer(folder: Path) -> list[tuple[str, bytes]]:
    """A report and a segmentation, by how many instances there are."""
    files = sorted(folder.rglob("*.dcm"))
    uid = pydicom.dcmread(files[0]).StudyInstanceUID
    results = []
    for number, sop_class in ((1, SR), (2, SEG)):
        file = io.BytesIO()
        made = instance(sop_class, uid, f"{uid}.{len(files)}.{number}")
        pydicom.dcmwrite(file, made, enforce_file_format=True)
        results.append((f"{number}.dcm", file.getvalue()))
    return results


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def main(folder: str, pacs_port: str) -> None:
    from lungdx_paddle.serving.node.node import Node
    from lungdx_paddle.serving.node.peers import Peer
    from lungdx_paddle.serving.node.receiver import Receiver
    from lungdx_paddle.serving.node.sender import Sender
    from lungdx_paddle.serving.node.study_queue import Queue

    queue = Queue(Path(folder))
    with queue.held():
        receiver = Receiver(queue, "LUNGDX", quiet_s=0.1)
        sender = Sender(Peer("PACS", "127.0.0.1", int(pacs_port)), "LUNGDX")
        port = receiver.start("127.0.0.1", 0)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        for outcome in Node(queue, receiver, sender, answer).outcomes(threading.Event()):
            sys.stdout.write(f"{outcome.study_uid} {outcome.state}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
