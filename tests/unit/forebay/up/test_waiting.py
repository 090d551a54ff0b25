"""A start of `forebay up` that takes long says what it waits for, whichever part that is."""

import asyncio

from forebay.up.command import awaited
from runtime.children import Child, Command


def _child(name: str, *, is_ready: bool) -> Child:
    command = Command(name=name, words=(), environment={}, is_ready=lambda: asyncio.sleep(0, result=True))
    child = Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)
    if is_ready:
        child.ready.set()
    return child


def test_processes_are_named_and_then_the_tables() -> None:
    """On a busy machine the tables of a new directory took half a minute, when every process had long been ready."""
    children = {name: _child(name, is_ready=name == "redis") for name in ("redis", "clickhouse", "ingest")}
    assert awaited(children, is_ready=False) == ["clickhouse", "ingest"]
    for child in children.values():
        child.ready.set()
    assert awaited(children, is_ready=False) == ["the tables, which are brought to this version"]


def test_what_is_started_again_later_waits_for_no_tables() -> None:
    """They are what a start waits for."""
    children = {name: _child(name, is_ready=name == "redis") for name in ("redis", "flusher")}
    assert awaited(children, is_ready=True) == ["flusher"]
    children["flusher"].ready.set()
    assert awaited(children, is_ready=True) == []
