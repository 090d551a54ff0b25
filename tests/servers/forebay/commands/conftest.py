"""Runs a command of `forebay` on a real Redis that has one site. A module says which command in COMMAND."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forebay.command_line import main
from runtime.redis import BlockingRedis, url_of
from schemas.redis.keys import SITES_KEY
from schemas.site import RegisteredSite
from tests.support import redis_server

server = redis_server.server
PASSWORD = "four words that nobody guesses"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def redis(server: Path) -> Iterator[BlockingRedis]:
    """Gives a Redis with one site."""
    with BlockingRedis(unix_socket_path=str(server)) as client:
        client.flushall()
        client.hset(SITES_KEY, "shop.example", RegisteredSite().encode())
        yield client


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    server: Path,
    redis: BlockingRedis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs the command with these words and this text in stdin, and returns its exit status and what it printed."""

    def command(*words: str, stdin: str = PASSWORD + "\n") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = main([request.module.COMMAND, words[0], "--redis-url", url_of(server), *words[1:]])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command
