"""Bodies of nothing but commas: a few kB of gzip that become a million values, which no dialect may look at one by one."""

from __future__ import annotations

import contextlib
import gzip
import sys
from typing import Any

import pytest

from ingest.collect.paths import dialects_of
from ingest.dialects.contract import Dialect, Endpoint
from ingest.dialects.event import Limits
from ingest.dialects.request import FieldReader, Rejected
from ingest.dialects.table import table

CALLS_MAX = 30_000  # of functions: what 2,500 events take, and no more
LIMITS = Limits()
# One dialect of each class: they read bodies in the same way on all their paths.
READERS: dict[type, tuple[str, Dialect]] = {
    type(dialect): (row.path.replace("*", "x"), dialect)
    for row in table(LIMITS)
    if row.method == "POST"
    for dialect in dialects_of(row.dialect)
    if not isinstance(dialect, Endpoint)
}
AROUND = ((b"[", b"]"), (b'{"batch":[', b"]}"), (b'{"events":[', b"]}"), (b'{"data":[', b"]}"))


def calls(dialect: Dialect, path: str, body: bytes) -> int:
    """Returns how many functions are called to decode a body."""
    head = FieldReader().head(
        "POST", path.encode(), ((b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip"))
    )
    packed, found = gzip.compress(body, 1), 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal found
        found += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        with contextlib.suppress(Rejected):
            dialect.decode(head, packed)
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_a_flood_is_refused_before_it_is_looked_at(reader: type) -> None:
    """A body of so many values would hold up everybody for seconds."""
    path, dialect = READERS[reader]
    for begins, ends in AROUND:
        for value in (b"{}", b"0"):
            many = (LIMITS.body_bytes_max - 100) // (len(value) + 1)
            body = begins + (value + b",") * many + value + ends
            assert calls(dialect, path, body) < CALLS_MAX, (begins, value)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_a_flood_as_large_as_a_family_may_send_takes_no_memory(reader: type) -> None:
    """Where a family may send more than the native dialect, more than 1 MiB of it has a bound of its own."""
    path, dialect = READERS[reader]
    if dialect.limits.body_bytes_max > LIMITS.body_bytes_max:
        body = b"[" + b"{}," * (dialect.limits.body_bytes_max // 3 - 9) + b"{}]"
        assert calls(dialect, path, body) < 100
