"""What was erased is in no table, no stream and no file, nothing brings it back, and the books balance.

The tests share one system. Each has users and events of its own.
"""

import asyncio
import http.client
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import redis

from schemas.entry import decode, encode
from schemas.redis.keys import ERASURES_KEY, Keys
from schemas.row import INDEX
from tests.e2e.test_books import connect, pending
from tests.support.command import told_of
from tests.support.system import ROOT, System, running

SOON_SECONDS = 0.001  # a step of an erasure lasts longer
CANARY, OTHER = "canary-user-77", "somebody-else"
SITE = "erase.test"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(tmp_path_factory.mktemp("erasing")) as up:
        yield up
        assert await up.stop() == 0


def send(system: System, *events: dict[str, Any]) -> None:
    """Posts events, which must be acknowledged."""
    at = urlsplit(system.facts()["url"])
    connection = http.client.HTTPConnection(at.hostname or "", at.port or 0, timeout=60)
    try:
        connection.request("POST", "/f", json.dumps(events), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 202
    finally:
        connection.close()


def event(name: str, user: str) -> dict[str, Any]:
    return {"url": f"https://{SITE}/of-{user}", "id": name, "user": user}


async def of(system: System, user: str) -> int:
    return int((await system.ask(f"SELECT count() FROM forebay.events WHERE user_id = '{user}'"))[0][0])


async def stored(system: System, start: str, count: int) -> None:
    """Returns as soon as so many events are stored whose ids begin so."""
    await system.stored(f"startsWith(event_id, '{start}')", count)


async def erased(system: System) -> int:
    """Returns how many events the books have as erased. They must balance."""
    status, said = await told_of(system, "audit")
    assert status == 0, said
    found = re.search(r"(\d+) erased", said)
    return int(found[1]) if found else 0


def files_with(system: System, word: str) -> list[str]:
    """Returns the installation's files that hold this text."""
    return sorted(
        str(path.relative_to(system.data.parent))
        for path in (system.log, *system.data.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    )


def bury(client: Any) -> None:
    """Appends an entry with one row of the canary's that no table accepts, and one that it does accept."""
    columns = [column[:1] * 2 for column in decode(client.xrevrange(Keys(0).log, count=1)[0][1][b"d"])]
    columns[INDEX["event_id"]] = ["good", "bad"]
    columns[INDEX["user_id"]] = [CANARY, CANARY]
    columns[INDEX["screen_w"]] = [1, 70_000]  # a UInt16 holds 65 535
    client.xadd(Keys(0).log, {"d": encode(columns), "n": 2})
    key = f"{columns[INDEX['received_at']][0] // 60_000} {columns[INDEX['site']][0]}"
    client.hincrby(Keys(0).accepted, key, 2)


async def test_a_canary_is_nowhere(system: System) -> None:
    """Stored, dead and in the replay tail: all of the canary goes, nothing else does, and a replay brings nothing back."""
    await system.ask("ALTER TABLE forebay.events MODIFY SETTING old_parts_lifetime = 1")
    before = await erased(system)
    for number in range(20):
        send(system, event(f"c{number}", CANARY), event(f"o{number}", OTHER))
    in_both = f"user_id IN ('{CANARY}', '{OTHER}')"
    await system.stored(in_both, 40)
    client = connect(system)
    bury(client)
    await system.until(lambda: client.xlen(Keys(0).dead) == 1)
    await system.stored(in_both, 41)
    status, said = await told_of(system, "erase", "--user", CANARY, "--dry-run")
    assert (status, "stored: 21\n" in said, "dead: 1\n" in said) == (0, True, True), said
    assert (await told_of(system, "erase", "--user", CANARY))[0] == 2, "not without --yes"
    assert await of(system, CANARY) == 21
    status, said = await told_of(system, "erase", "--user", CANARY, "--yes", "--wait", "--seconds", "100")
    assert (status, "21 stored rows are gone" in said) == (0, True), said
    assert (await of(system, CANARY), await of(system, OTHER), client.xlen(Keys(0).dead)) == (0, 20, 0)
    assert await erased(system) == before + 22
    await told_of(system, "replay", "--since", "15m")
    await system.until(lambda: pending(system) == 0)
    assert (await of(system, CANARY), await of(system, OTHER)) == (0, 20)
    assert files_with(system, CANARY) == []
    # What comes later is another event; a retry of one that went is a copy, for as long as its id's hash is known.
    send(system, event("c0", CANARY), event("later", CANARY))
    await system.stored(f"user_id = '{CANARY}'", 1)
    found = await system.ask(f"SELECT event_id FROM forebay.events WHERE user_id = '{CANARY}'")
    assert found == [("later",)]
    await erased(system)


async def test_what_waits_is_left_out(system: System) -> None:
    """Erased while ClickHouse is away, it is begun and not done; then none of it is stored, and the next run finishes
    it.
    """
    before = await erased(system)
    user, other = "waiting-user", "waiting-other"
    send(system, event("waiting-c0", user), event("waiting-o0", other))
    await stored(system, "waiting-", 2)
    os.kill(system.pids()["clickhouse"], signal.SIGSTOP)
    for number in range(1, 10):
        send(system, event(f"waiting-c{number}", user), event(f"waiting-o{number}", other))
    status, said = await told_of(system, "erase", "--user", user, "--yes", "--seconds", "3")
    os.kill(system.pids()["clickhouse"], signal.SIGCONT)
    assert (status, "The erasure is recorded" in said) == (1, True), said
    status, said = await told_of(system, "erase", "--finish")
    assert status == 0, said
    await stored(system, "waiting-", 10)
    assert (await of(system, user), await of(system, other)) == (0, 10)
    assert await erased(system) == before + 10
    assert await asyncio.to_thread(entries_of, system, user) == 0


def entries_of(system: System, user: str) -> int:
    """Returns a user's rows that are still in the stream."""
    client: redis.Redis = connect(system)
    entries: Any = client.xrange(Keys(0).log)
    return sum(decode(fields[b"d"])[INDEX["user_id"]].count(user) for _, fields in entries)


# What is seen of an erasure that has come so far: in the fields that it added to the register.
PHASES: dict[str, Callable[[Any, set[bytes]], object]] = {
    "recorded": lambda _, fields: fields,
    "planned": lambda _, fields: any(name.endswith(b":plan") for name in fields),
    "counted": lambda client, _: client.hlen(Keys(0).leaving),
    "settled": lambda _, fields: any(name.endswith(b":settled") for name in fields),
}
KILLED_TOO = {"recorded": "flusher 0", "planned": "clickhouse", "counted": "clickhouse", "settled": "redis"}


def is_back(system: System) -> bool:
    """Tells whether Redis answers: the file that says "ready" is of the start, and knows of no death since."""
    try:
        return bool(connect(system).ping()) and system.is_ready()
    except redis.exceptions.RedisError:  # it is not there yet, or loads its data
        return False


async def killed_when(system: System, phase: str, user: str) -> str:
    """Erases a user, and kills the command at this step, and a server or the flusher with it; returns the output until
    then.
    """
    client = connect(system)
    before = {*client.hkeys(ERASURES_KEY)}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forebay", "erase", "--user", user, "--yes", "--data", str(system.data)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while command.returncode is None and not PHASES[phase](client, {*client.hkeys(ERASURES_KEY)} - before):
        assert time.monotonic() < deadline, f"not {phase} in time"
        await asyncio.sleep(SOON_SECONDS)
    if command.returncode is None:
        os.kill(system.pids()[KILLED_TOO[phase]], signal.SIGKILL)
        command.kill()
    said, _ = await command.communicate()
    return said.decode()


async def test_killed_at_any_step_it_is_finished_by_the_next_run(system: System) -> None:
    """The command is killed, and with it a process that it depends on; in the end its user is gone, and the others are
    not.
    """
    before = await erased(system)
    users, other = [f"killed-{phase}" for phase in PHASES], "killed-other"
    left = "SELECT count() FROM forebay.events WHERE startsWith(event_id, 'killed-')"
    for number in range(10):
        send(system, *(event(f"{user}-{number}", user) for user in (*users, other)))
    await stored(system, "killed-", 50)
    for gone, phase in enumerate(PHASES, 1):
        said = await killed_when(system, phase, users[gone - 1])
        await system.until(lambda: is_back(system))
        status, more = await told_of(system, "erase", "--finish", "--seconds", "120")
        assert status == 0, said + more
        assert await of(system, users[gone - 1]) == 0, phase
        assert await system.ask(left) == [(50 - 10 * gone,)]
        assert await erased(system) == before + 10 * gone
    await told_of(system, "replay", "--since", "1h")
    await system.until(lambda: pending(system) == 0)
    assert await of(system, other) == 10
    assert await system.ask(left) == [(10,)]


async def test_rows_deleted_by_hand_are_accepted_once(system: System) -> None:
    """They are missing until an operator says that they were deleted on purpose; after that no replay brings them back."""
    before = await erased(system)
    user, other = "deleted-user", "deleted-other"
    send(system, *(event(f"deleted-{number}", one) for number, one in enumerate((user, other) * 10)))
    await stored(system, "deleted-", 20)
    await system.ask(f"ALTER TABLE forebay.events DELETE WHERE user_id = '{user}' SETTINGS mutations_sync = 2")
    status, said = await told_of(system, "audit")
    assert (status, "ledger: " in said, "blocks: " in said) == (1, True, True), said
    assert (await told_of(system, "audit", "--accept"))[0] == 2, "not without a reason"
    status, said = await told_of(system, "audit", "--accept", "--reason", "a test")
    assert (status, f"{before + 10} erased" in said) == (0, True), said
    rows = await system.ask("SELECT reason, stored, state FROM forebay.erasures FINAL WHERE kind = 'accept'")
    assert rows == [("a test", 10, "done")]
    assert (await told_of(system, "audit", "--accept", "--reason", "again"))[1].startswith("nothing is missing")
    await told_of(system, "replay", "--since", "15m")
    await system.until(lambda: pending(system) == 0)
    assert (await of(system, user), await of(system, other)) == (0, 10)
    send(system, event("deleted-later", other))
    await stored(system, "deleted-", 11)
    await erased(system)
