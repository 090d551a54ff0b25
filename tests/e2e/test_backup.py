"""A backup that is taken while events arrive holds each event acknowledged before it once, and restores elsewhere.

The tests that do not say which Redis share one system, and each has users and events of its own.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis

from forebay.backup import buffer, files
from forebay.backup.manifest import read
from forebay.commands import backup as command
from loadtest.load import acklog
from schemas.keys import Key
from schemas.redis.keys import KEYS_KEY, NOTES_KEY, SALT_KEYS, SITES_KEY, Keys
from schemas.site import Goal, RegisteredSite, SiteNotes
from tests.chaos.load import Load
from tests.e2e.test_books import connect, pending
from tests.e2e.test_erasing import CANARY, OTHER, event, files_with, of, send
from tests.support.command import told, told_of
from tests.support.redis_programs import EMBEDDED, program
from tests.support.system import ROOT, System, running
from tests.support.waiting import POLL_SECONDS

SOON_SECONDS = 0.001  # a stage of a backup lasts longer
# What people wrote of a site, and of a key, which is in Redis alone.
PEOPLES = {
    SITES_KEY: RegisteredSite(goals=(Goal(name="purchase", event="purchase"),)).encode(),
    NOTES_KEY: SiteNotes(last_id=7).encode(),
    KEYS_KEY: Key(hash="0" * 64, sites=(OTHER,), scope="read").encode(),
}


def acknowledged(load: Load) -> set[str]:
    """Returns the ids that the generator has got a 202 for so far, and fsynced: the whole lines of its log."""
    text = load.log.read_text() if load.log.exists() else ""
    return set(text[: text.rfind("\n") + 1].split())


@pytest_asyncio.fixture
async def restored(tmp_path: Path) -> AsyncIterator[System]:
    """Makes a system whose data directory a test restores; it is not started."""
    (tmp_path / "restored").mkdir()
    system = System(tmp_path / "restored")
    yield system
    system.kill()


async def holds(system: System, owed: set[str]) -> None:
    """Checks that everything owed is stored once, in rows and counters, and that the books balance."""
    await system.until(lambda: pending(system) == 0)
    status, said = await told_of(system, "audit")
    assert (status, said.startswith("the books balance: ")) == (0, True), said
    found = [row[0] for row in await system.ask("SELECT event_id FROM forebay.events")]
    assert len(found) == len(set(found)), "stored twice"
    assert owed - set(found) == set(), f"{len(owed - set(found))} of {len(owed)} are lost"
    assert (await system.ask("SELECT sum(events) FROM forebay.daily"))[0][0] == len(found)


@pytest.mark.parametrize("name", EMBEDDED)
async def test_what_was_acknowledged_before_is_there_once(
    tmp_path: Path, restored: System, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Between the looks at ClickHouse and at Redis blocks are stored and merged, and Redis rewrites its file."""
    path = f"{Path(program(name)).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    async with running(tmp_path) as system:
        load = Load(tmp_path, url=system.facts()["url"], site="load.test", seed=7, rate=400)
        await load.start()
        try:
            await system.stored("1", 500)
            client, hold = connect(system), buffer.hold
            for key, value in PEOPLES.items():
                client.hset(key, OTHER, value)

            def late(directory: Path, into: Path) -> dict[Path, int]:
                before = client.llen(Keys(0).edges)
                while client.llen(Keys(0).edges) < before + 3:
                    with contextlib.suppress(redis.ResponseError):  # one is being written
                        client.bgrewriteaof()
                    time.sleep(POLL_SECONDS)
                return hold(directory, into)

            monkeypatch.setattr(buffer, "hold", late)
            owed = acknowledged(load)
            options = argparse.Namespace(directory=tmp_path / "copy", data=str(system.data), deep=True)
            assert await asyncio.to_thread(command.command, options) == 0
        finally:
            await load.stop()
        assert len(owed) > 300
        salts = [client.get(key) for key in client.scan_iter(SALT_KEYS)]
        assert salts
        left = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
        assert not [path for path in left if any(salt in path.read_bytes() for salt in salts)]
        assert not (system.data / files.STAGE).exists()
        await holds(system, acknowledged(load))
    status, said = await told("restore", str(tmp_path / "copy"), "--data", str(restored.data))
    assert status == 0, said
    restored.start()
    await restored.ready()
    assert {key: connect(restored).hget(key, OTHER) for key in PEOPLES} == PEOPLES
    await holds(restored, owed)
    send(restored, event("later", OTHER))
    await restored.stored("event_id = 'later'", 1)
    assert await restored.stop() == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(tmp_path_factory.mktemp("shared")) as up:
        yield up


@pytest_asyncio.fixture
async def system(shared: System) -> System:
    """Returns the system of all tests, which runs, although the test before this one may have stopped it."""
    if not shared.is_running():
        shared.start()
        await shared.ready()
    return shared


async def stored(system: System) -> int:
    """Returns how many events ClickHouse holds."""
    return int((await system.ask("SELECT count() FROM forebay.events"))[0][0])


async def test_what_a_spool_holds_is_there_once(tmp_path: Path, system: System, restored: System) -> None:
    """Redis is away, so events are in the spool alone; when it comes back, some of them are in both."""
    names = ["spooled-before", *(f"spooled-{number}" for number in range(20))]
    send(system, event(names[0], OTHER))
    await system.stored("startsWith(event_id, 'spooled-')", 1)
    os.kill(system.pids()["ingest tier"], 19)  # SIGSTOP: nobody starts a worker
    os.kill(system.pids()["ingest tier"], 18)
    redis_pid = system.pids()["redis"]
    os.kill(redis_pid, 19)
    for name in names[1:]:
        send(system, event(name, OTHER))
    spool = system.data / "spool"
    kept = tmp_path / "kept"
    shutil.copytree(spool, kept)
    os.kill(redis_pid, 18)
    await system.stored("startsWith(event_id, 'spooled-')", 21)
    shutil.copytree(kept, spool, dirs_exist_ok=True)  # as if the backup had listed it before it drained
    assert list(spool.glob("*/*.spool"))
    os.kill(system.pids()["ingest 0"], 19)
    try:
        status, said = await told_of(system, "backup", str(tmp_path / "copy"))
    finally:
        for path in kept.rglob("*.spool"):
            (spool / path.relative_to(kept)).unlink()
        os.kill(system.pids()["ingest 0"], 18)
    assert status == 0, said
    assert [name for name in read(tmp_path / "copy").files if name.endswith(".spool")]
    assert (await told("restore", str(tmp_path / "copy"), "--data", str(restored.data)))[0] == 0
    restored.start()
    await restored.ready()
    await restored.until(lambda: not list((restored.data / "spool").glob("*/*.spool")))
    await holds(restored, set(names))


async def test_what_was_erased_stays_away(tmp_path: Path, system: System, restored: System) -> None:
    """What was erased a moment before the backup is in no file of it, and no replay of the restored system brings it
    back.

    ClickHouse keeps the parts that the erasure replaced, so the backup has to leave them out.
    """
    other = f"not-{OTHER}"
    for number in range(20):
        send(system, event(f"c{number}", CANARY), event(f"erased-o{number}", other))
    await system.stored(f"user_id IN ('{CANARY}', '{other}')", 40)
    status, said = await told_of(system, "erase", "--user", CANARY, "--yes", "--seconds", "100")
    assert status == 0, said
    status, said = await told_of(system, "backup", str(tmp_path / "copy"))
    assert status == 0, said
    assert (await told("restore", str(tmp_path / "copy"), "--data", str(restored.data)))[0] == 0
    assert files_with(restored, CANARY) == []
    restored.log.touch()
    restored.start()
    await restored.ready()
    await told_of(restored, "replay", "--since", "15m")
    await holds(restored, {f"erased-o{number}" for number in range(20)})
    assert (await of(restored, CANARY), await of(restored, other)) == (0, 20)


async def test_one_that_is_killed_leaves_nothing_that_looks_whole(
    tmp_path: Path, system: System, restored: System
) -> None:
    """A backup is killed at every stage; the next one is made all the same, and frees what the killed one held."""
    for number in range(30):
        send(system, event(f"killed-{number}", OTHER))
    await system.stored("startsWith(event_id, 'killed-')", 30)
    copy, part = tmp_path / "copy", tmp_path / "copy.part"
    stage = system.data / files.STAGE
    moments: tuple[Any, ...] = (
        (stage / "0" / "clickhouse").exists,
        (stage / "0" / "redis").exists,
        (part / "clickhouse").exists,
        (part / "look").exists,
    )
    for is_there in moments:
        words = (sys.executable, "-m", "forebay", "backup", str(copy), "--data", str(system.data))
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not is_there() and process.poll() is None:
                await asyncio.sleep(SOON_SECONDS)
            process.kill()
        assert not copy.exists()
        status, said = await told("restore", str(part), "--data", str(restored.data))
        assert (status, "is not a backup, or not a whole one" in said) == (1, True), said
        assert not restored.data.exists()
    status, said = await told_of(system, "backup", str(copy))
    assert (status, f"{await stored(system)} events stored" in said) == (0, True), said
    assert (part.exists(), stage.exists()) == (False, False)
    stage.mkdir()
    assert await system.stop() == 0
    system.start()
    await system.ready()
    assert not stage.exists()


async def test_a_stopped_one_is_copied_and_damage_is_found(tmp_path: Path, system: System, restored: System) -> None:
    """A stopped system is copied as well.

    A file that changed afterwards is refused, and a directory in use is left alone.
    """
    for number in range(10):
        send(system, event(f"stopped-{number}", OTHER))
    await system.stored("startsWith(event_id, 'stopped-')", 10)
    count = await stored(system)
    assert await system.stop() == 0
    copy = tmp_path / "copy"
    status, said = await told_of(system, "backup", str(copy))
    assert (status, f"{count} events stored, 0 waiting" in said) == (0, True), said
    assert (await told_of(system, "backup", str(copy)))[0] == 2, "it is there already"
    status, said = await told("restore", str(copy), "--data", str(system.data))
    assert (status, "is not empty" in said) == (2, True), said
    assert (await told("restore", str(copy), "--check"))[0] == 0
    assert "clickhouse/engine.json" in read(copy).files, "which version wrote it"
    victim = next(copy.rglob("data.bin"))
    whole = victim.read_bytes()
    victim.write_bytes(bytes((whole[0] ^ 1,)) + whole[1:])
    for words in (("--check",), ("--data", str(restored.data))):
        status, said = await told("restore", str(copy), *words)
        assert (status, f"{victim} is not what was written" in said) == (1, True), said
    assert not restored.data.exists()
    victim.write_bytes(whole)
    assert (await told("restore", str(copy), "--data", str(restored.data)))[0] == 0
    restored.start()
    await restored.ready()
    await holds(restored, {f"stopped-{number}" for number in range(10)})


def test_acknowledged_ids_are_read_as_they_are_written(tmp_path: Path) -> None:
    """The lines that this test reads from the log are ids."""
    with acklog.AckLog(tmp_path / "log") as log:
        log.acknowledged(["a", "b"])
    assert (tmp_path / "log").read_text().split() == ["a", "b"]
