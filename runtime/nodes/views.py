"""Asks several servers of one Redis at once for the layout, and takes the newest that they know.

Each of them says how new its view is. A cluster's nodes count elections and moves of slots (`cluster_current_epoch`), and Sentinels
count failovers (`config-epoch`). One that is cut off from the others, with an old primary perhaps, goes on to name the old
layout under an old number. A view under which all is well goes before a newer one of a cluster that has no majority.

Whoever does not answer is waited for only until most of the others have: the host of a primary that is gone often had a
Sentinel too. Each is asked on a connection of its own, which is closed behind it, because this is rare.

Not promised: the newest layout where none that knows of it can be reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from redis import Redis as BlockingRedis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.retry import Retry

from runtime.nodes.layout import Layout
from schemas.redis.address import Address, Kind, Node

CONNECT_SECONDS = 1.0  # to one that is asked for the layout
LATE_SECONDS = 0.2  # for those that have not answered when most have
AT_ONCE = 5  # nodes of a cluster: others are asked the next time, and an answer of a large cluster is long


class View(NamedTuple):
    """Holds what one server or Sentinel says. Of two, the greater in the first two fields is the better one."""

    is_well: bool
    epoch: int
    master: Node | None  # whom a Sentinel names
    layout: Layout


Ask = Callable[[Address, Node, float], View]


def newest(address: Address, nodes: Sequence[Node], seconds: float) -> tuple[Layout, Node]:
    """Returns the newest layout, and who said it. A server has so many seconds for an answer.

    Raises RedisError where nobody says one, or where the master that the Sentinels name last is none yet.
    """
    said: list[str] = []
    is_cluster = address.kind is Kind.CLUSTER
    at_once = AT_ONCE if is_cluster else len(nodes)
    for at in range(0, len(nodes), at_once):
        views = list(
            _views(_of_cluster if is_cluster else _of_sentinel, address, nodes[at : at + at_once], seconds, said)
        )
        best = max(views, key=lambda one: one[0][:2], default=None)
        if best is None:
            continue
        view, node = best
        if is_cluster:
            return view.layout, node
        rivals = dict.fromkeys(one.master for one, _ in views if one.epoch == view.epoch)
        master = next((one for one in rivals if one is not None and _is_master(address, one, seconds, said)), None)
        if master is not None:
            return next((one.layout, by) for one, by in views if one.master == master and one.epoch == view.epoch)
    raise NotConnected(f"nobody says where keys are: {'; '.join(said)}")


def _views(
    ask: Ask, address: Address, nodes: Sequence[Node], seconds: float, said: list[str]
) -> Iterator[tuple[View, Node]]:
    """Yields what these say, with who says it, and notes in `said` why others don't."""
    pool = ThreadPoolExecutor(len(nodes), thread_name_prefix="layout")
    waiting: dict[Future[View], Node] = {pool.submit(ask, address, node, seconds): node for node in nodes}
    answered, until = 0, 0.0  # until when those that are late are waited for; 0: it is not said yet
    try:
        while waiting:
            left = None if not until else max(0.0, until - time.monotonic())
            done, _ = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
            if not done:
                said += [f"{node}: no answer yet" for node in waiting.values()]
                return
            for one in done:
                node = waiting.pop(one)
                try:
                    view = one.result()
                except (RedisError, OSError) as error:
                    said.append(f"{node}: {error}")
                else:
                    answered += 1
                    yield view, node
            if not until and answered > len(nodes) // 2:
                until = time.monotonic() + LATE_SECONDS
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _of_cluster(address: Address, node: Node, seconds: float) -> View:
    """Returns the view of a cluster's node."""
    with connected(address.at(node), seconds) as client:
        slots, info = client.execute_command("CLUSTER", "SLOTS"), client.execute_command("CLUSTER", "INFO")
    if not slots:
        raise NotConnected("it is a cluster's node without a cluster")
    facts = dict(line.split(":", 1) for line in info.decode().split() if ":" in line)
    is_well = facts.get("cluster_state") == "ok"
    return View(is_well, int(facts.get("cluster_current_epoch", 0)), None, Layout.of_slots(slots, node))


def _of_sentinel(address: Address, sentinel: Node, seconds: float) -> View:
    """Returns the view of a Sentinel."""
    with connected(address.at_sentinel(sentinel), seconds) as client:
        said = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)
        if said is None:
            raise NotConnected(f"no master is called {address.master}")
        facts = _pairs(client.execute_command("SENTINEL", "MASTER", address.master))
        replicas = [_pairs(one) for one in client.execute_command("SENTINEL", "REPLICAS", address.master)]
    master = Node(said[0].decode(), int(said[1]))
    layout = Layout.of_master(master, [Node(one[b"ip"].decode(), int(one[b"port"])) for one in replicas])
    return View(True, int(facts.get(b"config-epoch", 0)), master, layout)


def _is_master(address: Address, node: Node, seconds: float, said: list[str]) -> bool:
    """Tells whether a server says of itself that it is a master: for some seconds a Sentinel names one that is none any more."""
    try:
        with connected(address.at(node), seconds) as client:
            role = client.execute_command("ROLE")[0]
    except (RedisError, OSError) as error:
        said.append(f"{node}: {error}")
        return False
    if role != b"master":
        said.append(f"the Sentinels name {node}, which is a {role.decode()}")
    return bool(role == b"master")


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
