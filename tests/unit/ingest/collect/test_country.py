"""ingest/collect/country.py: a CDN's word, or a database's."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from ingest.collect.client_ip import Client, parsed
from ingest.collect.country import Countries


def client(address: str, *, is_proxied: bool = False) -> Client:
    found = parsed(address)
    assert found
    return Client(found, is_proxied)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"DE", "DE"),
        (b" de ", "DE"),
        (b"XX", ""),
        (b"T1", ""),
        (b"", ""),
        (b"DEU", ""),
        (b"D1", ""),
        (b"\xc4\xd6", ""),
        (b"DE, FR", ""),
    ],
)
def test_a_trusted_header_is_read(said: bytes, code: str) -> None:
    """Two letters are a country; unknown, Tor and nonsense are none."""
    assert Countries(header="CF-IPCountry").of(client("203.0.113.7", is_proxied=True), {b"cf-ipcountry": said}) == code


def test_a_header_of_anyone_is_not() -> None:
    """Only a trusted proxy says where its clients are."""
    assert Countries(header="CF-IPCountry").of(client("203.0.113.7"), {b"cf-ipcountry": b"DE"}) == ""


def control(kind: int, size: int) -> bytes:
    """A MaxMind-format control byte, of types whose number fits and sizes below 29."""
    return bytes((kind << 5 | size,)) if kind < 8 else bytes((size, kind - 7))


def value(said: Any) -> bytes:
    """Strings, lists and maps in the format's data section."""
    if isinstance(said, dict):
        return control(7, len(said)) + b"".join(value(key) + value(item) for key, item in said.items())
    if isinstance(said, str):
        return control(2, len(said)) + said.encode()
    if isinstance(said, list):
        return control(11, len(said)) + b"".join(value(item) for item in said)
    assert isinstance(said, bytes)
    return said  # encoded already


def number(kind: int, said: int) -> bytes:
    """An unsigned integer of 16 (kind 5), 32 (6) or 64 bits (9)."""
    size = {5: 2, 6: 4, 9: 8}[kind]
    return control(kind, size) + said.to_bytes(size, "big")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A real database of three networks, written here: a trie of 24-bit records, then data."""
    entries = {
        "203.0.113.0/24": {"country": {"iso_code": "DE"}},
        "2001:db8::/32": {"country": {"iso_code": "fr"}},
        "198.51.100.0/24": {"continent": {"code": "EU"}},
    }
    nodes: list[list[tuple[str, int]]] = [[("none", 0), ("none", 0)]]
    data = b""
    for network, said in entries.items():
        at = ip_network(network)
        length = at.prefixlen + (96 if at.version == 4 else 0)
        bits = f"{int(at.network_address):0128b}"[:length]
        node = 0
        for bit in map(int, bits[:-1]):
            if nodes[node][bit][0] == "none":
                nodes.append([("none", 0), ("none", 0)])
                nodes[node][bit] = ("node", len(nodes) - 1)
            node = nodes[node][bit][1]
        nodes[node][int(bits[-1])] = ("data", len(data))
        data += value(said)
    count = len(nodes)
    base = {"none": count, "node": 0, "data": count + 16}
    tree = b"".join((base[kind] + at).to_bytes(3, "big") for pair in nodes for kind, at in pair)
    metadata = {
        "node_count": number(6, count), "record_size": number(5, 24), "ip_version": number(5, 6),
        "database_type": "Test", "languages": ["en"], "description": {"en": "Test"}, "build_epoch": number(9, 1),
        "binary_format_major_version": number(5, 2), "binary_format_minor_version": number(5, 0),
    }  # fmt: skip
    path = tmp_path / "country.mmdb"
    path.write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + value(metadata))
    return path


@pytest.mark.parametrize(
    ("address", "code"),
    [("203.0.113.7", "DE"), ("2001:db8::1", "FR"), ("198.51.100.1", ""), ("192.0.2.1", ""), ("::1", "")],
)
def test_a_database_knows_addresses(database: Path, address: str, code: str) -> None:
    """A country, a network without one, and an address nobody knows."""
    countries = Countries(database=str(database))
    assert countries.of(client(address), {}) == code
    assert countries.of(client(address), {}) == code


def test_a_database_that_is_none_stops_the_start(tmp_path: Path) -> None:
    """A setting that can't be honoured is no reason to guess."""
    with pytest.raises(FileNotFoundError):
        Countries(database=str(tmp_path / "nothing.mmdb"))
    (tmp_path / "bad.mmdb").write_bytes(b"bad")
    with pytest.raises(maxminddb.InvalidDatabaseError):
        Countries(database=str(tmp_path / "bad.mmdb"))
