"""The receiving side of a DICOM node: C-ECHO, and C-STORE into a queue on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import cast

from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID as TransferSyntax
from pydicom.uid import AllTransferSyntaxes, DeflatedExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.sop_class import Verification

from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.lidc.header import PREAMBLE_BYTES, quiet
from lungdx_paddle.progress import log
from lungdx_paddle.serving.node.peers import Caller
from lungdx_paddle.serving.node.room import NoRoom
from lungdx_paddle.serving.node.study_queue import UID, Queue

LARGEST_INSTANCE = 2**30
"""Bytes of one instance, which is held in memory until it is on the disk: an enhanced CT of 1000
frames of 512 x 512 has half of it.  An association that sends more is aborted."""

LONGER = 10
"""How many times longer a study is waited for whose association has not ended well, or is still
open: senders try again within a minute."""

SUCCESS, FAILURE, OUT_OF_RESOURCES, NO_MATCH, NOT_UNDERSTOOD = (
    0x0000,
    0x0110,
    0xA700,
    0xA900,
    0xC000,
)
"""Status of a C-STORE (PS3.4, B.2.3; PS3.7, C)."""

MOST_ASSOCIATIONS = 100
"""At once: a PACS has a handful, and further ones are turned away until one ends."""

REQUEST_WITHIN_S = 5.0
"""A connection that does not ask for an association by then is closed."""

REJECTED_CALLER, REJECTED_TITLE = (1, 1, 3), (1, 1, 7)
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8, 9.3.4): permanent, by the service user,
calling or called AE title not recognised."""

STUDY_UID, SERIES_UID = Tag(0x0020000D), Tag(0x0020000E)


@dataclass
class Arrival:
    """What came last of a study."""

    last: float = field(default_factory=lambda: monotonic())
    """When an instance came, or an association that brought some was released."""
    open: set[Association] = field(default_factory=set)
    """Associations that have brought instances and are not released."""


class Receiver:
    """A DICOM service that keeps what allowed callers send in a queue.

    Args:
        queue: where to.
        title: the own AE title; callers must use it.
        allowed: who may call; empty: everybody.
        quiet_s: seconds without a new instance after which a study is complete.
    """

    def __init__(
        self, queue: Queue, title: str, allowed: Sequence[Caller] = (), quiet_s: float = 5.0
    ) -> None:
        self.queue, self.title, self.allowed, self.quiet_s = queue, title, allowed, quiet_s
        self._arrivals: dict[str, Arrival] = {}
        self._lock = threading.Lock()
        self._begun = monotonic()
        self._full: set[str] = set()
        logging.getLogger("pynetdicom").propagate = False  # it logs values of data sets
        self._ae = AE(title)
        # One that asks for nothing would hold a place for half a minute; there are ten at first.
        self._ae.maximum_associations = MOST_ASSOCIATIONS
        self._ae.acse_timeout = REQUEST_WITHIN_S
        self._ae.add_supported_context(Verification)
        readable = [uid for uid in AllTransferSyntaxes if _is_readable(uid)]
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(cast(str, context.abstract_syntax), readable)

    def start(self, address: str, port: int) -> int:
        """Listen, in threads of its own.

        Returns:
            The port: another one than 0, which is any that is free.

        Raises:
            ConfigError: the address is not of this machine, or the port is taken.
        """
        self._begun = monotonic()
        try:
            server = self._ae.start_server(
                (address, port),
                block=False,
                evt_handlers=[
                    (evt.EVT_REQUESTED, self._on_request),
                    (evt.EVT_C_ECHO, lambda event: SUCCESS),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_PDU_RECV, self._on_part),
                    (evt.EVT_RELEASED, self._on_release),
                ],
            )
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"{address}:{port}",
                expected="an address of this machine and a free port",
                found=getattr(error, "strerror", None) or str(error),
                fix="choose others by --bind and --port",
            ) from error
        assert server is not None
        # Addresses are looked at before a byte is read from them.
        server.verify_request = self._is_known_address
        return int(server.server_address[1])

    def stop(self) -> None:
        """Abort open associations and stop listening."""
        self._ae.shutdown()

    def is_complete(self, study_uid: str) -> bool:
        """Whether all of a study seems to be there.

        That is some quiet seconds after its association was released; :data:`LONGER` of them,
        where it is open or was aborted, or the study was there before this process.
        """
        with self._lock:
            arrival = self._arrivals.get(study_uid)
            last = arrival.last if arrival else self._begun
            factor = LONGER if arrival is None or arrival.open else 1
        return monotonic() - last >= factor * self.quiet_s

    def forget(self, study_uid: str) -> None:
        """Let go of what is known of a study that is done with."""
        with self._lock:
            self._arrivals.pop(study_uid, None)
            self._full.discard(study_uid)

    def _is_known_address(self, request: object, client_address: tuple[str, int]) -> bool:
        known = not self.allowed or any(c.has_address(client_address[0]) for c in self.allowed)
        if not known:
            log.warning(
                "refused a connection from %s, which --allow does not name", client_address[0]
            )
        return known

    def _on_request(self, event: evt.Event) -> None:
        """Reject an association whose titles are not known."""
        address = event.assoc.requestor.address
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        callers = [c for c in self.allowed if c.title == calling and c.has_address(address)]
        if called != self.title:
            why, reason = f"it calls {called!r}, and this is {self.title!r}", REJECTED_TITLE
        elif self.allowed and not callers:
            why, reason = "--allow does not name it", REJECTED_CALLER
        else:
            return
        log.warning("refused an association of %r from %s: %s", calling, address, why)
        event.assoc.acse.send_reject(*reason)
        event.assoc.kill()

    def _on_store(self, event: evt.Event) -> int:
        """Keep an instance, and say so when it is on the disk."""
        request = cast(C_STORE, event.request)
        data, sop_uid = cast(BytesIO, request.DataSet), str(request.AffectedSOPInstanceUID)
        found = _study_and_series(data, TransferSyntax(event.context.transfer_syntax))
        if found is None:
            log.warning("refused an instance whose header cannot be read")
            return NOT_UNDERSTOOD
        if not all(UID.fullmatch(uid) for uid in (*found, sop_uid)):
            log.warning("refused an instance without the UIDs of study and series, or of bad ones")
            return NO_MATCH
        study_uid, series_uid = found
        head = b"\0" * PREAMBLE_BYTES + b"DICM" + encode_file_meta(event.file_meta)
        self._note(study_uid, event.assoc)
        try:
            self.queue.add((study_uid, series_uid, sop_uid), [head, data.getbuffer()])
        except NoRoom as error:
            if study_uid not in self._full:  # once, not for each of its instances
                log.warning("refused instances: %s", error)
            self._full.add(study_uid)
            return OUT_OF_RESOURCES
        except OutputError as error:
            log.warning("refused an instance: %s", error)
            return FAILURE
        finally:
            self._note(study_uid, event.assoc)
        return SUCCESS

    def _note(self, study_uid: str, association: Association) -> None:
        with self._lock:
            arrival = self._arrivals.setdefault(study_uid, Arrival())
            arrival.last = monotonic()
            arrival.open.add(association)

    def _on_part(self, event: evt.Event) -> None:
        message = event.assoc.dimse.message
        if message is not None and cast(BytesIO, message.data_set).tell() > LARGEST_INSTANCE:
            log.warning(
                "aborted an association: an instance of more than %d bytes", LARGEST_INSTANCE
            )
            # This is the thread that reads, which the abort waits for.
            threading.Thread(target=event.assoc.abort, daemon=True).start()

    def _on_release(self, event: evt.Event) -> None:
        with self._lock:
            for arrival in self._arrivals.values():
                if event.assoc in arrival.open:
                    arrival.open.discard(event.assoc)
                    arrival.last = monotonic()


def _study_and_series(data: BytesIO, syntax: TransferSyntax) -> tuple[str, str] | None:
    """The UIDs of study and series of an instance; None where its header cannot be read."""
    data.seek(0)

    def behind(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag > SERIES_UID

    try:
        with quiet():
            header = read_dataset(
                data,
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                stop_when=behind,
                specific_tags=[STUDY_UID, SERIES_UID],
            )
            study_uid, series_uid = header.get("StudyInstanceUID"), header.get("SeriesInstanceUID")
            return str(study_uid or ""), str(series_uid or "")
    except Exception:  # pydicom raises nearly anything on a damaged data set
        return None


def _is_readable(syntax: TransferSyntax) -> bool:
    """Whether pixels of a transfer syntax can be decoded by what is installed."""
    if syntax == DeflatedExplicitVRLittleEndian:
        return False  # nobody must send it, and it would be inflated for its UIDs
    try:
        return not syntax.is_encapsulated or get_decoder(syntax).is_available
    except NotImplementedError:
        return False
