"""`forebay key` on a real Redis: a key is shown once, kept as a hash, listed without its secret, and revoked."""

from __future__ import annotations

import re

import pytest

from forebay.command_line import main
from runtime.redis import BlockingRedis
from schemas.keys import Key
from schemas.redis.keys import KEYS_KEY
from tests.servers.forebay.commands.conftest import Run

COMMAND = "key"


def test_a_key_is_shown_once_and_kept_as_a_hash(run: Run, redis: BlockingRedis) -> None:
    """Stdout has the key alone, for a script; what Redis has opens nothing."""
    status, text, said = run(
        "add", "--site", "WWW.Shop.example", "--scope", "read", "--name", "Grafana", "--rate", "60"
    )
    assert status == 0
    found = re.fullmatch(r"fbk_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})\n", text)
    assert found
    assert f"forebay key revoke {found[1]}" in said
    kept = redis.hgetall(KEYS_KEY)
    assert list(kept) == [found[1].encode()]
    key = Key.decode(redis.hget(KEYS_KEY, found[1]) or b"")
    assert key.is_of(text.strip())
    assert (key.sites, key.scope, key.rate, key.name) == (("shop.example",), "read", 60, "Grafana")
    assert found[2] not in repr(kept)
    status, listed, said = run("list")
    assert re.fullmatch(rf"{found[1]}\tread\tshop\.example\t60/h\t\d{{4}}-\d\d-\d\d\tGrafana\n", listed)
    assert (status, said) == (0, "")


def test_a_server_key_is_listed_without_a_limit(run: Run) -> None:
    """Its requests are not counted, so a number of requests an hour would be a promise that nobody keeps."""
    text = run("add", "--site", "shop.example", "--scope", "write")[1]
    listed = run("list")[1]
    assert re.fullmatch(rf"{text[4:14]}\twrite\tshop\.example\tno limit\t\d{{4}}-\d\d-\d\d\n", listed)


def test_a_key_is_revoked_by_its_id_or_by_itself(run: Run, redis: BlockingRedis) -> None:
    """Whoever found a key somewhere has not its ID in mind."""
    keys = [run("add", "--site", "*", "--scope", "read")[1].strip() for _ in range(2)]
    assert run("revoke", keys[0][4:14]) == (0, "", "")
    assert run("revoke", keys[1]) == (0, "", "")
    assert redis.hgetall(KEYS_KEY) == {}
    status, out, said = run("revoke", keys[0])
    assert (status, out) == (1, "")
    assert keys[0][15:] not in said
    assert run("list")[1] == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--site", "no site"],
        ["--site", "https://shop.example/"],
        ["--site", "shop.example", "--rate", "0"],
        ["--site", "shop.example", "--rate", "1000001"],
        ["--site", "shop.example", "--name", "x" * 121],
        ["--site", "shop.example", "--name", "a\tb"],
    ],
)
def test_what_can_not_be_is_refused(run: Run, redis: BlockingRedis, words: list[str]) -> None:
    """No key is made then."""
    status, out, said = run("add", "--scope", "read", *words)
    assert (status, out) == (2, "")
    assert said.startswith("forebay key: ")
    assert redis.hgetall(KEYS_KEY) == {}


def test_a_key_of_a_site_that_is_not_registered_is_made_and_said(run: Run) -> None:
    """The setting `sites` may name it; a misspelt name is more likely."""
    status, out, said = run("add", "--site", "shpo.example", "--scope", "read")
    assert (status, out != "") == (0, True)
    assert "shpo.example is not registered" in said


def test_a_record_that_can_not_be_read_hides_no_other(run: Run, redis: BlockingRedis) -> None:
    """It can be revoked as any."""
    run("add", "--site", "shop.example", "--scope", "read")
    redis.hset(KEYS_KEY, "broken", "[" * 9_999)
    status, out, said = run("list")
    assert (status, out.count("\n")) == (0, 1)
    assert "broken: its record can't be read" in said
    assert run("revoke", "broken")[0] == 0


def test_a_missing_redis_is_said_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the address, and no password."""
    assert main(["key", "list", "--redis-url", "redis://:hunter2@127.0.0.1:9/0"]) == 1
    said = capsys.readouterr().err
    assert "redis://127.0.0.1:9/0" in said
    assert "hunter2" not in said
