"""How the callers and the PACS of a node are written."""

from __future__ import annotations

import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.serving.node.peers import Peer, parse_caller, parse_peer, parse_title


def test_peers_and_callers_are_read_as_they_are_written() -> None:
    assert parse_peer("PACS@10.1.2.3:104") == Peer("PACS", "10.1.2.3", 104)
    assert parse_peer("MY PACS@[::1]:4242") == Peer("MY PACS", "::1", 4242)
    assert parse_caller("CT1").has_address("192.168.1.1")
    assert parse_caller("CT1@10.1.0.0/16").has_address("10.1.9.9")
    assert not parse_caller("CT1@10.1.2.3").has_address("10.1.2.4")


@pytest.mark.parametrize("text", ["PACS", "PACS@host", "PACS@host:0", "PACS@:104", "PACS@h:99999"])
def test_a_peer_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected AET@HOST:PORT, found"):
        parse_peer(text)


def test_titles_and_addresses_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="--allow CT1@scanner: expected AET or AET@ADDRESS"):
        parse_caller("CT1@scanner")
    for title in ("", "  ", "A" * 17, "A\\B", "Ä"):
        with pytest.raises(ConfigError, match="--ae-title .*expected an AE title of 1 to 16"):
            parse_title(title, "--ae-title")
