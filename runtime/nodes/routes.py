"""Finds which server holds a key, and leads one command there.

The layout is asked for when a client begins, after an answer that says that it is old, and after no answer. Whoever is asked
is asked on a connection of its own, which is closed behind it, because this is rare.

Behind Sentinels the master's name is asked for, and whoever they name has to say itself that it is a master: for some seconds
after a failover a Sentinel names the old one.

Not promised: that the layout is the newest. A server with an old one answers MOVED, which costs one more step.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis import Redis as BlockingRedis
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NotConnected
from redis.retry import Retry

from runtime.nodes.layout import Layout, key_of
from runtime.nodes.steps import Step, Steps, is_old
from schemas.redis.address import Address, Kind, Node

CONNECT_SECONDS = 1.0  # to one that is asked for the layout; the next one is asked then
ANSWER_SECONDS_MIN = 1.0  # for its answer, or as long as the client waits for others
AGAIN_SECONDS = 0.05  # so soon a layout is not asked for again, however many want it
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
        self._known: tuple[Node, ...] = ()  # whoever is asked before the seeds: servers that were seen, or a Sentinel
        self._finding = threading.Lock()
        self._awaiting = asyncio.Lock()

    def hear(self, error: BaseException) -> None:
        """Notes an error of a server: the layout may have changed."""
        if is_old(error):
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
        """Asks one after the other, until one is sure. One that knows of trouble is believed if no other is sure."""
        said: list[str] = []
        unsure: Layout | None = None
        ask = _cluster if self.address.kind is Kind.CLUSTER else _master
        for node in dict.fromkeys((*self._known, *self.address.seeds)):
            try:
                layout, is_sure = ask(self.address, node, self._seconds)
            except (RedisError, OSError) as error:
                said.append(f"{node}: {error}")
                continue
            if is_sure:
                unsure = layout
                break
            unsure = unsure or layout
        if unsure is None:
            raise NotConnected(f"nobody says where keys are: {'; '.join(said)}")
        if self.address.kind is Kind.CLUSTER:
            # another one first the next time: this one may be cut off from the others, and not know it yet
            first, *others = dict.fromkeys((*unsure.primaries, *unsure.replicas))
            self._known = (*others, first)
        else:
            self._known = (node,)  # the others may be gone, and asking them takes a second each
        return unsure


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
        if not isinstance(answers[0], BaseException) or (following := steps.after(answers[0], node)) is None:
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


def _cluster(address: Address, node: Node, seconds: float) -> tuple[Layout, bool]:
    """Returns the layout that a node of a cluster knows, and whether all is well as far as it knows."""
    with connected(address.at(node), seconds) as client:
        slots, info = client.execute_command("CLUSTER", "SLOTS"), client.execute_command("CLUSTER", "INFO")
    if not slots:
        raise NotConnected("it is a cluster's node without a cluster")
    return Layout.of_slots(slots, node), b"cluster_state:ok" in info


def _master(address: Address, sentinel: Node, seconds: float) -> tuple[Layout, bool]:
    """Returns the layout with the master that a Sentinel names. Raises RedisError where that is none."""
    with connected(address.at_sentinel(sentinel), seconds) as client:
        said = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)
        if said is None:
            raise NotConnected(f"no master is called {address.master}")
        replicas = [_pairs(one) for one in client.execute_command("SENTINEL", "REPLICAS", address.master)]
    master = Node(said[0].decode(), int(said[1]))
    with connected(address.at(master), seconds) as client:
        role = client.execute_command("ROLE")[0]
    if role != b"master":
        raise NotConnected(f"it names {master}, which is a {role.decode()}")
    return Layout.of_master(master, [Node(one[b"ip"].decode(), int(one[b"port"])) for one in replicas]), True


def _pairs(answer: Any) -> dict[bytes, bytes]:
    return dict(answer) if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=False))


def connected(url: str, seconds: float) -> Any:
    """Returns a client of one server, for a question or two. redis-py's annotations are of no use here."""
    return BlockingRedis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        health_check_interval=0,
    )
