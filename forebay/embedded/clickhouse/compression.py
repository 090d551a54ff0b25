"""Packs and unpacks ClickHouse's compressed blocks, which `compress=1` and `decompress=1` ask for.

A block is a CityHash128 of all that follows (16 bytes), the method (1), the size of the block from the method on (4),
the size of the data before compression (4), and the data. Numbers are little-endian. The hash is CityHash 1.0.2, as in
ClickHouse.
"""

import struct
from collections.abc import Callable, Iterator

import lz4.block  # type: ignore[import-untyped]  # it publishes no annotations
import zstandard
from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]  # it publishes no annotations

from forebay.embedded.clickhouse.sql import failure

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90
METHODS = {"LZ4": LZ4, "ZSTD": ZSTD, "NONE": NONE}
# ClickHouse's max_compress_block_size, because a reader makes room for a whole block.
BLOCK_BYTES = 1 << 20
ZSTD_LEVEL = 1
_HEADER = struct.Struct("<BII")
_CHECKSUM_BYTES = 16
_LOW = (1 << 64) - 1


def packed(data: bytes, method: int = LZ4) -> Iterator[bytes]:
    """Yields the data in compressed blocks of at most BLOCK_BYTES before compression."""
    for start in range(0, len(data), BLOCK_BYTES):
        piece = data[start : start + BLOCK_BYTES]
        if method == LZ4:
            body = lz4.block.compress(piece, store_size=False)
        elif method == ZSTD:
            body = zstandard.compress(piece, ZSTD_LEVEL)
        else:
            body = piece
        block = _HEADER.pack(method, _HEADER.size + len(body), len(piece)) + body
        yield _checksum(block) + block


class Unpacker:
    """Unpacks a stream of compressed blocks that comes in pieces of any size.

    `take` is told the size of a block's data before room is made for it, and may refuse it.
    """

    def __init__(self, take: Callable[[int], None]) -> None:
        self._take = take
        self._rest = bytearray()
        self._is_counted = False  # whether `take` was told of the first block in it

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the data of each block that is whole. Raises QueryFailed for bytes that are no such block."""
        self._rest += data
        while len(self._rest) >= _CHECKSUM_BYTES + _HEADER.size:
            method, size, data_size = _HEADER.unpack_from(self._rest, _CHECKSUM_BYTES)
            if method not in METHODS.values() or size < _HEADER.size:
                raise failure(89, f"Unknown compression method {method:#04x}: the body is not in compressed blocks")
            if not self._is_counted:
                if size > data_size + data_size // 8 + 4096:  # more than what can't be compressed takes
                    raise failure(271, f"Cannot decompress: {size} bytes that hold {data_size}")
                self._take(data_size)
                self._is_counted = True
            if len(self._rest) < _CHECKSUM_BYTES + size:
                return
            block = bytes(self._rest[_CHECKSUM_BYTES : _CHECKSUM_BYTES + size])
            if _checksum(block) != self._rest[:_CHECKSUM_BYTES]:
                raise failure(40, "Checksum doesn't match: the body is corrupted")
            del self._rest[: _CHECKSUM_BYTES + size]
            self._is_counted = False
            yield _unpacked(block[_HEADER.size :], method, data_size)

    def end(self) -> None:
        """Raises QueryFailed if the stream ended within a block."""
        if self._rest:
            raise failure(271, "Cannot decompress: the body ends within a compressed block")


def _unpacked(body: bytes, method: int, size: int) -> bytes:
    try:
        if method == LZ4:
            data: bytes = lz4.block.decompress(body, uncompressed_size=size)
        elif method == ZSTD:
            data = zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
        else:
            data = body
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError) as error:
        raise failure(271, f"Cannot decompress: {error}") from error
    if len(data) != size:
        raise failure(271, f"Cannot decompress: a block holds {len(data)} bytes and says {size}")
    return data


def _checksum(block: bytes) -> bytes:
    value = CityHash128(block)
    return struct.pack("<QQ", value >> 64, value & _LOW)
