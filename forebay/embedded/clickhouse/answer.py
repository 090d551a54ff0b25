"""Forms an answer as ClickHouse's HTTP interface does: status, headers, errors, and the encoding that was asked for.

A statement that fails before anything was sent is answered with its error's status and the text as the whole body, in
compressed blocks if the client asked for them, because it will read it as such. A later error ends an answer that was
begun.
"""

import json
import zlib
from collections.abc import Generator
from typing import NamedTuple, Protocol
from xml.sax.saxutils import escape

import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
import zstandard

from forebay.embedded.clickhouse.compression import packed
from forebay.embedded.clickhouse.handshake import framed, is_handshake
from forebay.embedded.clickhouse.request import Call, Wire

# ClickHouse's own table; every other code is 500. Only our refusal of a full queue (202) differs: it is 503.
STATUS = {
    code: status
    for status, codes in {
        400: (
            6,
            8,
            15,
            25,
            26,
            27,
            36,
            37,
            38,
            41,
            44,
            53,
            62,
            72,
            117,
            123,
            167,
            168,
            223,
            321,
            376,
            427,
            441,
            675,
            676,
        ),
        401: (194,),
        403: (192, 193, 497, 512, 516),
        404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
        408: (159,),
        411: (381,),
        413: (229, 307),
        415: (779,),
        501: (48,),
        503: (76, 202, 209, 439),
    }.items()
    for code in codes
}

_GZIP_BITS, _DEFLATE_BITS = 31, 15
_ZLIB_LEVEL = 3  # http_zlib_compression_level's default


class Summary(NamedTuple):
    """Holds what X-ClickHouse-Summary says of a statement that has ended."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def as_header(self) -> str:
        counts = {name: str(value) for name, value in self._asdict().items()}
        return json.dumps(counts | {"total_rows_to_read": "0"})


class _Coder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4Coder:
    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._compressor.begin()

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        return self._head + bytes(self._compressor.flush())


def _coder(coding: str) -> _Coder | None:
    match coding:
        case "gzip":
            return zlib.compressobj(_ZLIB_LEVEL, wbits=_GZIP_BITS)
        case "deflate":
            return zlib.compressobj(_ZLIB_LEVEL, wbits=_DEFLATE_BITS)
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compressobj()
        case "lz4":
            return _Lz4Coder()
        case _:
            return None


class Encoder:
    """Encodes the pieces of one answer in the form that its client asked for."""

    def __init__(self, call: Call) -> None:
        self._wire = call.wire
        self._coder = _coder(call.wire.coding)
        self._is_handshake = (
            call.wire.client_revision > 0 and call.output_format == "Native" and is_handshake(call.statement.sql)
        )
        self._handshake = b""

    def steps(self, steps: Generator[bytes, None, Summary]) -> Generator[bytes, None, Summary]:
        """Yields the pieces of an engine's answer, encoded, and returns its summary. Raises QueryFailed."""
        try:
            while True:
                try:
                    chunk = next(steps)
                except StopIteration as end:
                    if last := self._end():
                        yield last
                    summary: Summary = end.value
                    return summary
                if self._is_handshake:
                    self._handshake += chunk
                elif data := self.piece(chunk):
                    yield data
        finally:
            steps.close()

    def piece(self, chunk: bytes) -> bytes:
        if self._wire.block_method:
            chunk = b"".join(packed(chunk, self._wire.block_method))
        return self._coder.compress(chunk) if self._coder else chunk

    def _end(self) -> bytes:
        last = b""
        if self._is_handshake:
            last = self.piece(framed(self._handshake, self._wire.client_revision))
        return last + self._coder.flush() if self._coder else last


def error_body(text: str, wire: Wire, output_format: str) -> bytes:
    """Returns the body of an answer that is an error: a text, unless the client wants errors in the answer's format.

    The setting http_write_exception_in_output_format asks for that.
    """
    body = text + "\n"
    if wire.has_errors_in_format:
        kind = output_format.lower()
        if kind.startswith("json") or kind == "ndjson":
            body = json.dumps({"exception": text}, ensure_ascii=False) + "\n"
        elif kind == "xml":
            body = f"<?xml version='1.0' encoding='UTF-8' ?>\n<result>\n\t<exception>{escape(text)}</exception>\n</result>\n"
    data = body.encode()
    return b"".join(packed(data, wire.block_method)) if wire.block_method else data


def trailer(text: str, tag: str) -> bytes:
    """Returns the bytes that end an answer whose query failed after its first bytes were sent."""
    data, mark = text.encode(), tag.encode()
    return b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (mark, data, len(data) + 1, mark)
