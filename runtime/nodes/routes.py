"""Finds which server holds a key, and leads one command there.

The layout is asked for (views.py) when a client begins, after an answer that says that it is old, and after no answer. It is in
doubt where a server's replicas don't answer: the server may be an old primary that was cut off from them, and that
has open connections to its clients for as long as that lasts. Then it is asked for too, but no more than once in
DOUBT_SECONDS, because a replica that is merely missing can be missing for hours.

Not promised: that the layout is the newest. A server with an old one answers MOVED, which costs one more step.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ClusterDownError, RedisError, ResponseError

from runtime.nodes.layout import Layout, key_of
from runtime.nodes.steps import Step, Steps, is_doubtful, is_old
from runtime.nodes.views import newest
from schemas.redis.address import Address, Kind, Node

ANSWER_SECONDS_MIN = 1.0  # for its answer, or as long as the client waits for others
AGAIN_SECONDS = 0.05  # so soon a layout is not asked for again, however many want it
DOUBT_SECONDS = 1.0  # so long one is believed although it is in doubt
Command = tuple[Sequence[Any], Mapping[str, Any]]  # its parts, and redis-py's options for its answer
Unit = list[Command]  # a command, and those without a key behind it, which go where it goes on the same connection
Actions = Generator[float | tuple[Node, bool] | None, Any, list[Any]]


class Routes:
    """Keeps the layout of one Redis. Several threads may use it."""

    def __init__(self, address: Address, *, seconds: float) -> None:
        """Takes the seconds that a server has for an answer."""
        self.address = address
        self._seconds = max(ANSWER_SECONDS_MIN, seconds)
        self.is_old = True
        self.layout: Layout | None = None
        self._found_at = 0.0
        self._known: tuple[Node, ...] = ()  # nodes of a cluster that were seen, which are asked before the seeds
        self._finding = threading.Lock()
        self._awaiting = asyncio.Lock()

    def hear(self, error: BaseException) -> None:
        """Notes an error of a server: the layout may have changed."""
        if is_old(error):
            self.is_old = True
        elif is_doubtful(error):
            self.doubt()

    def doubt(self) -> None:
        """Notes that a server may be an old primary."""
        if time.monotonic() - self._found_at >= DOUBT_SECONDS:
            self.is_old = True

    def find(self) -> Layout:
        """Returns the layout, which it asks for where it is old. Raises RedisError when nobody says it. Blocks."""
        with self._finding:
            if self.layout is not None and (not self.is_old or time.monotonic() - self._found_at < AGAIN_SECONDS):
                return self.layout
            self.is_old = False  # what is heard from now on may be newer than the answer
            try:
                self.layout = layout = self._ask()
            except RedisError:
                self.is_old = True
                raise
            self._found_at = time.monotonic()
            return layout

    async def now(self) -> Layout:
        """Returns the same, and lets the event loop go on meanwhile."""
        if self.layout is not None and not self.is_old:
            return self.layout
        async with self._awaiting:
            return await asyncio.to_thread(self.find)

    def _ask(self) -> Layout:
        """Asks those that were seen, and the seeds. Raises RedisError when nobody says the layout."""
        nodes = list(dict.fromkeys((*self._known, *self.address.seeds)))
        layout, first = newest(self.address, nodes, self._seconds)
        if self.address.kind is Kind.CLUSTER:
            # Others first the next time: this one may be cut off from them by then, and not know it yet.
            others = dict.fromkeys((*layout.primaries, *layout.replicas))
            others.pop(first, None)
            self._known = (*others, first)
        return layout


def routes(routed: Routes, unit: Unit, refused: tuple[Node, BaseException] | None = None) -> Actions:
    """Returns the answers to one command, of which an error is one, after as many servers as it takes.

    It yields what its driver has to do: None: find the layout and send it back; seconds: pause; a node and whether to ask
    it with ASKING: send the unit there, and send back the answers. `refused` is what a node answered already.

    The driver lets no error about a connection in: that ends it, because nothing is sent again after no answer.
    """
    steps, step = Steps(), Step()
    key = key_of(unit[0][0])
    if refused is not None:
        asked, error = refused
        first = steps.after(error, asked)
        if first is None:
            routed.hear(error)
            return [error]
        step = first
    while True:
        if step.is_layout_old:
            routed.is_old = True
        if step.pause:
            yield step.pause
        node = step.node
        answers: list[Any]
        if node is None:
            layout: Layout = yield None
            node = _holder(layout, key, unit)
        if node is None:
            node = routed.address.seeds[0]
            answers = [ClusterDownError("nobody has the slot of this key", status_code="CLUSTERDOWN")]
        else:
            answers = yield node, step.is_asking
        if not isinstance(answers[0], BaseException):
            return answers
        if (following := steps.after(answers[0], node)) is None:
            routed.hear(answers[0])
            return answers
        step = following


async def led(
    routed: Routes,
    unit: Unit,
    send: Callable[[Node, bool], Awaitable[list[Any]]],
    refused: tuple[Node, BaseException] | None = None,
) -> list[Any]:
    """Returns what `routes` returns, and does for the event loop what it asks for. `send` takes a node and whether to ask with ASKING."""
    actions = routes(routed, unit, refused)
    answer: Any = None
    while True:
        try:
            action = actions.send(answer)
        except StopIteration as end:
            answers: list[Any] = end.value
            return answers
        if action is None:
            answer = await routed.now()
        elif isinstance(action, float):
            await asyncio.sleep(action)
            answer = None
        else:
            answer = await send(*action)


def units(commands: Iterable[Command]) -> Iterator[Unit]:
    """Yields commands with those without a key that follow them, which belong to them: WAIT means the write before it."""
    unit: Unit = []
    for command in commands:
        if unit and key_of(command[0]) is not None:
            yield unit
            unit = []
        unit.append(command)
    if unit:
        yield unit


def _holder(layout: Layout, key: str | bytes | None, unit: Unit) -> Node | None:
    if key is not None:
        return layout.of(key)
    if len(layout.primaries) == 1:
        return layout.primaries[0]
    raise ResponseError(f"{unit[0][0][0]} names no key, and there are {len(layout.primaries)} servers")
