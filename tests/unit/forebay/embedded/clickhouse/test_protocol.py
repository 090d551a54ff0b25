"""Compressed blocks and framing are tested here without an engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.embedded.clickhouse import compression
from forebay.embedded.clickhouse.handshake import framed, is_handshake
from forebay.embedded.clickhouse.sql import QueryFailed


@given(
    st.binary(max_size=100_000),
    st.sampled_from([compression.NONE, compression.LZ4, compression.ZSTD]),
    st.integers(1, 9_999),
)
def test_compressed_blocks_hold_what_was_packed(data: bytes, method: int, step: int) -> None:
    """They do, in whatever pieces they arrive."""
    blocks = b"".join(compression.packed(data, method))
    unpacker = compression.Unpacker(lambda _: None)
    assert (
        b"".join(piece for at in range(0, len(blocks), step) for piece in unpacker.feed(blocks[at : at + step])) == data
    )
    unpacker.end()


@pytest.mark.parametrize(
    ("sql", "is_one"),
    [
        (b"SELECT displayName(), version(), revision(), timezone()", True),
        (b" select\nrevision() ;", True),
        (b"SELECT version()", False),
        (b"SELECT 'revision()'", False),
        (b"SELECT revision() FROM numbers(3)", True),
        (b"INSERT INTO t SELECT revision()", False),
    ],
)
def test_what_asks_for_the_revision(sql: bytes, is_one: bool) -> None:
    """Of similar questions, only one for a row of texts and UInt32 is answered in that form."""
    assert is_handshake(sql) == is_one


@given(st.binary(max_size=60))
def test_no_other_block_is_framed(data: bytes) -> None:
    """Any block is framed whole or refused."""
    try:
        assert len(framed(data, 54460)) > len(data)
    except QueryFailed as error:
        assert error.code == 48  # noqa: PT017 - the other outcome is as good
