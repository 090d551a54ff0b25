"""Answers the first question of clickhouse-go, so that all others can be answered as the engine writes them.

A client that sends `client_protocol_version` reads Native blocks in the form of the revision on which both sides agree.
The engine writes the form of revision 0 alone (nothing in SQL changes that), and its blocks can't be converted from
outside: the other form has a byte between a column's type and its data, and only a reader of every type knows where a
column's data ends. So this port says that it speaks revision 0, which is true. The question (`SELECT displayName(),
version(), revision(), timezone()`) comes before the client can know that, so its answer is read in the form of the
revision that the client sent.
"""

import re

from forebay.embedded.clickhouse.sql import QueryFailed, failure

_HANDSHAKE = re.compile(rb"\s*SELECT\s(?=[^'\"`]*\brevision\(\))[\w\s(),]+;?\s*", re.IGNORECASE)
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # no overflow row, no bucket
_CUSTOM_SERIALIZATION_REVISION = 54454
_REVISION_OF_THIS_PORT = 0


def is_handshake(sql: bytes) -> bool:
    """Tells whether a statement asks for the server's revision, and otherwise only for functions without arguments."""
    return _HANDSHAKE.fullmatch(sql) is not None


def framed(block: bytes, client_revision: int) -> bytes:
    """Returns a block of one row of texts and UInt32 in the form of a revision, with this port's own revision in it.

    Raises QueryFailed for a block of other columns or rows.
    """
    reader = _Reader(block)
    columns, rows = reader.number(), reader.number()
    if rows != 1:
        raise _unexpected()
    out = bytearray(_BLOCK_INFO if client_revision else b"")
    out += bytes((columns, rows))
    for _ in range(columns):
        name, kind = reader.text(), reader.text()
        value = _value(reader, name[1:], kind[1:])
        out += name + kind
        if client_revision >= _CUSTOM_SERIALIZATION_REVISION:
            out.append(0)
        out += value
    if not reader.is_at_end:
        raise _unexpected()
    return bytes(out)


def _value(reader: "_Reader", name: bytes, kind: bytes) -> bytes:
    if kind == b"UInt32":
        value = reader.take(4)
        return _REVISION_OF_THIS_PORT.to_bytes(4, "little") if name.lower() == b"revision()" else value
    if kind == b"String":
        return reader.text()
    raise _unexpected()


def _unexpected() -> QueryFailed:
    return failure(48, "A question for revision() asks for texts and UInt32 beside it, in one row, or for nothing else")


class _Reader:
    """Reads the parts of a Native block; texts keep their length in front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        if len(taken) != count:
            raise _unexpected()
        return taken

    def number(self) -> int:
        (value,) = self.take(1)
        if value > 127:  # it has more than one byte, which no handshake needs
            raise _unexpected()
        return value

    def text(self) -> bytes:
        size = self.take(1)
        if size[0] > 127:
            raise _unexpected()
        return size + self.take(size[0])
