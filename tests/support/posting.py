"""Posts one event at a time as several clients, each event with an id of its own, and knows what came of it.

Faults are counted by their kind. `refused`, `reset` and `cut` (closed without an answer) on a connection's first
request, or on a busy connection, are the server's fault. On a connection that was idle they are HTTP's own race: the
server closed it while the request was on its way. A connection may have been idle for the server since the request before was
written, so it counts from there: a machine that pauses this program, or the server, makes no busy connection of an idle one.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.system import System

ANSWER_SECONDS = 60  # generous: a machine that does other things
STORED_SECONDS = 120
IDLE_SECONDS = 0.3  # a connection that waited so long for its next request is idle


@dataclass
class Posted:
    """Counts what became of all requests of one test."""

    url: str
    prefix: str
    visitors: int = 1  # who take turns, each a browser of its own
    acknowledged: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)  # "reset on first", "cut on busy", "cut on idle" ...
    longest: float = 0.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def sent(self) -> int:
        return self.statuses.total() + self.faults.total()

    def at_fault(self) -> dict[str, int]:
        """Returns the faults that a restart must not cause."""
        return {kind: count for kind, count in self.faults.items() if not kind.endswith("idle")}

    def next_id(self) -> str:
        return f"{self.prefix}-{next(self._numbers)}"

    def agent(self) -> str:
        """Returns the User-Agent of the visitor whose turn it is."""
        return f"posting/{self.sent % self.visitors}"


class Client:
    """Keeps at most one connection to the server."""

    def __init__(self, posted: Posted, *, is_kept: bool) -> None:
        self._posted = posted
        self._is_kept = is_kept
        host, _, port = posted.url.removeprefix("http://").rpartition(":")
        self._at = (host, int(port))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._written_at = 0.0
        self._kind = "first"

    async def post(self) -> int:
        """Posts one more event. Returns the status of the answer; 0 if there was none."""
        posted = self._posted
        name = posted.next_id()
        began = time.monotonic()
        if self._streams is not None and self._streams[0].at_eof():  # its end was seen in time
            await self.close()
        self._kind = "first"  # until it is written on a connection that there was
        status, is_last = 0, True
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, is_last = await self._exchange(name)
        except ConnectionRefusedError:
            posted.faults[f"refused on {self._kind}"] += 1
        except ConnectionError:
            posted.faults[f"reset on {self._kind}"] += 1
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            posted.faults[f"cut on {self._kind}"] += 1
        except TimeoutError:
            posted.faults[f"silent on {self._kind}"] += 1
        else:
            posted.statuses[status] += 1
            posted.longest = max(posted.longest, time.monotonic() - began)
        (posted.acknowledged if status == 202 else posted.unclear).append(name)
        if is_last:
            await self.close()
        return status

    async def _exchange(self, name: str) -> tuple[int, bool]:
        """Returns the answer's status, and whether the connection ends with it."""
        is_first = self._streams is None
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._at)
        reader, writer = self._streams
        body = json.dumps({"url": "https://posting.example/page", "id": name}).encode()
        kept = "keep-alive" if self._is_kept else "close"
        head = f"POST /f HTTP/1.1\r\nHost: {self._at[0]}\r\nContent-Type: application/json\r\nConnection: {kept}\r\n"
        head += f"User-Agent: {self._posted.agent()}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        before, self._written_at = self._written_at, time.monotonic()
        if not is_first:
            self._kind = "idle" if self._written_at - before > IDLE_SECONDS else "busy"
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        return int(answer.split()[1]), not self._is_kept or b"connection: close" in answer

    async def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def keep_posting(posted: Posted, *, is_kept: bool, pause: float, until: asyncio.Event) -> None:
    """Posts as one client, one event after another with a pause between them."""
    client = Client(posted, is_kept=is_kept)
    while not until.is_set():
        await client.post()
        await asyncio.sleep(pause)
    await client.close()


async def assert_once(system: System, posted: Posted) -> None:
    """Asserts that every acknowledged event is stored once, and no event that was not sent."""
    where = f"startsWith(event_id, '{posted.prefix}-')"
    known = set(posted.acknowledged)
    assert len(known) == len(posted.acknowledged)
    deadline = time.monotonic() + STORED_SECONDS
    while True:
        found = [str(name) for (name,) in await system.ask(f"SELECT event_id FROM forebay.events WHERE {where}")]
        lost = known - set(found)
        if not lost or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    assert (len(lost), len(found) - len(set(found))) == (0, 0), f"lost {sorted(lost)[:5]}\n{system.tail()}"
    assert set(found) <= known | set(posted.unclear)
