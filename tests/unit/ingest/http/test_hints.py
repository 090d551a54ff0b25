"""Client hints and languages reach the columns through both lanes, and through a head that is known again."""

from __future__ import annotations

import pytest

from schemas.bots import BotReason
from tests.support.collecting import CHROME
from tests.support.serving import GOOD, LANES, serving

WINDOWS = CHROME.replace(b"X11; Linux x86_64", b"Windows NT 10.0; Win64; x64")
HEAD = b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nUser-Agent: %b\r\n" % WINDOWS
HINTS = (
    b'sec-ch-ua: "Chromium";v="144", "Brave";v="144"\r\nSec-CH-UA-Platform: "Windows"\r\n'
    b'SEC-CH-UA-PLATFORM-VERSION: "15.0.0"\r\nSec-CH-UA-Mobile: ?0\r\nAccept-Language: de\r\n'
)
END = b"Content-Length: %d\r\n%b\r\n" % (len(GOOD), b"%b") + GOOD


@pytest.mark.parametrize("lane", LANES)
async def test_heads_that_differ_in_hints_are_of_other_browsers(lane: str) -> None:
    """Two with hints, one without, on one connection: a head that is known again is known with its hints."""
    async with serving(lane) as served:
        hinted, bare = HEAD + HINTS + END % b"", HEAD + b"Accept-Language: de\r\n" + END % b""
        mute = HEAD + END % b"Connection: close\r\n"
        answer = await served.raw(hinted + hinted + bare + mute)
        assert answer.count(b"HTTP/1.1 202") == 4
        found = [(row.browser, row.browser_version, row.os_version, row.bot_reasons) for row in served.store.rows]
        brave = ("Brave", "144", "11", 0)
        assert found == [brave, brave, ("Chrome", "143", "10", 0), ("Chrome", "143", "10", int(BotReason.HEADERS))]
