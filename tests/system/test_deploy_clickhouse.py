"""ClickHouse's own engine reads deploy/clickhouse: each user can do its work and nothing else."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dashboard.ask.clickhouse import settings_of
from flusher.delivery.verify import SEEN
from flusher.shards.tail import DELETED, STARTED
from forebay.commands.migrate import migrate
from tests.support.programs import program

EVENT = "INSERT INTO forebay.events (site, name, ts, block_id) SELECT 's', 'n', toDateTime64('2026-01-01', 3), 'b'"

FORGET = "ALTER TABLE forebay.events DELETE WHERE block_id = 'b' AND toYYYYMM(ts) = 202601 AND attempt < 0"

FAR = "'http://127.0.0.1:1/', 'CSV', 'a String'"

REFUSALS = re.compile("ACCESS_DENIED|READONLY|SETTING_CONSTRAINT_VIOLATION|TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT")

QUESTIONS = ", ".join(f"{name} = '{value}'" for name, value in settings_of(seconds=30, rows_max=100_000).items())

ALLOWED = {
    "forebay_flusher": [
        EVENT,
        "INSERT INTO forebay.probe (site) SELECT 's'",
        "INSERT INTO forebay.blocks (block_id) SELECT 'b'",
        SEEN.replace("{block:String}", "'b'"),
        "SELECT count() FROM system.processes WHERE startsWith(query_id, 'b')",
        STARTED,
        DELETED.replace("{erasures:Array(String)}", "[]"),
        FORGET,
    ],
    "forebay_dashboard": [
        "SELECT count() FROM forebay.v_events",
        "SELECT * FROM forebay.v_sessions SETTINGS max_execution_time = 45",
        f"SELECT count() FROM forebay.closed_visits SETTINGS {QUESTIONS}",
        f"SELECT count() FROM forebay.named_sessions AS s SETTINGS {QUESTIONS}",  # as `forebay dashboard` asks
    ],
}

REFUSED = {
    "forebay_migrate": ["CREATE DATABASE other", "CREATE USER u", f"SELECT * FROM url({FAR})"],
    "forebay_flusher": [
        "DROP TABLE forebay.events",
        "TRUNCATE TABLE forebay.events",
        "ALTER TABLE forebay.events DROP PARTITION 202601",
        "ALTER TABLE forebay.events DROP PARTITION 202601 SETTINGS max_partition_size_to_drop = 0",
        "ALTER TABLE forebay.events UPDATE title = '' WHERE 1",
        "ALTER TABLE forebay.blocks DELETE WHERE 1",
        "CREATE TABLE forebay.other (a String) ENGINE = Memory",
        f"INSERT INTO FUNCTION url({FAR}) SELECT 'a'",
        "CREATE USER u",
    ],
    "forebay_dashboard": [
        EVENT,
        FORGET,
        "DROP TABLE forebay.events",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT name FROM system.users",
        "CREATE TEMPORARY TABLE mine (a String)",
        "ALTER TABLE forebay.closed_days DELETE WHERE 1",
        f"SELECT * FROM url({FAR})",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS max_result_rows = 0",
        "SELECT 1 SETTINGS priority = 1",
        "SELECT 1 SETTINGS priority = 0",
        "SET readonly = 0",
    ],
}


@pytest.fixture(scope="module")
def deploy(checkout: Path) -> Path:
    """The folder."""
    return checkout / "deploy"


def as_user(user: str, deploy: Path, directory: Path, statements: list[str]) -> list[str]:
    """What ClickHouse's engine says to each statement of this user.

    The engine runs for its own `default` alone: that one gets the user's rights and profile here.
    """
    rights = ET.parse(deploy / "clickhouse" / "users.xml")  # noqa: S314 - a file of this repository
    users = rights.getroot().find("users")
    assert users is not None
    chosen = next(one for one in users if one.tag == user)
    for one in list(users):
        users.remove(one)
    chosen.tag = "default"
    chosen.remove(chosen.find("password"))  # type: ignore[arg-type]  # a user without one fails the test
    ET.SubElement(chosen, "no_password")
    users.append(chosen)
    (directory / "users.d").mkdir(exist_ok=True)
    (directory / "config.d").mkdir(exist_ok=True)
    rights.write(directory / "users.d" / "forebay.xml")
    shutil.copy(deploy / "clickhouse" / "server.xml", directory / "config.d" / "forebay.xml")
    profiles = "<profiles><default/></profiles><quotas><default/></quotas>"
    (directory / "users.xml").write_text(f"<clickhouse>{profiles}<users/></clickhouse>")
    path = f"<users_xml><path>{directory / 'users.xml'}</path></users_xml>"
    (directory / "config.xml").write_text(f"<clickhouse><user_directories>{path}</user_directories></clickhouse>")
    target = f"{directory / 'data'}?config-file={directory / 'config.xml'}"
    done = subprocess.run(
        program("engine_statements", target),
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


def test_clickhouse_users_can_do_their_work_and_nothing_else(deploy: Path, tmp_path: Path) -> None:
    """Migrations as the one, then every statement that is needed, and some that must be refused."""
    statements: list[str] = []

    def recorded(statement: str) -> str:
        statements.append(statement)
        return ""

    migrate(recorded)
    asked, *rest = statements  # the first looks for a table that is not there yet
    made = [statement for statement in rest if statement.lstrip().startswith(("SELECT", "select")) is False]
    said = as_user("forebay_migrate", deploy, tmp_path, [*made, asked, *REFUSED["forebay_migrate"]])
    assert [text for text in said[: len(made) + 1] if text.startswith("refused")] == []
    assert [text[:30] for text in said[len(made) + 1 :] if not text.startswith("refused")] == []
    for user, allowed in ALLOWED.items():
        said = as_user(user, deploy, tmp_path, [*allowed, *REFUSED[user]])
        wrong = [text for text in said[: len(allowed)] if text.startswith("refused")]
        assert not wrong, (user, wrong)
        for statement, text in zip(REFUSED[user], said[len(allowed) :], strict=True):
            assert REFUSALS.search(text), (user, statement, text)


def test_clickhouse_knows_every_server_setting(deploy: Path, tmp_path: Path) -> None:
    """A misspelt one would be ignored; sections and what is removed have names of their own."""
    root = ET.parse(deploy / "clickhouse" / "server.xml").getroot()  # noqa: S314 - a file of this repository
    names = {one.tag for one in root if not one.get("remove") and one.tag != "logger" and not one.tag.endswith("_log")}
    (said,) = as_user("forebay_flusher", deploy, tmp_path, ["SELECT name FROM system.server_settings"])
    assert names - set(said.split()) == {
        "storage_configuration",  # a section, as the embedded engine's, which is tested there
        "timezone",  # read before there are settings
    }
