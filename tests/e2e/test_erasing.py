"""What was erased is in no table, no stream and no file, nothing brings it back, and the books balance."""

import asyncio
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def files_with(system: System, word: str) -> list[str]:
    """Returns the installation's files that hold this text."""
    return sorted(
        str(path.relative_to(system.data.parent))
        for path in (system.log, *system.data.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    )


def bury(client: Any) -> None:
    """Appends an entry with one row of the canary's that no table accepts, and one that it does accept."""
    columns = [column[:1] * 2 for column in decode(client.xrange(Keys(0).log, count=1)[0][1][b"d"])]
    columns[INDEX["event_id"]] = ["good", "bad"]
    columns[INDEX["user_id"]] = [CANARY, CANARY]
    columns[INDEX["screen_w"]] = [1, 70_000]  # a UInt16 holds 65 535
    client.xadd(Keys(0).log, {"d": encode(columns), "n": 2})
    key = f"{columns[INDEX['received_at']][0] // 60_000} {columns[INDEX['site']][0]}"
    client.hincrby(Keys(0).accepted, key, 2)


async def test_a_canary_is_nowhere(tmp_path: Path) -> None:
    """Stored, dead and in the replay tail: all of the canary goes, nothing else does, and a replay brings nothing back."""
    async with running(tmp_path) as system:
        await system.ask("ALTER TABLE forebay.events MODIFY SETTING old_parts_lifetime = 1")
        for number in range(20):
            send(system, event(f"c{number}", CANARY), event(f"o{number}", OTHER))
        await system.stored("1", 40)
        client = connect(system)
        bury(client)
        await system.until(lambda: client.xlen(Keys(0).dead) == 1)
        await system.stored("1", 41)
        status, said = await told_of(system, "erase", "--user", CANARY, "--dry-run")
        assert (status, "stored: 21\n" in said, "dead: 1\n" in said) == (0, True, True), said
        assert (await told_of(system, "erase", "--user", CANARY))[0] == 2, "not without --yes"
        assert await of(system, CANARY) == 21
        status, said = await told_of(system, "erase", "--user", CANARY, "--yes", "--wait", "--seconds", "100")
        assert (status, "21 stored rows are gone" in said) == (0, True), said
        assert (await of(system, CANARY), await of(system, OTHER), client.xlen(Keys(0).dead)) == (0, 20, 0)
        status, said = await told_of(system, "audit")
        assert (status, "22 erased" in said) == (0, True), said
        await told_of(system, "replay", "--since", "15m")
        await system.until(lambda: pending(system) == 0)
        assert (await of(system, CANARY), await of(system, OTHER)) == (0, 20)
        assert files_with(system, CANARY) == []
        # What comes later is another event; a retry of one that went is a copy, for as long as its id's hash is known.
        send(system, event("c0", CANARY), event("later", CANARY))
        await system.stored(f"user_id = '{CANARY}'", 1)
        found = await system.ask(f"SELECT event_id FROM forebay.events WHERE user_id = '{CANARY}'")
        assert found == [("later",)]
        status, said = await told_of(system, "audit")
        assert status == 0, said
        assert await system.stop() == 0


async def test_what_waits_is_left_out(tmp_path: Path) -> None:
    """Erased while ClickHouse is away, it is begun and not done; then none of it is stored, and the next run finishes
    it.
    """
    async with running(tmp_path) as system:
        send(system, event("c0", CANARY), event("o0", OTHER))
        await system.stored("1", 2)
        os.kill(system.pids()["clickhouse"], signal.SIGSTOP)
        for number in range(1, 10):
            send(system, event(f"c{number}", CANARY), event(f"o{number}", OTHER))
        status, said = await told_of(system, "erase", "--user", CANARY, "--yes", "--seconds", "3")
        os.kill(system.pids()["clickhouse"], signal.SIGCONT)
        assert (status, "The erasure is recorded" in said) == (1, True), said
        status, said = await told_of(system, "erase", "--finish")
        assert status == 0, said
        await system.stored("1", 10)
        assert (await of(system, CANARY), await of(system, OTHER)) == (0, 10)
        status, said = await told_of(system, "audit")
        assert (status, "10 erased" in said) == (0, True), said
        assert await asyncio.to_thread(entries_of, system, CANARY) == 0


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


async def test_killed_at_any_step_it_is_finished_by_the_next_run(tmp_path: Path) -> None:
    """The command is killed, and with it a process that it depends on; in the end its user is gone, and the others are
    not.
    """
    users = [f"{CANARY}-{phase}" for phase in PHASES]
    async with running(tmp_path) as system:
        for number in range(10):
            send(system, *(event(f"{user}-{number}", user) for user in (*users, OTHER)))
        await system.stored("1", 50)
        for gone, phase in enumerate(PHASES, 1):
            said = await killed_when(system, phase, users[gone - 1])
            await system.until(lambda: is_back(system))
            status, more = await told_of(system, "erase", "--finish", "--seconds", "120")
            assert status == 0, said + more
            assert await of(system, users[gone - 1]) == 0, phase
            assert (await system.ask("SELECT count() FROM forebay.events"))[0][0] == 50 - 10 * gone
            status, said = await told_of(system, "audit")
            assert (status, f"{10 * gone} erased" in said) == (0, True), said
        await told_of(system, "replay", "--since", "1h")
        await system.until(lambda: pending(system) == 0)
        assert await of(system, OTHER) == 10
        assert (await system.ask("SELECT count() FROM forebay.events"))[0][0] == 10


async def test_rows_deleted_by_hand_are_accepted_once(tmp_path: Path) -> None:
    """They are missing until an operator says that they were deleted on purpose; after that no replay brings them back."""
    async with running(tmp_path) as system:
        send(system, *(event(f"e{number}", user) for number, user in enumerate((CANARY, OTHER) * 10)))
        await system.stored("1", 20)
        await system.ask(f"ALTER TABLE forebay.events DELETE WHERE user_id = '{CANARY}' SETTINGS mutations_sync = 2")
        status, said = await told_of(system, "audit")
        assert (status, "ledger: " in said, "blocks: " in said) == (1, True, True), said
        assert (await told_of(system, "audit", "--accept"))[0] == 2, "not without a reason"
        status, said = await told_of(system, "audit", "--accept", "--reason", "a test")
        assert (status, "10 erased" in said) == (0, True), said
        rows = await system.ask("SELECT kind, reason, stored, state FROM forebay.erasures FINAL")
        assert rows == [("accept", "a test", 10, "done")]
        assert (await told_of(system, "audit", "--accept", "--reason", "again"))[1].startswith("nothing is missing")
        await told_of(system, "replay", "--since", "15m")
        await system.until(lambda: pending(system) == 0)
        assert (await of(system, CANARY), await of(system, OTHER)) == (0, 10)
        send(system, event("later", OTHER))
        await system.stored("1", 11)
        status, said = await told_of(system, "audit")
        assert status == 0, said
