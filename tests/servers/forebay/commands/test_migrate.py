"""Migrations are split, filled in for a cluster, applied once, and safe if they are run twice or at once."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.commands import migrate as migrations
from forebay.commands.migrate import LOCK, RECORDS, Migration, MigrationChanged, Unreleased, migrate, packaged
from tests.support.engine import EngineProcess
from tests.support.programs import program
from tests.support.tables import before_release

NAMES = [migration.name for migration in packaged()]
FIRST = Migration("0001_x", "CREATE TABLE IF NOT EXISTS forebay.x (a UInt8) ENGINE = MergeTree ORDER BY a;\n")


@pytest.fixture
def client(engine: EngineProcess) -> ClickHouse:
    """Makes a client of an engine that lacks our database."""
    client = engine.tools
    client.run("DROP DATABASE IF EXISTS forebay SYNC")
    return client


def migrate_first(client: ClickHouse, **options: Any) -> list[str]:
    """Migrates where it does not matter how much there is to do: all of it takes a second and a half."""
    return migrate(client.run, migrations=[FIRST], **options)


def tables(client: ClickHouse) -> set[str]:
    return set(client.run("SELECT name FROM system.tables WHERE database = 'forebay'").split())


def test_all_are_applied_once(client: ClickHouse) -> None:
    """The first run makes the tables and records them; the second has nothing to do."""
    assert migrate(client.run) == NAMES
    assert {"events", "sessions", "blocks", "v_pageviews"} <= tables(client)
    assert LOCK.partition(".")[2] not in tables(client)
    assert migrate(client.run) == []


def test_what_was_interrupted_is_taken_up(client: ClickHouse) -> None:
    """Tables that exist without their record are no obstacle."""
    migrate(client.run)
    client.run(f"TRUNCATE TABLE {RECORDS}")
    assert migrate(client.run) == NAMES


def test_a_changed_file_is_an_error(client: ClickHouse) -> None:
    """An applied migration keeps its content; nothing is run after a change."""
    second = Migration("0002_y", "CREATE TABLE IF NOT EXISTS forebay.y (a UInt8) ENGINE = MergeTree ORDER BY a;\n")
    migrate_first(client)
    with pytest.raises(MigrationChanged, match=r"0001_x .*#from-a-revision-between-two-releases"):
        migrate(client.run, migrations=[Migration("0001_x", FIRST.text + " "), second])
    assert "y" not in tables(client)


def test_tables_of_an_unreleased_revision_are_refused(
    client: ClickHouse, engine: EngineProcess, checkout: Path
) -> None:
    """In one sentence that says what to do, and nothing is changed: no release ever reads what it did not make."""
    before_release(client)
    before = client.run("SELECT name, create_table_query FROM system.tables WHERE database = 'forebay' ORDER BY name")
    with pytest.raises(Unreleased, match=r"before release 0\.1\.0, .*begin with an empty data directory"):
        migrate(client.run)
    words = (sys.executable, "-m", "forebay", "migrate", "--clickhouse-url", f"http://127.0.0.1:{engine.port}")
    done = subprocess.run(words, capture_output=True, text=True, cwd=checkout, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"forebay migrate: the tables were made by a revision from before .*\n", done.stderr)
    after = client.run("SELECT name, create_table_query FROM system.tables WHERE database = 'forebay' ORDER BY name")
    assert after == before


def test_unknown_ones_of_a_newer_version_are_left_alone(client: ClickHouse) -> None:
    """An older version starts on newer tables."""
    migrate_first(client)
    client.run(f"INSERT INTO {RECORDS} SELECT '9999_later', 'x', now64(3)")
    assert migrate_first(client) == []


def test_two_at_once_do_the_work_once(client: ClickHouse, engine: EngineProcess, checkout: Path) -> None:
    """Of two processes one applies, the other waits and finds nothing to do."""
    words = (sys.executable, "-m", "forebay", "migrate", "--clickhouse-url", f"http://127.0.0.1:{engine.port}")
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=checkout) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == sorted(["nothing to do: the tables are of this version\n", "".join(f"applied {n}\n" for n in NAMES)])
    assert int(client.run(f"SELECT count() FROM {RECORDS}")) == len(NAMES)


def left(client: ClickHouse, note: str) -> None:
    """Makes a lock as another process would have left it."""
    client.run("CREATE DATABASE IF NOT EXISTS forebay")
    client.run(f"CREATE TABLE {LOCK} (nothing UInt8) ENGINE = Memory COMMENT '{note}'")


def test_the_lock_of_a_killed_one_of_this_host_is_dropped_at_once(client: ClickHouse, engine: EngineProcess) -> None:
    """It is dropped if its process was killed, and if another process has its number now."""
    client.run("CREATE DATABASE forebay")
    words = program("migration_lock_holder", f"http://127.0.0.1:{engine.port}")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        said: list[str] = []
        killed.kill()
    assert migrate_first(client, say=said.append) == [FIRST.name]
    assert said == [f"dropping the lock of {socket.gethostname()}, process {killed.pid}, which is gone"]
    client.run("DROP DATABASE forebay SYNC")
    left(client, f"{socket.gethostname()} pid {os.getpid()} began 1")
    assert migrate_first(client, say=said.append) == [FIRST.name]
    assert len(said) == 2


def test_whom_it_waits_for_is_said_at_once(client: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a lock of another host it names the holder, the longest wait, and what ends it; then the lock expires."""
    left(client, "elsewhere pid 7 began 5")
    said: list[tuple[str, float]] = []
    began = time.monotonic()

    def say(text: str) -> None:
        said.append((text, time.monotonic() - began))
        monkeypatch.setattr(migrations, "LOCK_SECONDS", 0)

    assert migrate_first(client, say=say) == [FIRST.name]
    assert [text.partition(" for ")[0] for text, _ in said] == [
        "waiting",
        "dropping the lock of elsewhere, process 7, which is gone",
    ]
    assert "(elsewhere, process 7)" in said[0][0]
    assert f"DROP TABLE {LOCK}" in said[0][0]


def test_a_lock_of_this_host_that_is_held_is_waited_for(client: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays while its process lives. A lock that can't be read stays for its time."""
    for note in (
        f"{socket.gethostname()} pid {os.getpid()} began {migrations.began(os.getpid())}",
        "by hand",
    ):
        client.run("DROP DATABASE IF EXISTS forebay SYNC")
        left(client, note)
        said: list[str] = []

        def say(text: str, said: list[str] = said) -> None:
            said.append(text)
            client.run(f"DROP TABLE {LOCK} SYNC")

        assert migrate_first(client, say=say) == [FIRST.name]
        assert [text.startswith("waiting for another") for text in said] == [True]


def test_whoever_is_alone_does_not_even_look(client: ClickHouse) -> None:
    """It waits for no lock."""
    left(client, "host pid 1 began 1")
    assert migrate_first(client, is_alone=True) == [FIRST.name]


def test_a_failure_gives_the_lock_back(client: ClickHouse) -> None:
    """A migration that fails is reported and not recorded, and keeps nobody from migrating."""
    broken = Migration("0001_x", "CREATE TABLE IF NOT EXISTS forebay.x (a NoSuchType) ENGINE = Null;\n")
    with pytest.raises(ClickHouseError, match="NoSuchType"):
        migrate(client.run, migrations=[broken])
    assert LOCK.partition(".")[2] not in tables(client)
    assert migrate_first(client) == [FIRST.name]


def test_nobody_there_is_said(checkout: Path) -> None:
    """The command names the address, and exits with 1."""
    words = (sys.executable, "-m", "forebay", "migrate", "--clickhouse-url", "http://127.0.0.1:9")
    done = subprocess.run(words, capture_output=True, text=True, cwd=checkout, check=False, env=dict(os.environ))
    assert done.returncode == 1
    assert "ClickHouse does not answer at http://127.0.0.1:9" in done.stderr


def test_every_column_of_every_view_is_described(client: ClickHouse) -> None:
    """Also the columns of a view that a later migration makes anew have their comments."""
    assert migrate(client.run) == NAMES
    described = "SELECT table, name FROM system.columns WHERE database = 'forebay' AND comment = '' FORMAT TabSeparated"
    bare = {line.split("\t")[0] for line in client.run(described).splitlines()}
    assert not bare & {
        "events",
        "sessions",
        "daily",
        "v_events",
        "v_pageviews",
        "v_sessions",
        "named_sessions",
        "v_pages",
    }, client.run(described)
    again = Migration(
        "9999_again", "CREATE OR REPLACE VIEW forebay.v_events AS SELECT * FROM forebay.events WHERE bot = '';"
    )
    assert migrate(client.run, migrations=[*packaged(), again]) == ["9999_again"]
    where = "WHERE database = 'forebay' AND name = 'path' AND table IN ('events', 'v_events')"
    assert len(set(client.run(f"SELECT comment FROM system.columns {where} FORMAT TabSeparated").splitlines())) == 1
