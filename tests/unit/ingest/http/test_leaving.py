"""Clients that leave in the middle of a request: nobody's error, so the log has no line of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from ingest.fates import Reason
from tests.support.serving import GOOD, LANES, Served, head, serving
from tests.support.waiting import until

ASKING = head(len(GOOD), "Expect: 100-continue\r\n")
SENT = {
    "after it asked": ASKING,
    "after it asked in vain": head(100_001, "Expect: 100-continue\r\n"),
    "after it asked for a miracle": head(len(GOOD), "Expect: miracles\r\n"),
    "in the body it asked about": ASKING + GOOD[:3],
    "in the body": head(len(GOOD)) + GOOD[:3],
    "before the answer": head(len(GOOD)) + GOOD,
    "in the head": ASKING[:-2],
    "after it asked for a page": ASKING.replace(b"/f ", b"/ "),
}


@pytest.fixture(params=LANES)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serving(request.param) as running:
        yield running


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
@pytest.mark.parametrize("is_reset", [True, False])
async def test_a_client_that_leaves_is_no_error(
    served: Served, sent: bytes, is_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it was, and whether it closed or reset its connection; what it began is counted as ever."""
    caplog.set_level(logging.INFO)
    for _ in range(20):  # whether the server reads or writes first is a matter of turns
        client = socket.create_connection(("127.0.0.1", served.port))
        client.sendall(sent)
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await asyncio.sleep(0)
    await until(lambda: served.lanes.connections == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert set(served.bench.reasons) <= {Reason.BODY_INCOMPLETE, Reason.BODY_TOO_LARGE}
