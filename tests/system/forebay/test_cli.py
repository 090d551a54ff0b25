"""The `forebay` command from outside: help, faults in the settings, sites, queries."""

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from forebay.clickhouse import ClickHouse
from schemas.redis.keys import SITES_KEY
from schemas.runfile import RUN_FILE
from tests.support.command import forebay
from tests.support.engine import EngineProcess
from tests.support.programs import program
from tests.support.redis_server import started
from tests.support.system import ROOT


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Redis, str]]:
    """A Redis and its URL."""
    directory = tmp_path_factory.mktemp("redis")
    with started(directory) as (client, _):
        yield client, f"unix://{directory}/redis.sock"


def test_help_lists_every_command() -> None:
    """It does, also if no command is given."""
    for words in ([], ["--help"], ["help"]):
        done = forebay(*words)
        assert done.returncode == 0
        for name in ("up", "ingest", "flusher", "migrate", "site", "query", "loadtest"):
            assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", ["up", "migrate", "site", "query", "ingest"])
def test_every_command_explains_itself(name: str) -> None:
    """Each command has a `--help` of its own."""
    done = forebay(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: forebay {name}")


def test_the_version_is_said() -> None:
    """It is one line, for bug reports."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert forebay("--version").stdout == f"forebay {declared}\n"


def test_an_unknown_command_is_refused() -> None:
    """The error lists the commands."""
    done = forebay("upp")
    assert done.returncode == 2
    assert "no such command: upp" in done.stderr
    assert "usage" in done.stderr


def test_all_faults_of_the_settings_are_said_at_once() -> None:
    """The exit code is 2. Each fault has a line with its place in the documentation, of options and environment alike."""
    done = forebay("up", "--port", "70000", workers="none", redis_bytes_max="1")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for name in ("port", "workers", "redis_bytes_max"):
        assert any(f"FOREBAY_{name.upper()}: " in line and f"docs/configuration.md#{name}" in line for line in lines)


def test_the_tiers_refuse_wrong_settings_too() -> None:
    """The programs behind `forebay ingest` and `forebay flusher` exit with 2."""
    for name in ("ingest", "flusher"):
        done = forebay(name, shards="0")
        assert done.returncode == 2
        assert "docs/configuration.md#shards" in done.stderr


@pytest.mark.parametrize("name", ["up", "ingest"])
def test_a_time_zone_of_the_settings_that_nobody_knows_is_refused(name: str, tmp_path: Path) -> None:
    """Before anything starts, with the names that come near."""
    done = forebay(name, timezone="berlin", data=str(tmp_path / "data"), log_format="text")
    assert done.returncode == 2
    assert "FOREBAY_TIMEZONE: 'berlin' is not a known time zone: did you mean Europe/Berlin?" in done.stderr
    assert "docs/configuration.md#timezone" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_site_or_an_address_that_can_be_none_is_refused(tmp_path: Path) -> None:
    """Before anything starts: `up` ran, refused each event of the site that was meant, and printed a snippet that loads nothing."""
    data = tmp_path / "data"
    sites = ("--site", "https://example.com/", "--site", "example.org")
    addresses = ("--public-url", "stats.example.com", "--dashboard-url", "foo")
    done = forebay("up", *sites, *addresses, "--data", str(data), log_format="text")
    assert done.returncode == 2
    assert [line.rpartition("#")[2] for line in done.stderr.splitlines()] == ["sites)", "dashboard_url)", "public_url)"]
    assert "'https://example.com/' can't be the name of a site: use its domain" in done.stderr
    assert "'stats.example.com' is no address: write https://stats.example.com" in done.stderr
    assert "'foo' is no address of a host alone" in done.stderr
    assert not data.exists()


def test_ingest_refuses_a_site_that_can_be_none() -> None:
    """It would refuse each event of the site that was meant."""
    done = forebay("ingest", sites="*,example.org,no site", log_format="text")
    assert done.returncode == 2
    assert "FOREBAY_SITES: 'no site' can't be the name of a site: use its domain" in done.stderr
    assert "docs/configuration.md#sites" in done.stderr


@pytest.mark.parametrize("name", ["up", "ingest", "flusher"])
def test_where_lines_are_json_a_fault_is_one(name: str) -> None:
    """A log collector can then read why it did not start."""
    done = forebay(name, shards="0", workers="none", log_format="json")
    assert done.returncode == 2
    said = [json.loads(line)["text"] for line in done.stderr.splitlines()]
    assert any("docs/configuration.md#shards" in text for text in said)


def test_a_service_says_its_fault_as_json_by_default() -> None:
    """Without a terminal `forebay up` writes JSON, also before it could read its settings."""
    done = forebay("up", workers="none")
    assert done.returncode == 2
    assert ["FOREBAY_WORKERS: " in json.loads(line)["text"] for line in done.stderr.splitlines()] == [True]


def test_settings_that_only_their_users_understand_are_refused_too(tmp_path: Path) -> None:
    """Networks, databases and words are checked before anything starts, and all faults are printed at once."""
    (tmp_path / "spam.txt").write_bytes(b"\0")
    done = forebay(
        "ingest",
        trusted_proxies="10.0.0.0/99",
        country_database=str(tmp_path),
        referrer_spam_file=str(tmp_path / "spam.txt"),
        log_format="loud",
    )
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    settings = ("trusted_proxies", "country_database", "referrer_spam_file", "log_format")
    assert [line.rpartition("#")[2] for line in lines] == [f"{name})" for name in settings]


def test_up_without_the_engine_names_its_package(tmp_path: Path) -> None:
    """A production image has no engine, so `forebay up` names its package before anything starts."""
    words = program("without_engine", "up", "--data", tmp_path / "data")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "forebay[embedded]" in done.stderr
    assert not (tmp_path / "data").exists()


def test_sites_are_added_listed_and_removed(redis: tuple[Redis, str]) -> None:
    """Ingest reads what was added, and adding again adds to it."""
    client, url = redis
    added = forebay(
        "site", "add", "WWW.Example.com", "--domain", "example.net", redis_url=url, public_url="https://in.example/"
    )
    assert added.stdout == '<script defer src="https://in.example/f.js" data-site="example.com"></script>\n'
    assert added.stderr == ""
    words = ("--domain", "www.example.org", "--hash-routing", "--privacy", "drop")
    routed = forebay("site", "add", "example.com", *words, redis_url=url, public_url="https://in.example")
    tag = '<script defer src="https://in.example/f.js" data-site="example.com" data-hash></script>\n'
    assert routed.stdout == tag
    again = forebay("site", "add", "example.com", redis_url=url, public_url="https://in.example")
    assert again.stdout == tag, "what was said before still holds"
    assert json.loads(client.hget(SITES_KEY, "example.com") or b"") == {
        "domains": ["example.net", "example.org"],
        "keys": [],
        "settings": {"hash_routing": True, "privacy": "drop"},
    }
    listed = forebay("site", "list", redis_url=url).stdout
    assert listed == "example.com\texample.net example.org\thash_routing=True privacy=drop\n"
    assert forebay("site", "remove", "example.com", redis_url=url).returncode == 0
    assert forebay("site", "remove", "example.com", redis_url=url).returncode == 1
    assert client.hgetall(SITES_KEY) == {}
    none = forebay("site", "list", redis_url=url)
    assert (none.stdout, "no site is registered" in none.stderr) == ("", True)


def test_a_snippet_that_only_this_machine_can_load_is_said(redis: tuple[Redis, str]) -> None:
    """In a page it would send each visitor to the visitor's own machine."""
    added = forebay("site", "add", "example.com", redis_url=redis[1], public_url="http://127.0.0.1:8000")
    assert "--public-url" in added.stderr


def test_a_site_needs_a_name(redis: tuple[Redis, str]) -> None:
    """A name that no event could have is not registered."""
    done = forebay("site", "add", "https://example.com/", redis_url=redis[1])
    assert done.returncode == 2
    assert "can't be the name of a site" in done.stderr


@pytest.fixture
def no_sites(redis: tuple[Redis, str]) -> Iterator[tuple[Redis, str]]:
    """Gives a Redis on which no site is registered."""
    client, _ = redis
    client.delete(SITES_KEY)
    yield redis
    client.delete(SITES_KEY)


def test_a_registered_site_is_changed(no_sites: tuple[Redis, str]) -> None:
    """What is not named stays; a switch can be taken back; the snippet is not printed again."""
    client, url = no_sites
    forebay("site", "add", "example.com", "--domain", "a.example", "--keep-query", redis_url=url)
    changed = forebay("site", "set", "Example.com", "--no-keep-query", "--privacy", "drop", redis_url=url)
    assert (changed.returncode, changed.stderr) == (0, "")
    assert changed.stdout == "example.com\ta.example\tprivacy=drop\n"
    assert json.loads(client.hget(SITES_KEY, "example.com") or b"")["settings"] == {"privacy": "drop"}


def test_a_site_that_is_not_registered_is_not_changed(no_sites: tuple[Redis, str]) -> None:
    """A misspelt name must not become a site."""
    client, url = no_sites
    done = forebay("site", "set", "exmaple.com", "--timezone", "Asia/Tokyo", redis_url=url)
    assert done.returncode == 1
    assert "exmaple.com is not registered" in done.stderr
    assert not client.exists(SITES_KEY)


def test_entries_that_can_not_be_read_hide_no_other_site_and_are_written_again(no_sites: tuple[Redis, str]) -> None:
    """They are listed as such, and `site add` puts a good one in the place of each, as docs/operations.md says."""
    client, url = no_sites
    entries = ("{broken", "[]", '{"zones_before": [{"until": "soon"}]}', "[" * 100_000)
    bad = {f"bad-{number}.example": entry for number, entry in enumerate(entries)}
    for name, entry in bad.items():
        client.hset(SITES_KEY, name, entry)
    assert forebay("site", "add", "good.example", redis_url=url).returncode == 0
    done = forebay("site", "list", redis_url=url)
    assert done.returncode == 0
    assert "good.example\n" in done.stdout
    for name in bad:
        assert f"{name}: its entry in Redis can't be read" in done.stderr
        refused = forebay("site", "set", name, "--privacy", "drop", redis_url=url)
        assert refused.returncode == 1
        assert f"`forebay site add {name}` writes it anew" in refused.stderr
        written = forebay("site", "add", name, "--timezone", "Asia/Tokyo", redis_url=url)
        assert written.returncode == 0
        assert "its entry in Redis can't be read" in written.stderr
    listed = forebay("site", "list", redis_url=url).stdout
    assert all(f"{name}\t\ttimezone=Asia/Tokyo" in listed for name in bad), listed


@pytest.mark.parametrize("action", ["add", "set"])
def test_a_time_zone_that_nobody_knows_is_refused_with_its_neighbours(no_sites: tuple[Redis, str], action: str) -> None:
    """Nothing is changed, and who wrote a city or misspelt it reads the name."""
    client, url = no_sites
    forebay("site", "add", "example.com", redis_url=url)
    before = client.hgetall(SITES_KEY)
    done = forebay("site", action, "example.com", "--timezone", "Los Angeles", redis_url=url)
    assert done.returncode == 2
    assert done.stderr == ("forebay site: 'Los Angeles' is not a known time zone: did you mean America/Los_Angeles?\n")
    assert client.hgetall(SITES_KEY) == before


def test_a_time_zone_is_listed_with_the_moment_from_which_it_counts(no_sites: tuple[Redis, str]) -> None:
    """A site that had events may change only at a midnight of the new zone."""
    _, url = no_sites
    forebay("site", "add", "example.com", "--timezone", "Asia/Kathmandu", redis_url=url)
    assert forebay("site", "list", redis_url=url).stdout == "example.com\t\ttimezone=Asia/Kathmandu\n"
    forebay("site", "add", "other.example", redis_url=url)
    changed = forebay("site", "set", "other.example", "--timezone", "Asia/Kathmandu", redis_url=url).stdout
    shown = re.fullmatch(r"other\.example\t\ttimezone=Asia/Kathmandu timezone_from=(\S+)T18:15Z\n", changed)
    assert shown, changed
    assert changed in forebay("site", "list", redis_url=url).stdout


def test_a_missing_redis_is_said_without_its_password(tmp_path: Path) -> None:
    """The message has the address, and no password."""
    done = forebay("site", "list", redis_url="redis://:hunter2@127.0.0.1:9/0")
    assert done.returncode == 1
    assert "redis://127.0.0.1:9/0" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_query_is_answered_for_programs(engine: EngineProcess, clickhouse: ClickHouse) -> None:
    """Through a pipe there are tabs and names; an error goes to stderr, with exit code 1."""
    url = f"http://127.0.0.1:{engine.port}"
    assert (
        forebay("query", "SELECT currentDatabase() AS d, 'é' AS e", clickhouse_url=url).stdout == "d\te\nforebay\té\n"
    )
    assert forebay("query", "--clickhouse-url", url, "--format", "CSV", "SELECT 1, 'a'").stdout == '1,"a"\n'
    failed = forebay("query", "SELECT nothing", clickhouse_url=url)
    assert failed.returncode == 1
    assert "UNKNOWN_IDENTIFIER" in failed.stderr


def test_a_query_is_drawn_for_people(engine: EngineProcess, clickhouse: ClickHouse) -> None:
    """On a terminal it is a table."""
    ours, theirs = pty.openpty()
    words = (
        sys.executable,
        "-m",
        "forebay",
        "query",
        "--clickhouse-url",
        f"http://127.0.0.1:{engine.port}",
        "SELECT 7 AS n",
    )
    done = subprocess.run(words, cwd=ROOT, stdout=theirs, timeout=120, check=True)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "┌─n─┐" in said
    assert "│ 7 │" in said


def test_the_running_one_is_found_by_its_data(engine: EngineProcess, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """`--data` is enough if a `forebay up` runs on it; while it starts, the command says what to wait for."""
    early = forebay("query", "--data", str(tmp_path), "SELECT 1 AS n")
    assert (early.returncode, early.stdout) == (2, "")
    assert f"no `forebay up` runs on {tmp_path}, or it is not ready yet: start it and wait" in early.stderr
    assert "with --data" in early.stderr
    facts = {"clickhouse_url": f"http://127.0.0.1:{engine.port}"}
    (tmp_path / RUN_FILE).write_text(json.dumps(facts))
    assert forebay("query", "--data", str(tmp_path), "SELECT 1 AS n").stdout == "n\n1\n"
