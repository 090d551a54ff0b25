"""ingest/geography/mmdb.py beside the library of MaxMind's own: both find the same, and ours survives any damage."""

from __future__ import annotations

import random
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from mmdb_writer import MmdbF32, MmdbI32, MmdbU16, MmdbU32, MmdbU64, MmdbU128, MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]  # it has no types

from ingest.geography import mmdb
from ingest.geography.mmdb import Damaged, File
from tests.support.places import country, database

RECORDS: list[Any] = [
    {},
    {"a": "text", "ü": "ß" * 20, "empty": ""},
    {"long": "x" * 29, "longer": "x" * 300, "longest": "x" * 70_000},
    {"list": [], "lists": [[1], [[2, "x"], {"y": [True, False]}]], "many": [str(one) for one in range(400)]},
    {
        "u16": MmdbU16(65_535),
        "u32": MmdbU32(7),
        "u64": MmdbU64(1 << 63),
        "u128": MmdbU128(1 << 127),
        "zero": MmdbU32(0),
    },
    {"i32": MmdbI32(-5), "max": MmdbI32(2**31 - 1), "double": 48.137154, "float": MmdbF32(0.5)},
    {str(one): {"names": {"en": f"Name {one}"}} for one in range(60)},
    {"same": {"names": {"en": "Name 7"}}, "names": {"en": "Name 7"}},
]


def networks(chance: random.Random, version: int, count: int) -> list[str]:
    """Returns random networks of all lengths."""
    bits, kind = (32, IPv4Address) if version == 4 else (128, IPv6Address)
    found = []
    for _ in range(count):
        length = chance.randrange(4, bits + 1)
        number = chance.getrandbits(bits) >> (bits - length) << (bits - length)
        found.append(f"{kind(number)}/{length}")
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("bits", [24, 28, 32])
def test_both_readers_find_the_same(tmp_path: Path, version: int, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In random networks with records of every type, at their edges and beside them, whatever a node's size."""
    monkeypatch.setattr(mmdb, "PIECE_NODES", 100)
    chance = random.Random(version * bits)
    writer = MMDBWriter(version, "Test", ["en"], "Test", ipv4_compatible=version == 6)
    drawn = networks(chance, version, 60) + (networks(chance, 4, 30) if version == 6 else [])
    for at, network in enumerate(drawn):
        writer.insert_network(IPSet([network]), RECORDS[at % len(RECORDS)])
    path = tmp_path / "x.mmdb"
    writer.to_db_file(str(path))
    path.write_bytes(content := widened(path.read_bytes(), bits))
    ours, theirs = File(BytesIO(content)), maxminddb.open_database(path)
    assert theirs.metadata().record_size == bits
    assert (ours.type, ours.version, ours.built) == ("Test", version, theirs.metadata().build_epoch)
    found = 0
    for network in drawn:
        first, final = (int(ip_network(network)[at]) for at in (0, -1))
        kind = type(ip_network(network)[0])
        for number in {first, final, max(0, first - 1), chance.randint(first, final)}:
            address = kind(number)
            where = ours.find(address.packed)
            wanted = theirs.get(address)
            assert (None if where is None else ours.record(where)) == wanted, address
            found += wanted is not None
    assert found > 100


def widened(content: bytes, bits: int) -> bytes:
    """Returns a database of 24-bit records with larger ones."""
    if bits == 24:
        return content
    at = content.rfind(mmdb.MARKER)
    metadata = mmdb._Data(content[at + len(mmdb.MARKER) :]).value(0)
    count = metadata["node_count"]
    assert metadata["record_size"] == 24
    nodes = b""
    for node in range(count):
        left, right = (int.from_bytes(content[6 * node + side : 6 * node + side + 3]) for side in (0, 3))
        if bits == 32:
            nodes += left.to_bytes(4) + right.to_bytes(4)
        else:
            nodes += left.to_bytes(3) + bytes([left >> 24 << 4 | right >> 24]) + right.to_bytes(3)
    written = b"\xa1" + bytes([24])  # of record_size: an unsigned integer of 16 bits in one byte
    assert content.count(b"record_size" + written) == 1
    return nodes + content[6 * count :].replace(b"record_size" + written, b"record_size\xa1" + bytes([bits]))


def test_a_file_of_ipv4_has_no_ipv6(tmp_path: Path) -> None:
    """It is no fault to ask."""
    path = database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US")}, version=4)
    file = File(BytesIO(path.read_bytes()))
    assert file.find(ip_address("2001:218::").packed) is None
    at = file.find(ip_address("8.8.8.8").packed)
    assert at is not None
    assert file.record(at) == country("US")


def test_any_damage_is_an_error_and_nothing_worse(tmp_path: Path) -> None:
    """Bytes that are others, missing, or put in between: a look-up ends, with a record, none, or Damaged."""
    records = {
        "8.8.8.0/24": country("US"),
        "81.2.69.0/24": RECORDS[3],
        "2001:218::/32": RECORDS[5],
        "9.0.0.0/8": RECORDS[6],
    }
    good = database(tmp_path / "x.mmdb", records).read_bytes()
    addresses = [ip_address(one).packed for one in ("8.8.8.8", "81.2.69.160", "2001:218::", "9.9.9.9", "200.3.14.10")]
    chance = random.Random(17)
    ends = [0, 0, 0]
    for _ in range(3_000):
        content = bytearray(good)
        for _ in range(chance.choice((1, 2, 8, 40))):
            at = chance.randrange(len(content))
            match chance.randrange(6):
                case 0:
                    del content[at : at + chance.randrange(1, 30)]
                case 1:
                    content[at:at] = chance.randbytes(chance.randrange(1, 30))
                case _:
                    content[at] = chance.randrange(256)
        try:
            file = File(BytesIO(content))
        except Damaged:
            ends[0] += 1
            continue
        for packed in addresses:
            try:
                found = file.find(packed)
                _ = None if found is None else file.record(found)
                ends[1] += 1
            except Damaged:
                ends[2] += 1
    assert min(ends) > 100


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"\x20\x00", "does not end"),  # points to itself
        (b"\xe1\x41a\x20\x00", "does not end"),  # a map that holds itself
        (b"\xff\xff\xff\xff\x40", "not whole"),  # a map of 16 million values
        (b"\xe1\xa1\x05\x41a", "is no text"),  # a name that is a number: where the reader in C ended the process
        (b"\x5f\xff\xff\xff", "not whole"),  # a text of 16 MB
        (b"\x41\xff", "not whole"),  # no UTF-8
        (b"\x62\x00\x00", "another length"),  # a double of two bytes
        (b"\x00\x7f", "of type 134"),
        (b"\x00", "not whole"),
        (b"", "not whole"),
    ],
)
def test_a_record_that_is_damaged_says_how(record: bytes, why: str) -> None:
    """Without reading on, recursing without end, or taking the memory that it claims."""
    with pytest.raises(Damaged, match=why):
        mmdb._Data(record).value(0)


def test_records_that_multiply_by_pointing_end() -> None:
    """A list of lists of lists, each of 20 pointers to the next: 20 ** 8 values in 500 bytes."""
    content = b"".join(
        b"\x14\x04" + b"".join(b"\x20" + bytes([(level + 1) * 42]) for _ in range(20)) for level in range(6)
    )
    with pytest.raises(Damaged, match="does not end"):
        mmdb._Data(content + b"\x40" * 60).value(0)
