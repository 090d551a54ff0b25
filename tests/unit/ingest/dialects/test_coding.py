"""ingest/dialects/coding.py: codings undone within limits, and JSON mended."""

from __future__ import annotations

import contextlib
import gzip
import random
import tracemalloc
import zlib
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.coding import FEW, decompressed, mended, text_of, unescaped
from ingest.dialects.request import FieldReader, Headers, Rejected
from ingest.fates import Reason

LIMIT = 1 << 20
TEXT = b'{"url":"https://example.com/"}'


def raw_deflate(text: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(text) + stream.flush()


def zstd(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


CODINGS = [
    (b"gzip", gzip.compress),
    (b"x-gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", raw_deflate),
    (b"zstd", zstd),
    (b"identity", bytes),
]


def text(body: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    return text_of(body, FieldReader().head("POST", b"/f", headers).coding, LIMIT)


def refused(body: bytes, *headers: tuple[bytes, bytes]) -> Reason:
    with pytest.raises(Rejected) as caught:
        text(body, *headers)
    return caught.value.reason


@pytest.mark.parametrize(("coding", "compress"), CODINGS)
@pytest.mark.parametrize("size", [1, 30, 70_000, LIMIT])
def test_a_coding_is_undone(coding: bytes, compress: type[bytes], size: int) -> None:
    """What was compressed comes out, up to the limit exactly."""
    text = random.Random(size).randbytes(size // 2 + 1)[:size].hex().encode()[:size]
    if len(compress(text)) <= LIMIT:
        assert decompressed(compress(text), coding, LIMIT) == text


@pytest.mark.parametrize(("coding", "compress"), CODINGS[:-1])
def test_a_bomb_costs_bounded_memory(coding: bytes, compress: type[bytes]) -> None:
    """64 MiB of nothing, in 64 kB or less, is refused at the limit; the rest is never made."""
    bomb = compress(bytes(64 << 20))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(Rejected) as caught:
            decompressed(bomb, coding, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.BODY_TOO_LARGE


@pytest.mark.parametrize(("coding", "compress"), CODINGS[:-1])
def test_a_damaged_body_is_corrupt(coding: bytes, compress: type[bytes]) -> None:
    """Cut short, followed by something, or twice: a body is exactly one stream."""
    whole = compress(TEXT * 20)
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:1], whole + b"x", whole + whole, b"\0" + whole):
        with pytest.raises(Rejected) as caught:
            decompressed(damaged, coding, LIMIT)
        assert caught.value.reason is Reason.CORRUPT_ENCODING, damaged


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"zstd"]))
def test_any_bytes_decompress_or_are_refused(body: bytes, coding: bytes) -> None:
    """Nothing but Rejected comes out of a coding."""
    with contextlib.suppress(Rejected):
        assert len(decompressed(body, coding, 1_000)) <= 1_000


def test_a_zstd_frame_with_a_huge_window_is_refused() -> None:
    """128 MiB of window would be allocated for a body of a few bytes."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = stream.compress(TEXT) + stream.flush()
    assert refused(body, (b"Content-Encoding", b"zstd")) is Reason.CORRUPT_ENCODING


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"", (), Reason.EMPTY_BODY),
        (b" \n\t", (), Reason.EMPTY_BODY),
        (b"\xef\xbb\xbf", (), Reason.EMPTY_BODY),
        (gzip.compress(b"", mtime=0), ((b"Content-Encoding", b"gzip"),), Reason.EMPTY_BODY),
        (b"", ((b"Content-Encoding", b"gzip"),), Reason.EMPTY_BODY),
        (b"x" * (LIMIT + 1), (), Reason.BODY_TOO_LARGE),
        (TEXT, ((b"Content-Encoding", b"br"),), Reason.UNSUPPORTED_ENCODING),
        (
            gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0),
            ((b"Content-Encoding", b"gzip, gzip"),),
            Reason.UNSUPPORTED_ENCODING,
        ),
        (
            gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0),
            ((b"Content-Encoding", b"gzip"), (b"content-encoding", b"gzip")),
            Reason.UNSUPPORTED_ENCODING,
        ),
        (gzip.compress(TEXT, mtime=0), ((b"Content-Encoding", b"deflate"),), Reason.CORRUPT_ENCODING),
    ],
)
def test_a_body_that_holds_no_text_says_why(body: bytes, headers: Headers, reason: Reason) -> None:
    """Empty, too large, or coded in a way we don't undo."""
    assert refused(body, *headers) is reason


def test_one_byte_order_mark_is_taken_off() -> None:
    """One is an editor's habit; two are no JSON."""
    assert text(b"\xef\xbb\xbf" + TEXT) == TEXT
    assert text(b"\xef\xbb\xbf" * 2 + TEXT) == b"\xef\xbb\xbf" + TEXT
    assert text(gzip.compress(b"\xef\xbb\xbf" + TEXT, mtime=0), (b"CONTENT-ENCODING", b" GZip ")) == TEXT


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ((), b""),
        (((b"content-type", b"Application/JSON ; charset=utf-8"),), b"application/json"),
        (((b"Content-Type", b"text/plain"), (b"content-TYPE", b"text/plain")), b"text/plain"),
        (((b"Content-Type", b"text/plain"), (b"Content-Type", b"text/html")), b"text/plain, text/html"),
    ],
)
def test_the_media_type(headers: Headers, found: bytes) -> None:
    """Lower case, without parameters; two that differ are one that nobody takes."""
    assert FieldReader().head("POST", b"/f", headers).media_type == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (rb'"a\u0000b"', rb'"a\ufffdb"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ude00x"', rb'"\ufffdx"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\u0000\ude00"', rb'"\ufffd\ufffd\ufffd"'),
        (rb'"\\ud83d \\u0000"', rb'"\\ud83d \\u0000"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\u0041\n\ud7ff"', rb'"\u0041\n\ud7ff"'),
        (rb'"\ud8', rb'"\ud8'),
    ],
)
def test_escapes_are_mended(text: bytes, found: bytes) -> None:
    """NUL and halves of pairs become U+FFFD, all else stays."""
    assert mended(text) == found


@given(st.lists(st.sampled_from([r"\u0000", r"\ud83d", r"\ude00", r"\\", r"\"", r"\u00e9", "u", "d83d", "é", "0"])))
def test_mended_text_decodes(pieces: list[str]) -> None:
    """Any string of valid escapes decodes after mending, without NUL and without halves."""
    text = msgspec.json.decode(mended(f'"{"".join(pieces)}"'.encode()), type=str)
    assert "\0" not in text
    assert text.encode("utf-8") is not None


def test_text_to_mend_that_is_no_utf8_is_refused() -> None:
    """The byte that stands in for an escaped backslash must have been nothing else."""
    with pytest.raises(Rejected) as caught:
        mended(b'"\\u0000\xff"')
    assert caught.value.reason is Reason.INVALID_UTF8


@given(
    st.lists(
        st.sampled_from([b"%", b"%2", b"%3D", b"%zz", b"%0A", b"=", b"=\n", b"+", b"_", b" ", b"\r\n", b"a", b"\xff"])
    )
)
def test_escapes_of_a_form_are_undone_as_the_standard_library_does(said: list[bytes]) -> None:
    """Also what is no escape, what has a meaning in quoted-printable, and where there are many."""
    for value in (b"".join(said), b"".join(said) * FEW):
        assert unescaped(value) == unquote_to_bytes(value.replace(b"+", b" "))
