"""dashboard/ask/clickhouse.py on the real engine: values arrive as they are, limits hold, and every error has its meaning."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dashboard.ask.clickhouse import ClickHouse
from dashboard.catalogue.contract import Away, Broken, Busy, Refused, Statement, TooMuch, TooSlow
from forebay.clickhouse import ClickHouse as Tools
from tests.support.engine import EngineProcess
from tests.support.waiting import until

NASTY = (
    "",
    "'",
    "''; DROP TABLE forebay.events; --",
    "\\",
    "\\'",
    "\\\\'",
    "a\tb\nc\rd\0e",
    "\\n\\t",
    "{p:String}",
    "\N{SNOWMAN}\N{PILE OF POO}",
    "\x01\x7f\x80\xff",
    '--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 2',
    "NULL",
    "\\N",
    "[1,2]",
)


class Engine(EngineProcess):
    """Runs an engine with a reader's socket, and with the flusher's, through which `storing` sees what runs."""

    def __init__(self, data: Path) -> None:
        self.reader, flusher = data / "reader.sock", data / "flusher.sock"
        super().__init__(data, "--reader-socket", str(self.reader), "--flusher-socket", str(flusher))
        self.storing = Tools(f"unix://{flusher}")

    def runs(self, word: str) -> bool:
        """Tells whether a question with this word runs now."""
        sql = "SELECT count() FROM system.processes WHERE query LIKE {word:String} AND query NOT LIKE '%system.processes%'"
        return self.storing.run(sql, {"word": f"%{word}%"}).strip() != "0"


@pytest.fixture(scope="module")
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Starts an engine that this module may stop and go on with."""
    process = Engine(tmp_path_factory.mktemp("asked"))
    yield process
    process.close()


@pytest.fixture
async def clickhouse(own_engine: Engine) -> AsyncIterator[ClickHouse]:
    """Returns what asks it through the reader's socket."""
    asking = ClickHouse(f"unix://{own_engine.reader}", user="default", password="", seconds=2, rows_max=1_000)
    yield asking
    await asking.close()


def asked(sql: str, *, seconds: int = 10, **parameters: Any) -> Statement:
    return Statement(file="test", sql=sql, parameters=parameters, seconds=seconds)


@pytest.mark.parametrize("text", NASTY)
async def test_a_text_arrives_as_it_is(clickhouse: ClickHouse, text: str) -> None:
    """By itself and in a list: nothing of it is read as SQL, or as a part of the request."""
    sql = "SELECT {p:String} AS p, {q:Array(String)} AS q, length({p:String}) AS bytes"
    found = await clickhouse(asked(sql, p=text, q=[text, "x", text]))
    assert found.columns == ("p", "q", "bytes")
    assert found.rows == [[text, [text, "x", text], len(text.encode())]]


async def test_answers_have_pythons_types(clickhouse: ClickHouse) -> None:
    """Whole numbers of any size, decimals as texts, null for what is no number, tuples as lists."""
    sql = (
        "SELECT 18446744073709551615 AS big, toDecimal64('12.50', 2) AS money, nan AS none, 1 / 0 AS endless, (1, 'a') AS pair,"
        " toDate('2026-03-01') AS day, map('EUR', toDecimal64('1.5', 1)) AS sums, {n:UInt32} AS n, {l:Array(UInt16)} AS l"
    )
    found = await clickhouse(asked(sql, n=7, l=[1, 2]))
    assert found.rows == [[18446744073709551615, "12.5", None, None, [1, "a"], "2026-03-01", {"EUR": "1.5"}, 7, [1, 2]]]
    assert (await clickhouse(asked("SELECT number FROM numbers(10)"))).read_rows == 10
    assert (await clickhouse(asked("SELECT 1 AS x WHERE 0"))).rows == []


async def test_half_a_character_is_refused(clickhouse: ClickHouse) -> None:
    """A lone surrogate is no text, and can't be sent."""
    with pytest.raises(Refused, match="half a character"):
        await clickhouse(asked("SELECT {p:String}", p="\ud800"))


@pytest.mark.parametrize(
    ("sql", "meaning", "said"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)", TooSlow, "took longer than 2 s"),
        ("SELECT number FROM numbers(1001)", TooMuch, "more memory or has more rows"),
        ("SELECT repeat('x', 1000000) FROM numbers(900) SETTINGS max_block_size = 10", TooMuch, "more memory or has"),
        (
            "SELECT groupArray(repeat('x', 10000)) FROM numbers(100000) SETTINGS max_memory_usage = 1000000",
            TooMuch,
            "more",
        ),
        ("SELECT match(materialize('a'), '(')", Refused, "a pattern"),
        ("SELECT nonsense", Broken, "`test` can't be asked: ClickHouse says 47"),
        ("SELEC 1", Broken, "ClickHouse says 62"),
        ("SELECT * FROM forebay.missing", Away, "forebay migrate"),
        ("INSERT INTO system.one VALUES (1)", Broken, "ClickHouse says 164"),
        ("CREATE TABLE default.x (n UInt8) ENGINE = Memory", Broken, "ClickHouse says 164"),
    ],
)
async def test_an_error_has_its_meaning(
    clickhouse: ClickHouse, caplog: pytest.LogCaptureFixture, sql: str, meaning: type[Exception], said: str
) -> None:
    """In a sentence without what was asked; nothing of it is in the log."""
    with pytest.raises(meaning) as found:
        await clickhouse(
            asked(sql, seconds=10 if meaning is TooSlow else 60)
        )  # on a busy machine 2 s are over before the rest
    assert said in str(found.value)
    assert sql[:20] not in caplog.text
    assert (await clickhouse(asked("SELECT 1"))).rows == [[1]]


async def test_a_slow_file_may_take_longer(clickhouse: ClickHouse) -> None:
    """What its header says, where that is more than is usual."""
    sql = "SELECT getSetting('max_execution_time')"
    assert (await clickhouse(asked(sql))).rows == [[2]]
    assert (await clickhouse(asked(sql, seconds=5))).rows == [[2]]
    assert (await clickhouse(asked(sql, seconds=30))).rows == [[30]]


async def test_leaving_ends_the_question(clickhouse: ClickHouse, own_engine: Engine) -> None:
    """The engine stops computing when nobody waits any more, long before the question's time is over."""
    sql = "SELECT sleepEachRow(0.1) FROM numbers(10000) SETTINGS max_block_size = 1"
    task = asyncio.create_task(clickhouse(asked(sql, seconds=300)))
    await until(lambda: own_engine.runs("sleepEachRow"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not own_engine.runs("sleepEachRow"))


async def test_a_clickhouse_that_stands_still_is_away(own_engine: Engine) -> None:
    """It is said within seconds, and the next question after it goes on is answered."""
    asking = ClickHouse(f"http://127.0.0.1:{own_engine.port}", user="default", password="", seconds=1, rows_max=10)
    assert (await asking(asked("SELECT 1"))).rows == [[1]]
    own_engine.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Away, match="did not answer within 6 s"):
            await asking(asked("SELECT 1"))
    finally:
        own_engine.process.send_signal(signal.SIGCONT)
    assert (await asking(asked("SELECT 1"))).rows == [[1]]
    await asking.close()


async def test_nobody_there_is_away(tmp_path: Path) -> None:
    """By a port and by a socket."""
    for url in ("http://127.0.0.1:1", f"unix://{tmp_path}/none.sock"):
        asking = ClickHouse(url, user="default", password="", seconds=1, rows_max=10)
        with pytest.raises(Away, match="does not answer"):
            await asking.ping()
        await asking.close()


class Impostor:
    """Answers in ClickHouse's place, as it is told."""

    def __init__(self) -> None:
        self.answers: list[web.Response | None] = []
        self.asked: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({**request.query, "user": request.headers["X-ClickHouse-User"]})
        said = self.answers.pop(0)
        if said is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return said


@pytest.fixture
async def impostor() -> AsyncIterator[tuple[Impostor, ClickHouse]]:
    one = Impostor()
    app = web.Application()
    app.router.add_post("/", one.handle)
    async with TestServer(app) as server:
        asking = ClickHouse(str(server.make_url("/")), user="reader", password="secret", seconds=1, rows_max=10)
        yield one, asking
        await asking.close()


def fine() -> web.Response:
    return web.Response(body=json.dumps({"meta": [{"name": "n"}], "data": [[1]], "statistics": {"rows_read": 1}}))


async def test_every_question_only_reads_within_limits(impostor: tuple[Impostor, ClickHouse]) -> None:
    """Whoever the user is, it says so itself."""
    one, asking = impostor
    one.answers = [fine()]
    await asking(asked("SELECT 1"))
    said = one.asked[0]
    assert (said["readonly"], said["max_execution_time"], said["max_result_rows"]) == ("2", "1", "10")
    assert (said["log_comment"], said["user"]) == ("dashboard:test", "reader")


async def test_a_connection_that_breaks_is_tried_once_more(impostor: tuple[Impostor, ClickHouse]) -> None:
    """ClickHouse may have closed one that we kept; twice in a row it is away."""
    one, asking = impostor
    one.answers = [None, fine()]
    assert (await asking(asked("SELECT 1"))).rows == [[1]]
    one.answers = [None, None]
    with pytest.raises(Away):
        await asking(asked("SELECT 1"))


@pytest.mark.parametrize(
    ("status", "text", "meaning", "said"),
    [
        (200, "<html>Welcome</html>", Away, "is not ClickHouse"),
        (200, '{"data": 1}', Away, "is not ClickHouse"),
        (404, "nothing", Away, "is not ClickHouse"),
        (503, "Code: 202. DB::Exception: Too many simultaneous queries", Busy, "busy"),
        (500, "Code: 201. DB::Exception: Quota exceeded", Busy, "busy"),
        (403, "Code: 516. DB::Exception: reader: Authentication failed", Away, "user and password"),
        (403, "Code: 497. DB::Exception: reader: Not enough privileges", Away, "may not read"),
        (500, "Code: 394. DB::Exception: Query was cancelled", Away, "ended this question"),
    ],
)
async def test_what_a_server_may_say(
    impostor: tuple[Impostor, ClickHouse], status: int, text: str, meaning: type[Exception], said: str
) -> None:
    """Errors that an embedded engine has not, and those of what is no ClickHouse."""
    one, asking = impostor
    one.answers = [web.Response(status=status, text=text)]
    with pytest.raises(meaning, match=said):
        await asking(asked("SELECT 1"))


def test_what_is_no_url_is_refused() -> None:
    """With the URL in the sentence."""
    for url in ("127.0.0.1:8123", "ftp://x", "", "http://", "unix://"):
        with pytest.raises(ValueError, match="is not an http"):
            ClickHouse(url, user="default", password="", seconds=1, rows_max=10)
