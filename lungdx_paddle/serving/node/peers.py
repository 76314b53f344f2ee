"""Who a DICOM node talks with: the callers that it lets in, and the PACS that it sends to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from lungdx_paddle.errors import ConfigError

AE_TITLE = re.compile(r"(?=.*[^ ])[ -\[\]-~]{1,16}", re.ASCII)
"""Of an application entity (PS3.5, 6.2): not only blanks, and no backslash."""

MOST_PORT = 65535


@dataclass(frozen=True)
class Caller:
    """A calling AE title that is let in, and the network that it calls from; None: any."""

    title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    def has_address(self, address: str) -> bool:
        """Whether an IP address is the caller's."""
        own = ipaddress.ip_address(address)
        own = getattr(own, "ipv4_mapped", None) or own  # as a socket of IPv6 shows it
        return self.network is None or own in self.network


@dataclass(frozen=True)
class Peer:
    """A DICOM service."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def parse_title(text: str, option: str) -> str:
    """An AE title without the blanks around it.

    Raises:
        ConfigError: it is none.
    """
    if not AE_TITLE.fullmatch(text.strip()):
        raise ConfigError(
            f"{option} {text}",
            expected="an AE title of 1 to 16 letters, digits, blanks or signs, without a backslash",
            found=repr(text),
            fix="give the title that the other side has configured",
        )
    return text.strip()


def parse_caller(text: str) -> Caller:
    """Read ``AET`` or ``AET@ADDRESS``; the address may be a network such as ``10.1.0.0/16``.

    Raises:
        ConfigError: it is written otherwise.
    """
    title, at, address = text.partition("@")
    try:
        network = ipaddress.ip_network(address, strict=False) if at else None
    except ValueError as error:
        raise ConfigError(
            f"--allow {text}",
            expected="AET or AET@ADDRESS, the address an IP address or a network",
            found=str(error),
            fix="write for example --allow PACS@10.1.2.3 or --allow PACS@10.1.0.0/16",
        ) from None
    return Caller(parse_title(title, "--allow"), network)


def parse_peer(text: str) -> Peer:
    """Read ``AET@HOST:PORT``.

    Raises:
        ConfigError: it is written otherwise.
    """
    title, _, place = text.partition("@")
    host, _, port = place.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) <= MOST_PORT):
        raise ConfigError(
            f"--send-to {text}",
            expected="AET@HOST:PORT",
            found=repr(text),
            fix="write for example --send-to PACS@10.1.2.3:104",
        )
    return Peer(parse_title(title, "--send-to"), host.strip("[]"), int(port))
