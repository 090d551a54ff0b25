"""`forebay up` from outside: it gets ready, what dies of it is started again, and it refuses some starts."""

import asyncio
import html
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import redis as redis_library

from forebay.clickhouse import ClickHouse
from forebay.embedded.redis import find_server
from forebay.up.plan import NICENESS
from schemas.redis.keys import SALT_KEYS
from tests.support.command import forebay
from tests.support.engine import EngineProcess
from tests.support.redis_programs import EMBEDDED, program
from tests.support.system import ROOT, NewSystem, System, is_alive, running, started
from tests.support.tables import before_release

OTHER_PORTS = ("--internal-port", "0", "--clickhouse-port", "0", "--dashboard-port", "0")


def post(url: str, site: str = "example.com") -> int:
    event = json.dumps({"url": "https://example.com/page", "site": site}).encode()
    request = urllib.request.Request(f"{url}/f", data=event, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
    return status


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs one `forebay up` for the tests that leave it running."""
    first = NewSystem(tmp_path_factory.mktemp("up"), "--site", "example.com", FOREBAY_LOG_FORMAT="text")
    async with started(first) as one:
        yield one


@pytest.mark.parametrize("name", EMBEDDED)
async def test_each_redis_server_stores_an_event_and_is_named(tmp_path: Path, name: str) -> None:
    """PATH's comes before the bundled one; banner, log and run.json name the one that runs."""
    found = Path(program(name))
    named = find_server(str(found))
    path = f"{found.parent}{os.pathsep}{os.environ['PATH']}"
    async with running(tmp_path, PATH=path, FOREBAY_LOG_FORMAT="text") as system:
        facts = system.facts()
        assert facts["redis_server"] == {"program": str(found), "version": named.release}
        with redis_library.Redis.from_url(facts["redis_url"]) as client:
            assert client.info("server")["redis_version"] == named.release
        said = system.log.read_text()
        assert f"Redis       {named.release}, {found}" in said
        assert f"Redis {named.release}, {found}" in said
        assert post(facts["url"]) == 202


async def test_each_internal_port_says_what_runs_and_what_it_uses(system: System) -> None:
    """It has version, processes, memory of Redis and its limit, free disk, ClickHouse, and no `_created` beside each."""
    facts = system.facts()
    series: dict[str, str] = {}
    memory, memory_max = (
        f'forebay_redis_memory_{what}@{facts["internal_url"]}{{node=""}}' for what in ("bytes", "max_bytes")
    )

    def scrape() -> bool:
        for url in (facts["internal_url"], facts["flusher_internal_url"]):
            with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
                lines = answer.read().decode().splitlines()
            series.update(
                (line.rpartition(" ")[0].replace("{", f"@{url}{{", 1), line.rpartition(" ")[2])
                for line in lines
                if line and not line.startswith("#")
            )
        has_looked = float(series.get(memory_max, 0)) > 0
        return has_looked and f'forebay_disk_free_bytes@{facts["internal_url"]}{{where="spool"}}' in series

    assert post(facts["url"]) == 202
    await system.until(scrape)
    named = {name.replace(facts["internal_url"], "i").replace(facts["flusher_internal_url"], "f") for name in series}
    assert not [name for name in named if name.partition("@")[0].partition("{")[0].endswith("_created")]
    for port in "if":
        assert [name for name in named if name.startswith(f"forebay_build_info@{port}{{") and 'version="' in name]
    for process in ("tier", "0"):
        assert f'process_resident_memory_bytes@i{{process="{process}"}}' in named
    assert {"process_cpu_seconds_total", "forebay_clickhouse_up"} <= named
    assert float(series[memory]) > 0
    assert series["forebay_clickhouse_up"] == "1.0"
    assert float(series[memory_max]) == 512 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kathmandu(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs one that takes any site, and has the days of Kathmandu."""
    async with running(tmp_path_factory.mktemp("kathmandu"), "--timezone", "Asia/Kathmandu") as one:
        yield one


@pytest.mark.asyncio(loop_scope="module")
async def test_sites_have_the_days_of_a_time_zone(kathmandu: System) -> None:
    """That of the option, or their own from the next midnight in it on: the salts of both are there, and those of no other day."""
    assert post(kathmandu.facts()["url"]) == 202
    with redis_library.Redis.from_url(kathmandu.facts()["redis_url"]) as client:

        def starts() -> set[str]:
            return {key.decode().rpartition("T")[2] for key in client.scan_iter(SALT_KEYS)}

        assert starts() == {"18:15Z"}
        words = ("example.com", "--timezone", "Pacific/Marquesas", "--data", str(kathmandu.data))
        assert forebay("site", "add", *words).returncode == 0
        listed = forebay("site", "list", "--data", str(kathmandu.data)).stdout
        assert re.search(r"timezone=Pacific/Marquesas timezone_from=\S+T09:30Z\n", listed), listed
        assert post(kathmandu.facts()["url"]) == 202
        assert starts() <= {"18:15Z", "09:30Z"}


@pytest.mark.asyncio(loop_scope="module")
async def test_removing_a_site_says_when_it_is_taken_all_the_same(kathmandu: System) -> None:
    """If any site is accepted, being registered makes no difference to that."""
    data = str(kathmandu.data)
    assert forebay("site", "add", "example.net", "--data", data).returncode == 0
    removed = forebay("site", "remove", "example.net", "--data", data)
    assert (removed.returncode, "accepts events of any site" in removed.stderr) == (0, True)


async def test_strangers_find_no_demo_and_no_open_door(tmp_path: Path) -> None:
    """With a public URL there is nothing at `/`, no site that was not named, and the snippet has the public URL."""
    async with running(tmp_path, "--public-url", "https://stats.example.com/") as system:
        url = system.facts()["url"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url + "/", timeout=60)
        with refused.value:
            assert refused.value.code == 404
        assert {post(url, site=site) for site in ("demo", "example.com")} == {403}
        post(url, site="\x1b[31mevil")
        listed = partial(forebay, "site", "list", "--data", str(system.data))
        await system.until(lambda: "no name of a site" in listed().stdout)
        said = [line.split() for line in listed().stdout.splitlines()]
        assert ["unknown_site", "example.com", "1", "last"] in [words[:4] for words in said], said
        assert "\x1b" not in listed().stdout
        added = forebay("site", "add", "example.com", "--data", str(system.data))
        assert added.stdout == '<script defer src="https://stats.example.com/f.js" data-site="example.com"></script>\n'
        await system.until(lambda: post(url, site="example.com") == 202)
        assert "Demo page" not in system.log.read_text()
        removed = forebay("site", "remove", "example.com", "--data", str(system.data))
        assert (removed.returncode, removed.stderr) == (0, "")


@pytest.mark.asyncio(loop_scope="module")
class TestRunning:
    async def test_it_tells_where_everything_is(self, system: System) -> None:
        """The ready file has the keys of docs/data-model.md, each address answers, and the banner says what to do next."""
        facts = system.facts()
        assert {"url", "internal_url", "clickhouse_url", "dashboard_url", "redis_url", "redis_server", "pids"} <= set(
            facts
        )
        assert set(facts["pids"]) == {"redis", "clickhouse", "ingest", "flusher", "dashboard"}
        assert all(is_alive(pid) for pid in system.pids().values())
        for url in (
            facts["url"] + "/",
            facts["internal_url"] + "/readyz",
            facts["clickhouse_url"] + "/ping",
            facts["dashboard_url"] + "/readyz",
        ):
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.status == 200
        said = system.log.read_text()
        assert f'<script defer src="{facts["url"]}/f.js" data-site="example.com"></script>' in said
        assert f"{facts['url']}/" in said
        assert said.partition("Dashboard   ")[2].startswith(f"{facts['dashboard_url']}/\n")
        assert "query" in said

    async def test_the_demo_page_asks_as_the_reader_would(self, system: System) -> None:
        """Its command is the banner's, which answers where Forebay was started."""
        with urllib.request.urlopen(system.facts()["url"] + "/", timeout=60) as answer:
            found = re.search('<code id="query">(.*?)</code>', answer.read().decode())
        assert found
        asked = html.unescape(found[1])
        assert asked.partition(' "SELECT')[0] in system.log.read_text()
        done = subprocess.run(asked, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S602  as a reader pastes it
        assert (done.returncode, done.stdout.split()[:3]) == (0, ["ts", "name", "path"]), (asked, done.stderr)

    async def test_storing_stands_back_for_acknowledging(self, system: System) -> None:
        """The engine and the flusher have a higher niceness than this process, also if the kernel groups by session."""
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        for name, pid in system.pids().items():
            expected = NICENESS.get(name.split()[0], 0)
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, ours + expected)
            group = Path(f"/proc/{pid}/autogroup")
            if expected and group.exists():
                assert group.read_text().split()[-1] == str(expected)

    async def test_redis_listens_on_its_socket_alone(self, system: System) -> None:
        """There is no TCP port unless it was asked for."""
        pid = system.facts()["pids"]["redis"]
        inodes = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
        owned = [
            line for line in tables.splitlines() if len(line.split()) > 9 and f"socket:[{line.split()[9]}]" in inodes
        ]
        assert owned == []

    async def test_both_ip_versions_of_this_machine_are_served(self, system: System) -> None:
        """`localhost` is 127.0.0.1 and ::1, and other machines can't reach it."""
        port = int(system.facts()["url"].rpartition(":")[2])
        assert post(f"http://127.0.0.1:{port}") == 202
        if socket.has_dualstack_ipv6():
            assert post(f"http://[::1]:{port}") == 202

    async def test_the_tools_find_it(self, system: System) -> None:
        """`forebay query` and `forebay site` need only its data directory."""
        data = str(system.data)
        assert forebay("query", "--data", data, "SELECT 1 AS n").stdout == "n\n1\n"
        added = forebay("site", "add", "example.net", "--data", data)
        assert added.stdout == f'<script defer src="{system.facts()["url"]}/f.js" data-site="example.net"></script>\n'
        assert forebay("migrate", "--data", data).stdout.startswith("nothing to do")

    async def test_its_data_is_its_own(self, system: System) -> None:
        """A second one on the same directory is told the owner."""
        done = forebay("up", "--data", str(system.data), "--port", "0", *OTHER_PORTS)
        assert done.returncode == 1
        assert f"is in use by pid {system.pids()['up']}" in done.stderr

    async def test_a_port_in_use_names_its_owner(self, system: System, tmp_path: Path) -> None:
        """All ports that are taken are named at once, with their owners, and nothing was started."""
        facts = system.facts()
        taken = [facts[key].rpartition(":")[2] for key in ("url", "clickhouse_url")]
        words = ("--port", taken[0], "--clickhouse-port", taken[1], "--internal-port", "0", "--dashboard-port", "0")
        done = forebay("up", "--data", str(tmp_path), *words)
        assert done.returncode == 1
        pids = system.pids()
        assert f"port {taken[0]} is in use by pid {pids['ingest tier']} (" in done.stderr
        assert f"port {taken[1]} is in use by pid {pids['clickhouse']} (" in done.stderr
        assert "choose another with --clickhouse-port" in done.stderr

    @pytest.mark.parametrize("name", ["ingest 0", "flusher 0", "clickhouse", "redis", "ingest tier", "dashboard"])
    async def test_what_dies_is_started_again(self, system: System, name: str) -> None:
        """This holds for every process: the ready file has the new pid, ports stay, and events are accepted and stored."""
        before = system.facts()
        pid = system.pids()[name]
        key, _, _ = name.partition(" ")
        os.kill(pid, signal.SIGKILL)
        await system.until(lambda: system.facts()["pids"][key] != before["pids"][key])
        assert {k: v for k, v in system.facts().items() if k != "pids"} == {
            k: v for k, v in before.items() if k != "pids"
        }
        stored = await self._stored(system)
        await system.until(lambda: _is_taken(before["url"]))
        await system.stored("1", stored + 1)

    async def _stored(self, system: System) -> int:
        found: int = (await system.ask("SELECT count() FROM forebay.events"))[0][0]
        return found


def _is_taken(url: str) -> bool:
    try:
        return post(url) == 202
    except OSError:
        return False


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_directory_of_an_unreleased_revision_is_refused(tmp_path: Path, is_marked: bool) -> None:
    """By what lies beside its tables before anything is started, else by its tables; one sentence says what to do."""
    data = tmp_path / "data"
    engine = EngineProcess(data / "clickhouse")
    before_release(ClickHouse(f"http://127.0.0.1:{engine.port}"))
    assert engine.stop() == 0
    if is_marked:
        (data / "tables").write_text("a" * 64)
    done = forebay("up", "--data", str(data), "--port", "0", *OTHER_PORTS)
    assert done.returncode == 2, done.stderr
    assert (
        done.stderr.count("made by a revision from before release 0.1.0, which no release reads: begin with an empty")
        == 1
    )
    assert (data / "redis").exists() == (not is_marked)
    assert (data / "tables").exists() == is_marked


async def test_what_cannot_start_is_given_up(tmp_path: Path) -> None:
    """If Redis can't read its data, the start ends with exit code 1 and the reason, and leaves nothing behind."""
    (tmp_path / "data" / "redis").mkdir(parents=True)
    (tmp_path / "data" / "redis" / "appendonly.aof").write_bytes(b"this is no append-only file\n" * 100)
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps({"url": "of a former run"}))
    words = ("up", "--data", str(tmp_path / "data"), "--port", "0", *OTHER_PORTS, "--ready-file", str(ready))
    done = await asyncio.to_thread(forebay, *words)
    assert done.returncode == 1
    assert "redis does not start" in done.stderr
    assert "redis.log" in done.stderr
    assert not ready.exists()
