"""`python -m tests.release_fixture`: makes tests/fixtures/release-VERSION.tar.xz, a data directory as this release leaves it.

A later release opens a copy of it (tests/e2e/test_release.py). It was left by SIGKILL, and holds what a data directory can
hold: stored events, one that is dead, entries that are not stored, a commit in the spool, a site, checkpoints, salts. It is
made once, when the release is, on the oldest Redis that `forebay up` takes, and never changed afterwards.

An event is known by its path: ClickHouse empties client ids after some days, and a fixture is to be opened years later.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runtime.version import version
from schemas.redis.keys import Keys
from tests.e2e.test_books import connect
from tests.support.command import told_of
from tests.support.redis_programs import program
from tests.support.system import NewSystem, System, is_alive

FIXTURES = Path(__file__).parent / "fixtures"
SITE = "kept.example"
STORED, WAITING, SPOOLED = 300, 20, 10
BODY = 50
DEAD_TITLE = "dead"
# As its migration makes it: with the constraints of events, because it can be given none.
PROBE_ANEW = ("DROP TABLE forebay.probe SYNC", "CREATE TABLE forebay.probe AS forebay.events ENGINE = Null")
# What a start makes anew, and what nobody reads.
LEFT_OUT = {"lock", "run.json", "redis/redis.conf", "redis/redis.log"}
EXPECTED = "expected.json"


def path_of(number: int) -> str:
    """Returns the path by which an event is known."""
    return f"/e/{number}"


def send(url: str, numbers: Sequence[int], **more: Any) -> None:
    """Sends events, and returns once they are acknowledged."""
    events = [
        {"site": SITE, "url": f"https://{SITE}{path_of(at)}", "id": f"id-{at}", "user": f"u{at % 7}", **more}
        for at in numbers
    ]
    headers = {
        "content-type": "application/json",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0",
    }
    request = urllib.request.Request(f"{url}/f", json.dumps(events).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        assert json.load(answer)["accepted"] == len(numbers)


async def fill(system: System) -> int:
    """Makes all that the fixture holds; the number of events that are stored in the end, without the dead one."""
    url = system.facts()["url"]
    assert (await told_of(system, "site", "add", SITE))[0] == 0
    client = connect(system)
    for first in range(0, STORED, BODY):
        send(url, range(first, first + BODY))
    await system.stored("1", STORED)
    for statement in (f"ALTER TABLE forebay.events ADD CONSTRAINT dies CHECK title != '{DEAD_TITLE}'", *PROBE_ANEW):
        system.send(statement)
    send(url, [STORED], title=DEAD_TITLE)
    await system.until(lambda: client.xlen(Keys(0).dead) == 1)
    for statement in ("ALTER TABLE forebay.events DROP CONSTRAINT dies", *PROBE_ANEW):
        system.send(statement)
    status, said = await told_of(system, "audit")
    assert status == 0, said
    last = STORED + 1
    os.kill(system.pids()["flusher 0"], signal.SIGSTOP)
    for number in range(last, last + WAITING):
        send(url, [number])
    last += WAITING
    os.kill(system.pids()["redis"], signal.SIGSTOP)
    send(url, range(last, last + SPOOLED))
    assert list((system.data / "spool").glob("*/*.spool"))
    return last + SPOOLED - 1


async def left(directory: Path) -> tuple[Path, int]:
    """Returns the data directory of a run that was killed, and how many events it should store in the end."""
    system = NewSystem(directory, "--site", SITE, FOREBAY_REDIS_SERVER=program("6.2"))
    system.start()
    try:
        await system.ready()
        events = await fill(system)
        pids = system.pids()
    finally:
        system.close()
    await system.until(lambda: not any(map(is_alive, pids.values())))
    return system.data, events


def files_of(data: Path) -> Iterator[Path]:
    """Yields what is kept of a data directory, in an order that does not depend on the disk."""
    for path in sorted(data.rglob("*")):
        if str(path.relative_to(data)) not in LEFT_OUT and (path.is_dir() or path.is_symlink() or path.is_file()):
            yield path


def archived(data: Path, events: int, target: Path) -> None:
    """Writes the archive: the directory as `data`, and beside it what should be found in it."""
    expected = {"release": version(), "site": SITE, "events": events, "dead": path_of(STORED)}
    with tarfile.open(target, "w:xz", preset=9) as archive:
        text = json.dumps(expected).encode()
        entry = tarfile.TarInfo(EXPECTED)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        for path in files_of(data):
            archive.add(path, Path("data") / path.relative_to(data), recursive=False, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def main() -> None:
    """Makes the archive of the release that is checked out."""
    FIXTURES.mkdir(exist_ok=True)
    target = FIXTURES / f"release-{version()}.tar.xz"
    with tempfile.TemporaryDirectory() as directory:
        data, events = asyncio.run(left(Path(directory)))
        archived(data, events, target)
    sys.stdout.write(f"{target}: {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
