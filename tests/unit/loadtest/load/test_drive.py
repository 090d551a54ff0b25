"""The driver against real servers on loopback: every event's fate is known and told as it is."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.load import acklog
from loadtest.load.account import Account
from loadtest.load.acklog import AckLog
from loadtest.load.drive import Driver, ServerUnreachableError
from loadtest.load.generate import Plan, requests
from loadtest.load.target import Target

Answer = Callable[[web.Request, list[str]], Awaitable[web.StreamResponse]]
# 100 requests in a fifth of a second: enough for several on each of four connections.
PLAN = Plan(rate=500, duration_s=0.2, arrivals="fixed")


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Returns a port that is bound, so that nobody else gets it, and does not listen, so that nothing answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Runs a server that reads the ids of each body and answers as it is told; yields its URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        return await answer(request, [event["id"] for event in (body if isinstance(body, list) else [body])])

    app = web.Application()
    app.router.add_post("/f", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Outcome:
    """Holds a finished run: its driver and account, and the log as read back from the disk."""

    def __init__(self, driver: Driver, account: Account, log: Path) -> None:
        self.driver = driver
        self.account = account
        self.total = account.total()
        self.acknowledged, self.unclear, self.refused = (acklog.read(path) for path in acklog.paths(log))


async def drive(
    url: str, log: Path, plan: Plan = PLAN, *, timeout_s: float = 60.0, resends: int = 0, connections: int = 4
) -> Outcome:
    """Drives one run to its end."""
    with AckLog(log) as writer:
        account = Account(writer)
        driver = Driver(Target.of(url), account, connections=connections, timeout_s=timeout_s, resends=resends)
        async with asyncio.timeout(60):
            await driver.run(requests(plan))
    return Outcome(driver, account, log)


def offered(plan: Plan = PLAN) -> set[str]:
    return {name for request in requests(plan) for name in request.ids}


def cut(request: web.Request) -> web.Response:
    """Ends the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_what_is_acknowledged_is_logged_once(tmp_path: Path) -> None:
    """The server's own list, the log and the counters agree to the last id."""
    served: list[str] = []

    async def accept(request: web.Request, ids: list[str]) -> web.Response:
        assert request.headers["X-Forwarded-For"]
        served.extend(ids)
        return web.Response(status=202)

    async with serving(accept) as url:
        outcome = await drive(url, tmp_path / "log")
    assert sorted(outcome.acknowledged) == sorted(served) == sorted(offered())
    assert outcome.total.acknowledged == outcome.account.log.logged == 100
    assert outcome.total.sent == outcome.total.answered == 100
    assert outcome.unclear == outcome.refused == []
    assert outcome.account.measured.latency.count == 100


async def test_events_named_as_rejected_are_not_owed(tmp_path: Path) -> None:
    """Of an array, the events that the answer names are refused, and the others are acknowledged."""
    plan = Plan(rate=500, duration_s=0.2, bodies=((10, 1.0),))
    rejected: set[str] = set()

    async def accept(_: web.Request, ids: list[str]) -> web.Response:
        rejected.update((ids[3], ids[9]))
        named = [{"index": 3, "reason": "url_too_long"}, {"index": 9, "reason": "too_old"}]
        return web.json_response({"accepted": 8, "rejected": named}, status=202)

    async with serving(accept) as url:
        outcome = await drive(url, tmp_path / "log", plan)
    assert rejected
    assert set(outcome.refused) == rejected
    assert set(outcome.acknowledged) == offered(plan) - rejected
    assert outcome.total.rejected == len(rejected)


@pytest.mark.parametrize("body", ["", "ok", "[1]", '{"rejected": "all"}'])
async def test_an_array_answered_without_names_is_owed_whole(tmp_path: Path, body: str) -> None:
    """A 2xx is a promise; an odd body is counted and excuses nothing."""
    plan = Plan(rate=500, duration_s=0.1, bodies=((10, 1.0),))

    async def accept(_: web.Request, ids: list[str]) -> web.Response:
        return web.Response(status=202, text=body)

    async with serving(accept) as url:
        outcome = await drive(url, tmp_path / "log", plan)
    assert set(outcome.acknowledged) == offered(plan)
    assert outcome.total.odd_answers == (outcome.total.answered if body else 0)


@pytest.mark.parametrize("status", [400, 403, 413, 429, 500, 503])
async def test_a_refusal_is_counted_by_its_status(tmp_path: Path, status: int) -> None:
    """Nothing is owed for it, and it is not in the latencies."""

    async def refuse(_: web.Request, ids: list[str]) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "1"})

    async with serving(refuse) as url:
        outcome = await drive(url, tmp_path / "log")
    assert set(outcome.refused) == offered()
    assert outcome.total.refused == {str(status): 100}
    assert outcome.account.measured.latency.count == 0, "a fast refusal is no latency to be proud of"


async def test_a_cut_connection_leaves_its_request_unclear(tmp_path: Path) -> None:
    """Only that request is unclear: the connection is opened again for the others."""
    cuts: list[str] = []

    async def cut_some(request: web.Request, ids: list[str]) -> web.Response:
        if int(ids[0][0], 16) % 4:
            return web.Response(status=202)
        cuts.extend(ids)
        return cut(request)

    async with serving(cut_some) as url:
        outcome = await drive(url, tmp_path / "log")
    assert cuts
    assert sorted(outcome.unclear) == sorted(cuts)
    assert set(outcome.acknowledged) == offered() - set(cuts)
    assert outcome.total.unclear == {"cut": len(cuts)}
    assert outcome.driver.reconnects >= len(cuts)


async def test_no_answer_in_time_is_unclear_and_slow(tmp_path: Path) -> None:
    """The time waited is part of the latency, because leaving it out would flatter."""
    plan = Plan(rate=10, duration_s=0.3, arrivals="fixed")
    forever = asyncio.Event()

    async def hang(_: web.Request, ids: list[str]) -> web.Response:
        await forever.wait()
        return web.Response(status=202)

    async with serving(hang) as url:
        outcome = await drive(url, tmp_path / "log", plan, timeout_s=1.0)
        forever.set()
    assert set(outcome.unclear) == offered(plan)
    assert outcome.total.unclear == {"timeout": 3}
    assert outcome.account.measured.latency.percentile_us(50) >= 1_000_000


async def test_latency_counts_from_when_a_request_was_due(tmp_path: Path) -> None:
    """With one connection, 30 requests in 0.1 s and 20 ms each, the last waits half a second for the others."""
    plan = Plan(rate=300, duration_s=0.1, arrivals="fixed")

    async def slow(_: web.Request, ids: list[str]) -> web.Response:
        answer: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, answer.set_result, web.Response(status=202))
        return await answer

    async with serving(slow) as url:
        outcome = await drive(url, tmp_path / "log", plan, connections=1)
    measured = outcome.account.measured
    assert measured.service.percentile_us(50) < 100_000
    assert measured.latency.max_us > 450_000
    assert measured.waited > 20, "it says that connections were short"
    assert measured.lag.percentile_us(50) < 20_000, "and that it was not its own fault"


async def test_resends_carry_the_same_ids_until_they_are_taken(tmp_path: Path) -> None:
    """After a shed (Retry-After) or a cut a request is sent again, as by an SDK, and logged once, with the last
    outcome.
    """
    plan = Plan(rate=100, duration_s=0.2)
    tries: dict[str, int] = {}

    async def third_time(request: web.Request, ids: list[str]) -> web.Response:
        tries[ids[0]] = tries.get(ids[0], 0) + 1
        if tries[ids[0]] == 1:
            return web.Response(status=503, headers={"Retry-After": "0"})
        return web.Response(status=202)

    async with serving(third_time) as url:
        outcome = await drive(url, tmp_path / "log", plan, resends=2)
    assert tries == dict.fromkeys(offered(plan), 2)
    assert sorted(outcome.acknowledged) == sorted(offered(plan))
    assert outcome.refused == outcome.unclear == []
    assert outcome.total.resent == len(tries)


async def test_resends_end(tmp_path: Path) -> None:
    """After so many tries the last answer decides."""
    plan = Plan(rate=100, duration_s=0.1)
    tries: list[str] = []

    async def never(_: web.Request, ids: list[str]) -> web.Response:
        tries.extend(ids)
        return web.Response(status=503, headers={"Retry-After": "0"})

    async with serving(never) as url:
        outcome = await drive(url, tmp_path / "log", plan, resends=2)
    assert sorted(outcome.refused) == sorted(offered(plan))
    assert len(tries) == 3 * len(offered(plan))


@pytest.mark.parametrize("seed", range(4))
async def test_every_event_has_one_fate_and_it_is_the_true_one(tmp_path: Path, seed: int) -> None:
    """A server answers in every way: the three files of the log say exactly what it did."""
    plan = Plan(rate=2_000, duration_s=0.3, seed=seed)
    did: dict[str, str] = {}
    mood = random.Random(seed)

    async def moody(request: web.Request, ids: list[str]) -> web.Response:
        choice = mood.choice(["202", "202", "202", "400", "503", "cut", "close"])
        did.update(dict.fromkeys(ids, choice))
        if choice == "cut":
            return cut(request)
        response = web.Response(status=202 if choice == "close" else int(choice))
        if choice == "close":
            response.force_close()
        return response

    async with serving(moody) as url:
        outcome = await drive(url, tmp_path / "log", plan, connections=8)
    assert set(outcome.acknowledged) == {name for name, choice in did.items() if choice in {"202", "close"}}
    assert set(outcome.refused) == {name for name, choice in did.items() if choice in {"400", "503"}}
    assert set(outcome.unclear) == {name for name, choice in did.items() if choice == "cut"}
    logged = outcome.acknowledged + outcome.refused + outcome.unclear
    assert len(logged) == len(set(logged)) == len(offered(plan))


async def test_a_server_that_is_gone_leaves_the_rest_unsent(tmp_path: Path) -> None:
    """Nothing waits for ever: requests without a connection in time are counted, and are in no file."""
    plan = Plan(rate=200, duration_s=0.6, arrivals="fixed")
    served: list[str] = []
    ten_served = asyncio.Event()

    async def accept(_: web.Request, ids: list[str]) -> web.Response:
        served.extend(ids)
        if len(served) >= 10:
            ten_served.set()
        return web.Response(status=202)

    async with asyncio.TaskGroup() as group, serving(accept) as url:
        run = group.create_task(drive(url, tmp_path / "log", plan, timeout_s=0.2))
        await ten_served.wait()
    outcome = run.result()
    assert outcome.total.unsent > 50
    assert len(outcome.acknowledged) + len(outcome.unclear) + outcome.total.unsent == 120
    assert outcome.account.measured.latency.max_us >= 200_000


async def test_a_server_that_was_never_there_is_said_so(tmp_path: Path, unused_port: int) -> None:
    """Without one connection there is no run to report."""
    with AckLog(tmp_path / "log") as writer:
        driver = Driver(Target.of(f"http://127.0.0.1:{unused_port}"), Account(writer), opening_s=0.2)
        with pytest.raises(ServerUnreachableError):
            await driver.run(requests(PLAN))


async def test_stopped_it_waits_for_the_answers_under_way(tmp_path: Path) -> None:
    """Sent requests have their fate in the log, and the others do not count as offered."""
    served: list[str] = []

    async def accept(_: web.Request, ids: list[str]) -> web.Response:
        served.extend(ids)
        if len(served) == 20:
            driver.stop()
        return web.Response(status=202)

    async with serving(accept) as url:
        with AckLog(tmp_path / "log") as writer:
            driver = Driver(Target.of(url), Account(writer), connections=4)
            await driver.run(requests(Plan(rate=200, duration_s=600)))
    assert sorted(acklog.read(tmp_path / "log")) == sorted(served)
    assert 20 <= len(served) < 30
    assert driver.was_stopped


async def test_a_fault_in_the_account_ends_the_run(tmp_path: Path) -> None:
    """A number that can't be kept must not be reported."""

    class Broken(Account):
        def acknowledged(self, *_: object) -> None:
            raise LookupError("broken")

    async def accept(_: web.Request, ids: list[str]) -> web.Response:
        return web.Response(status=202)

    async with serving(accept) as url:
        with AckLog(tmp_path / "log") as writer:
            driver = Driver(Target.of(url), Broken(writer), connections=1)
            with pytest.raises(LookupError):
                await driver.run(requests(PLAN))


@pytest.mark.parametrize("fsync", [False, True])
def test_the_log_reads_back_what_was_written(tmp_path: Path, fsync: bool) -> None:
    """Each fate has its file, a new run replaces the old log, and a last line that was cut off is no id."""
    path = tmp_path / "log"
    path.write_text("old\n")
    with AckLog(path, fsync=fsync) as log:
        log.acknowledged(["a", "b"])
        log.unclear(["c"])
        log.write(log.take())
        assert log.logged == 2
        log.acknowledged(["d"])
        log.refused(["e"])
        assert log.logged == 2
    assert [acklog.read(one) for one in acklog.paths(path)] == [["a", "b", "d"], ["c"], ["e"]]
    path.write_text("a\nb\nhalf-an-i")
    assert acklog.read(path) == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", b"POST /f HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"),
        ("http://example.com/", b"POST /f HTTP/1.1\r\nHost: example.com:80\r\n"),
        ("http://[::1]:9/api/event", b"POST /api/event HTTP/1.1\r\nHost: [::1]:9\r\n"),
    ],
)
def test_a_target_is_read_from_its_url(url: str, expected: bytes) -> None:
    """It is the native route unless the URL names another; IPv6 has its brackets."""
    assert Target.of(url).head() == expected


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://example.com", "http://"])
def test_what_is_no_target_is_refused(url: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match="not an http"):
        Target.of(url)
