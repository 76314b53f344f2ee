"""The sending side of a DICOM node: results to the PACS, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from lungdx_paddle.errors import LungdxError
from lungdx_paddle.serving.node.peers import Peer

CONNECT_S, REPLY_S = 10.0, 60.0
"""How long the PACS is waited for: until it lets us in, and for its reply to an instance."""

DUPLICATE = 0x0111
"""Status of an instance that the PACS has already (PS3.7, C.5.7)."""

TAKEN = (0x0000, DUPLICATE, *range(0xB000, 0xC000))
"""Status of an instance that the PACS has: success, or with a warning (PS3.4, B.2.3)."""

TRANSIENT = range(0xA700, 0xA800)
"""Status of a PACS that is out of resources, which will pass."""


class PacsAway(LungdxError):
    """The PACS does not answer, or has no room: it may have later."""


class PacsRefuses(LungdxError):
    """The PACS does not take a result, and will not the next time."""


class Sender:
    """Stores results in a PACS.

    Args:
        peer: the PACS.
        title: the own AE title.
    """

    def __init__(self, peer: Peer, title: str) -> None:
        self.peer, self.title = peer, title

    def echo(self) -> None:
        """See whether the PACS is there (C-ECHO).

        Raises:
            PacsAway: it is not.
        """
        association = self._associate([])
        try:
            status = association.send_c_echo()
        finally:
            association.release()
        if status.get("Status") != 0:
            raise self._away("no reply to C-ECHO")

    def send(self, results: Sequence[Path]) -> Iterator[Path]:
        """Store DICOM files, in one association.

        Yields:
            Each file, once the PACS has confirmed it.

        Raises:
            PacsAway: it does not answer, or has no room.
            PacsRefuses: it does not take some; the others are there.
        """
        datasets = {path: pydicom.dcmread(path) for path in results}
        association = self._associate([dataset.SOPClassUID for dataset in datasets.values()])
        refused = []
        try:
            for path, dataset in datasets.items():
                try:
                    status = association.send_c_store(dataset).get("Status")
                except ValueError:  # no presentation context was accepted for it
                    refused.append(f"{path.stem} (no such SOP class)")
                    continue
                except RuntimeError as error:  # the association has ended meanwhile
                    raise self._away("the association has ended") from error
                if status is None or status in TRANSIENT:
                    raise self._away(f"status {status:04X}" if status else "no reply to C-STORE")
                if status in TAKEN:
                    yield path
                else:
                    refused.append(f"{path.stem} (status {status:04X})")
        finally:
            if association.is_established:
                association.release()
        if refused:
            raise PacsRefuses(
                str(self.peer),
                expected="a PACS that stores reports and segmentations",
                found=f"one that refuses {', '.join(refused)}",
                fix="configure the PACS to take it, and start again with --retry-failed",
            )

    def _associate(self, classes: Sequence[str]) -> Association:
        ae = AE(self.title)
        ae.connection_timeout = ae.acse_timeout = CONNECT_S
        ae.dimse_timeout = ae.network_timeout = REPLY_S
        ae.add_requested_context(Verification)  # so that there is one that every PACS accepts
        for uid in dict.fromkeys(classes):
            ae.add_requested_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        association = ae.associate(self.peer.host, self.peer.port, ae_title=self.peer.title)
        if association.is_established:
            return association
        if association.is_rejected:
            raise self._away(f"the association is rejected for {self.title}")
        raise self._away("no association")

    def _away(self, found: str) -> PacsAway:
        return PacsAway(
            str(self.peer),
            expected="a PACS that takes results",
            found=found,
            fix=f"see that it is up and knows {self.title}",
        )
