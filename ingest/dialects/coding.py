"""Turns the bytes of a body into bytes of JSON: undoes one content coding, within limits.

Everything is bounded before it is done. A coding never yields more than the limit, whatever
the input promises, and holds a window of at most 8 MiB while it works. A body is exactly one
gzip member, zlib stream, raw deflate stream or zstd frame: bytes after its end are refused,
because no honest client sends them, and 50 000 empty members in a megabyte would cost more
than the megabyte. All bodies of a process together are bounded by ingest/http/budget.py.

Some SDKs compress and do not say so (`sniffed`), or write JSON as base64 in a form (`from_base64`).

Not promised: that what comes out is JSON, or UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from binascii import a2b_qp
from string import hexdigits
from urllib.parse import unquote_to_bytes

import msgspec
import zstandard

from ingest.dialects.request import Rejected
from ingest.fates import Reason

ZSTD_WINDOW_MAX = 8 << 20  # what RFC 8878 asks of every decoder; a frame may ask for 2 GiB
COMMAS_MAX = 250_000  # of a body above CROWD_BYTES, which 1 MiB can't have without being a flood
ESCAPES_MAX = 200_000  # of a form
FEW = 64  # escapes, which are undone one by one
CROWD_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
GZIP = 31  # zlib's window bits: 15, and a gzip header
ZLIB = 15
RAW_DEFLATE = -15
BOM = b"\xef\xbb\xbf"
BYTES = {
    (high + low).encode(): bytes((int(high + low, 16),)) for high in hexdigits for low in hexdigits
}  # as a form escapes them
_no_escape = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_base64 = msgspec.json.Decoder(bytes).decode
JSON_TYPES = frozenset((b"application/json", b"text/plain", b""))


def text_of(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Returns a body without its content coding and without one byte-order mark. Raises Rejected."""
    if len(body) > bytes_max:
        raise Rejected(Reason.BODY_TOO_LARGE)
    if coding and body:
        body = decompressed(body, coding, bytes_max)
    if body[:3] == BOM:
        body = body[3:]
    if not body or body.isspace():
        raise Rejected(Reason.EMPTY_BODY)
    return body


def sniffed(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Returns a body as `text_of` does, undoing gzip also where no header announces it. Raises Rejected."""
    if body[:2] == GZIP_MAGIC and coding in {b"", b"identity"}:
        coding = b"gzip"
    return uncrowded(text_of(body, coding, bytes_max))


def uncrowded(text: bytes) -> bytes:
    """Returns text of JSON, or of lines of it, as it is. Raises Rejected if it has more values than any client writes.

    10 MiB of nothing but {},{} would become 3.5 million objects, of 600 MB, before anything could count them. What clients
    write has a comma every 30 bytes.
    """
    if len(text) > CROWD_BYTES and (text.count(b",") > COMMAS_MAX or text.count(b"\n") > COMMAS_MAX):
        raise Rejected(Reason.BODY_TOO_LARGE)
    return text


def few_escapes(form: bytes) -> bytes:
    """Returns a form as it is. Raises Rejected if it has more escapes than any client writes.

    Each costs half a microsecond and 100 bytes: 10 MiB of them took five seconds.
    """
    if len(form) > ESCAPES_MAX and form.count(b"%") > ESCAPES_MAX:
        raise Rejected(Reason.BODY_TOO_LARGE)
    return form


def unescaped(value: bytes) -> bytes:
    """Returns the value of a field of a form. Raises Rejected.

    Base64 of JSON has an escape in some kilobytes. To search for each takes a third of the time of urllib, which looks at
    each byte. Where there are many, quoted-printable is quicker: it has the same escapes with another sign, and is undone in C.
    """
    plain = few_escapes(value).replace(b"+", b" ")
    parts: list[bytes] = []
    first, at = 0, plain.find(b"%")
    while at >= 0 and len(parts) < 2 * FEW:
        byte = BYTES.get(plain[at + 1 : at + 3])
        if byte is not None:  # else it is no escape, and stays
            parts += plain[first:at], byte
            first = at + 3
        at = plain.find(b"%", max(first, at + 1))
    rest = plain[first:]
    if at >= 0:
        rest = unquote_to_bytes(rest) if _no_escape(rest) else a2b_qp(rest.replace(b"=", b"=3D").replace(b"%", b"="))
    return b"".join((*parts, rest))


def form_of(text: bytes, fields_max: int) -> dict[str, bytes]:
    """Returns the fields of a form that are not empty, the last of equal names. Raises Rejected if there are too many."""
    pairs = text.split(b"&", fields_max)
    if len(pairs) > fields_max:
        raise Rejected(Reason.MALFORMED_JSON)
    found = (pair.partition(b"=") for pair in pairs)
    return {unescaped(name).decode("utf-8", "replace"): unescaped(value) for name, _, value in found if value}


def opening(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Returns the first bytes of a body without its coding, announced or not; nothing of one that can't be decoded."""
    try:
        if body[:2] == GZIP_MAGIC or coding in {b"gzip", b"x-gzip"}:
            return zlib.decompressobj(GZIP).decompress(body, bytes_max)
        if coding == b"deflate":
            return zlib.decompressobj(ZLIB if _is_zlib(body) else RAW_DEFLATE).decompress(body, bytes_max)
        if coding == b"zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).stream_reader(body)
            return reader.read(bytes_max)
    except (zlib.error, zstandard.ZstdError):
        return b""
    return body[:bytes_max]


def from_base64(text: bytes) -> bytes:
    """Returns what is written in base64, of either alphabet, padded or not, and with a `+` that a form made a blank.

    Raises Rejected. What is as RFC 4648 writes it is read by a decoder of JSON, which takes half the time.
    """
    try:
        return _base64(b'"%b"' % text)
    except msgspec.DecodeError:
        pass
    plain = text.strip().replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise Rejected(Reason.CORRUPT_ENCODING) from None


def decompressed(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Returns the body without one coding. Raises Rejected if the coding is unknown, the body damaged, or the limit passed."""
    if coding in {b"", b"identity"}:
        return body
    if coding in {b"gzip", b"x-gzip"}:
        return _inflated(body, GZIP, bytes_max)
    if coding == b"deflate":
        return _inflated(body, ZLIB if _is_zlib(body) else RAW_DEFLATE, bytes_max)
    if coding == b"zstd":
        return _unframed(body, bytes_max)
    raise Rejected(Reason.UNSUPPORTED_ENCODING)


def _is_zlib(body: bytes) -> bool:
    """Looks for the header of RFC 1950. A raw stream could begin like it only with padding bits set, which no encoder does."""
    return len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _inflated(body: bytes, window_bits: int, bytes_max: int) -> bytes:
    stream = zlib.decompressobj(window_bits)
    try:
        plain = stream.decompress(body, bytes_max + 1)
    except zlib.error:
        raise Rejected(Reason.CORRUPT_ENCODING) from None
    if len(plain) > bytes_max:
        raise Rejected(Reason.BODY_TOO_LARGE)
    if not stream.eof or stream.unused_data:
        raise Rejected(Reason.CORRUPT_ENCODING)
    return plain


def _unframed(body: bytes, bytes_max: int) -> bytes:
    """Decompresses twice, because only the reader can be bounded, and only the object tells where the frame ended."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
    try:
        if len(decompressor.stream_reader(body).read(bytes_max + 1)) > bytes_max:
            raise Rejected(Reason.BODY_TOO_LARGE)
        frame = decompressor.decompressobj()
        plain = frame.decompress(body)
    except zstandard.ZstdError:
        raise Rejected(Reason.CORRUPT_ENCODING) from None
    if not frame.eof or frame.unused_data:
        raise Rejected(Reason.CORRUPT_ENCODING)
    return plain


# Half a pair of surrogates: a high one without a low one after it, a low one without a high one before.
_half = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
).sub
NEVER_UTF8 = b"\xff"


def mended(text: bytes) -> bytes:
    r"""Replaces, in JSON text, each \u0000 and each half of a surrogate pair by U+FFFD, so that its strings can be stored.

    Browsers do send halves, for example of a title that was cut in the middle of an emoji. NUL ends
    strings in too many tools behind us. Text without either is returned as it is. Raises Rejected for
    bytes that are never part of UTF-8. Calling a function for each escape would take 130 ms for 1 MiB
    of them; this takes 20.
    """
    # Most text has no escape at all, and one byte is found 5 times as fast as two.
    if b"\\" not in text or not (b"\\u0000" in text or b"\\ud" in text or b"\\uD" in text):
        return text
    if NEVER_UTF8 in text:
        raise Rejected(Reason.INVALID_UTF8)
    # With escaped backslashes out of the way, every backslash left begins an escape.
    apart = text.replace(rb"\\", NEVER_UTF8)
    return _half(rb"\\ufffd", apart).replace(rb"\u0000", rb"\ufffd").replace(NEVER_UTF8, rb"\\")
