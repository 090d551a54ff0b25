"""Knows a head again by its bytes, so that the strict reader judges an equal head once in a while, and not each time.

Two heads of one client differ in the digits of Content-Length, if at all. So a head is remembered as
its bytes without these digits, together with its peer: what the strict reader (http1.py) said of it,
and what the collector knows of its sender. Only a head with the same bytes from the same peer is
known again, so whatever the strict reader refuses is refused, however often it comes.

Nothing that ends is remembered: no salt, no visitor, no site. What is remembered follows from the
bytes, the peer and the settings that the process was started with, so there is nothing to drop when
a site or a salt changes. It does hold addresses, in headers and of peers. Therefore it forgets
them: a head is forgotten 10 minutes after it was read, also when it is in use, and earlier when the
heads have no room (BYTES_MAX). A head with credentials is never remembered.

Not promised: speed for heads that all differ. Those are read as before, for 2 us more: to look whether they may be
remembered, and to remember them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from ingest.collect.exchange import Sender
from ingest.http.http1 import LENGTH_DIGITS_MAX, Framed, HeadReader

GENERATION_SECONDS = 290  # two of them, and two late ticks, are less than 10 minutes
BYTES_MAX = 8 << 20  # 1 000 to 2 000 heads of browsers
HEAD_BYTES_MAX = 4_096  # of one head that is remembered; a few longer ones would push out all others
WEIGHT = 1_200  # bytes that a remembered head takes beside its text and its fields: the key, the sender, the dict
LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")  # as browsers write it, and as HTTP/2 has it
LENGTH_NAME = len(LENGTHS[0])
CREDENTIALS = frozenset(
    (b"authorization", b"cookie", b"openpanel-client-secret", b"proxy-authorization", b"x-write-key")
)

Key = tuple[str, bytes]  # the peer, and the head without the digits of its length


class Heads:
    """Reads heads by the strict reader, and remembers them.

    Two generations share the bytes. The young one takes what is read; after GENERATION_SECONDS, or when it holds half
    of BYTES_MAX, it becomes the old one, and the old one is forgotten.
    """

    def __init__(
        self,
        reader: HeadReader,
        sender: Callable[[str, Mapping[bytes, bytes]], Sender],
        *,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._reader = reader
        self._sender = sender
        self._now = now
        self._young: dict[Key, Framed] = {}
        self._old: dict[Key, Framed] = {}
        self._weight = 0  # of the young, in bytes
        self._since = now()

    def read(self, raw: bytes, peer: str) -> tuple[Framed, int] | None:
        """Returns what `HeadReader.read` returns for this head. Raises Malformed, as it does."""
        at = raw.find(LENGTHS[0])
        if at < 0:
            at = raw.find(LENGTHS[1])
            if at < 0:
                return self._reader.read(raw)
        at += LENGTH_NAME
        end = raw.find(b"\r\n", at)
        digits = raw[at:end]
        if not digits.isdigit() or end - at > LENGTH_DIGITS_MAX:
            return self._reader.read(raw)  # which knows what to say of it
        # The first length's line can't arise from leaving out digits, as each "\r\n" begins where it did. So heads that
        # differ in more than digits differ here.
        key = (peer, raw[:at] + raw[end:])
        known = self._young.get(key) or self._old.get(key)
        if known is not None:
            known.weight = 0  # it is shared, and bounded here
            return known, int(digits)
        read = self._reader.read(raw)
        if read is not None and _may_be_kept(read[0], raw):
            self._remember(key, read[0], peer)
        return read

    def tick(self) -> None:
        """Forgets what is too old. Call it each second."""
        if self._now() - self._since >= GENERATION_SECONDS:
            self._age()

    def forget(self) -> None:
        """Forgets all heads, because what is known of their senders may be another than before."""
        self._age()
        self._age()

    def _remember(self, key: Key, framed: Framed, peer: str) -> None:
        try:
            framed.asked.sender = self._sender(peer, framed.asked.head.fields)
        except Exception:  # the collector meets the same fault, and counts it
            return
        framed.asked.is_known = True
        weight = 2 * len(key[1]) + framed.weight + WEIGHT
        if self._weight + weight > BYTES_MAX // 2:
            self._age()
        self._weight += weight
        self._young[key] = framed

    def _age(self) -> None:
        self._old, self._young = self._young, {}
        self._weight = 0
        self._since = self._now()


def _may_be_kept(framed: Framed, raw: bytes) -> bool:
    """Returns whether a head may be remembered: it is short, has no query that could be another each time, and no secret."""
    head = framed.asked.head
    if len(raw) > HEAD_BYTES_MAX or head.query:
        return False
    return not any(name.lower() in CREDENTIALS for name, _ in head.headers)
