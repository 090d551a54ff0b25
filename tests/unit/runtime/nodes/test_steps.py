"""runtime/nodes: which answers are refusals, and where a command goes after one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TimedOut

from runtime.nodes.layout import Layout, key_of, slot_of
from runtime.nodes.routes import Routes, routes, units
from runtime.nodes.steps import PAUSES, TRIES, Step, Steps, hint, is_doubtful, is_old
from schemas.redis.address import Address, Node
from schemas.redis.keys import Keys

A, B, C = Node("a", 1), Node("b", 2), Node("c", 3)
OF_A_SCRIPT = "Error running script (call to f_a8e0): @user_script:1: @user_script: 1:"  # as Redis 6.2 begins it
MOVED = MovedError("3999 b:2", status_code="MOVED")


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (MOVED, Step(B, is_layout_old=True)),
        (ResponseError("MOVED 3999 b:2"), Step(B, is_layout_old=True)),
        (ResponseError("MOVED 3999 :2"), Step(Node("a", 2), is_layout_old=True)),
        (ResponseError("MOVED 3999 ::1:2"), Step(Node("::1", 2), is_layout_old=True)),
        (AskError("3999 b:2", status_code="ASK"), Step(B, is_asking=True)),
        (TryAgainError("Multiple keys", status_code="TRYAGAIN"), Step(A, pause=PAUSES[0])),
        (ResponseError("CLUSTERDOWN The cluster is down"), Step(pause=PAUSES[0], is_layout_old=True)),
        (ClusterDownError("down", status_code="CLUSTERDOWN"), Step(pause=PAUSES[0], is_layout_old=True)),
        (BusyLoadingError("loading", status_code="LOADING"), Step(pause=PAUSES[0], is_layout_old=True)),
        (ReadOnlyError("a replica", status_code="READONLY"), Step(pause=PAUSES[0], is_layout_old=True)),
        (ResponseError(f"ERR {OF_A_SCRIPT} -READONLY You can't write."), Step(pause=PAUSES[0], is_layout_old=True)),
        (
            ResponseError(f"{OF_A_SCRIPT} -READONLY You can't write.", status_code="ERR"),
            Step(pause=PAUSES[0], is_layout_old=True),
        ),
        (ResponseError(f"ERR {OF_A_SCRIPT} -NOREPLICAS Not enough good replicas to write."), None),
        (ResponseError(f"ERR {OF_A_SCRIPT} WRONGTYPE Operation against a key"), None),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), None),
        (ResponseError("OOM command not allowed"), None),
        (ResponseError("WRONGTYPE Operation against a key"), None),
        (NotConnected("Connection closed by server."), None),
        (TimedOut("Timeout reading from socket"), None),
        (OSError("MOVED 3999 b:2"), None),
        (NotConnected("MOVED 3999 b:2"), None),  # no server's word
    ],
)
def test_the_step_after_an_error(error: Exception, step: Step | None) -> None:
    """A refusal leads on; what may have run, or would be refused again, is the caller's to hear."""
    assert Steps().after(error, A) == step


@pytest.mark.parametrize("text", ["NOREPLICAS Not enough good replicas", f"ERR {OF_A_SCRIPT} -NOREPLICAS Not enough"])
def test_a_primary_without_replicas_is_in_doubt(text: str) -> None:
    """It was perhaps succeeded by one that it does not hear. A replica may be missing for hours, so it is asked about now and then."""
    error = ResponseError(text)
    assert is_doubtful(error)
    assert not is_old(error)
    known = Routes(Address.parse("redis+cluster://a"), seconds=1)
    known.is_old = False
    known.hear(error)
    assert known.is_old
    known.is_old, known._found_at = False, time.monotonic()
    known.hear(error)
    assert not known.is_old


def test_steps_end() -> None:
    """Two servers that name each other, and a slot that nobody gets, are heard of in the end."""
    steps = Steps()
    assert [steps.after(MOVED, A) is None for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]
    steps = Steps()
    assert [steps.after(ResponseError("CLUSTERDOWN"), A) is None for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("error", "old"),
    [(MOVED, True), (NotConnected("gone"), True), (OSError("refused"), True), (ResponseError("OOM"), False)],
)
def test_what_makes_a_layout_old(error: Exception, old: bool) -> None:
    """A refusal that names another server, and no answer; a server that is full is still the right one."""
    assert is_old(error) is old


def test_one_server_that_is_a_cluster_s_node_is_explained() -> None:
    """Behind the error of whoever took it for a Redis of its own."""
    assert "redis+cluster://b:2" in hint(MOVED)
    assert hint(ResponseError("OOM")) == hint(NotConnected("x")) == ""


def test_all_keys_of_a_shard_share_a_slot() -> None:
    """Scripts take several of them."""
    for shard in (0, 7, 255):
        keys = Keys(shard)
        names = [getattr(keys, name) for name in Keys.__slots__ if name != "shard"]
        assert len({slot_of(name) for name in [*names, keys.aside_entry("1-0")]}) == 1


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        ((b"EVALSHA", "sha", 2, "k", "l", "arg"), "k"),
        (("EVAL", "text", 0, "arg"), None),
        (("XINFO STREAM", "k"), "k"),
        (("MEMORY USAGE", "k", "SAMPLES", 0), "k"),
        (("WAIT", 1, 100), None),
        (("CONFIG GET", "*"), None),
        (("SCRIPT LOAD", "text"), None),
    ],
)
def test_the_key_of_a_command(command: tuple[Any, ...], key: str | None) -> None:
    """A script's is behind its number of keys; what asks a server about itself has none."""
    assert key_of(command) == key


def test_a_command_without_a_key_belongs_to_the_one_before_it() -> None:
    """WAIT means the write before it, on the same connection."""
    commands: Any = [(("SET", "a", 1), {}), (("WAIT", 1, 9), {}), (("SET", "b", 1), {})]
    assert [[args[0] for args, _ in unit] for unit in units(commands)] == [["SET", "WAIT"], ["SET"]]


def test_a_layout_of_cluster_slots() -> None:
    """A node that does not know its own address means the one that was asked."""
    layout = Layout.of_slots([[0, 99, [b"", 1, b"id"], [b"r", 9, b"id"]], [200, 16383, [b"b", 2, b"id"]]], A)
    assert (layout.slots[0], layout.slots[99], layout.slots[100], layout.slots[200]) == (A, A, None, B)
    assert (layout.primaries, layout.replicas) == ((A, B), (Node("r", 9),))


class Driven:
    """Drives a command through servers that answer with these, in their order, and remembers what it was asked to do."""

    def __init__(self, *answers: Any, unit: Any = ((("GET", "k"), {}),)) -> None:
        self.routes = Routes(Address.parse("redis+cluster://a:1,b:2"), seconds=1)
        self.done: list[Any] = []
        actions = routes(self.routes, list(unit))
        left = list(answers)
        sent: Any = None
        while True:
            try:
                action = actions.send(sent)
            except StopIteration as end:
                self.answers = end.value
                break
            self.done.append(action)
            sent = None
            if action is None:
                sent = Layout.of_master(A, ())
            elif isinstance(action, tuple):
                sent = [left.pop(0)]
        assert not left


def test_a_command_goes_where_it_is_sent() -> None:
    """MOVED to the server that it names; ASK there once, with ASKING; then the layout's again."""
    driven = Driven(MOVED, AskError("3999 c:3", status_code="ASK"), b"value")
    assert driven.answers == [b"value"]
    assert driven.done == [None, (A, False), (B, False), (C, True)]
    assert driven.routes.is_old


def test_a_command_waits_for_an_election() -> None:
    """And hears after 0.3 s that there was none."""
    down = ResponseError("CLUSTERDOWN The cluster is down")
    driven = Driven(*[down] * 5)
    assert driven.answers == [down]
    assert [action for action in driven.done if isinstance(action, float)] == list(PAUSES)


def test_what_names_no_key_is_not_guessed() -> None:
    """Of several servers one has to be meant."""
    layout = Layout([A] * 10 + [B] * 16374, (A, B))
    actions = routes(Routes(Address.parse("redis+cluster://a:1"), seconds=1), [(("TIME",), {})])
    next(actions)
    with pytest.raises(RedisError, match="TIME names no key"):
        actions.send(layout)
