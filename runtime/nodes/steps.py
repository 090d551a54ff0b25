"""Decides where a command goes after a server refused it.

A refusal is an answer by which the server says that it did not run the command, so sending it again, elsewhere or later, is
safe. Only the refusals of REFUSED are such answers. No answer is never one: the command may have run, and is not sent again.

    MOVED        another server has the slot: there, and the layout is asked for again
    ASK          this key is on its way to another server: there, once, behind ASKING
    TRYAGAIN     the keys of a script are on two servers while their slot moves: the same server, soon
    READONLY     it became a replica; MASTERDOWN, CLUSTERDOWN: nobody was elected yet; LOADING: it has just been started
    NOREPLICAS   too few replicas keep up, which another try would not change: the caller hears it. The server may be an old
                 primary that was cut off from them, so the layout is in doubt

Redis 6.2 wraps what a script was refused into an error of the script. It is the same refusal: a server that refuses the first
write of a script for one of these reasons refuses all of them.

A refusal that lasts longer than PAUSES, or takes more steps than TRIES, is handed to the caller.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redis.exceptions import RedisError, ResponseError

from schemas.redis.address import Node

TRIES = 8  # a slot that moves twice while a command is on its way takes four
PAUSES = (0.02, 0.04, 0.08, 0.16)  # seconds; 0.3 in all, because events wait meanwhile, and the spool is there for them
OLD_LAYOUT = frozenset(("MOVED", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING"))
DOUBTFUL = frozenset(("NOREPLICAS",))
WAITING = frozenset(("TRYAGAIN", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING"))
_in_script = re.compile(r"^Error running script .*: -(READONLY|MASTERDOWN|NOREPLICAS) (.*)", re.DOTALL)


class Step(NamedTuple):
    """Says where a command is sent next: to this node, or to the one that the layout names; after so many seconds."""

    node: Node | None = None
    is_asking: bool = False
    pause: float = 0.0
    is_layout_old: bool = False


class Steps:
    """Counts the steps of one command."""

    __slots__ = ("_paused", "_taken")

    def __init__(self) -> None:
        self._taken = self._paused = 0

    def after(self, error: BaseException, asked: Node) -> Step | None:
        """Returns the next step after this answer of the node that was asked; None: the caller has to hear it."""
        code, rest = refusal(error)
        self._taken += 1
        if self._taken >= TRIES:
            return None
        if code in {"MOVED", "ASK"}:
            node = _node(rest, asked)
            return None if node is None else Step(node, code == "ASK", is_layout_old=code == "MOVED")
        if code in WAITING and self._paused < len(PAUSES):
            self._paused += 1
            node = asked if code == "TRYAGAIN" else None
            return Step(node, pause=PAUSES[self._paused - 1], is_layout_old=code in OLD_LAYOUT)
        return None


def refusal(error: BaseException) -> tuple[str, str]:
    """Returns the code of an answer that is an error, and the rest of its text; two empty texts for any other error."""
    if not isinstance(error, RedisError):
        return "", ""
    text = str(error)
    if wrapped := _in_script.match(text.removeprefix("ERR ")):
        return wrapped[1], wrapped[2]
    if error.status_code:  # redis-py took it off the text
        return error.status_code, text
    if not isinstance(error, ResponseError):
        return "", ""
    code, _, rest = text.partition(" ")
    return code, rest


def is_old(error: BaseException) -> bool:
    """Tells whether an error means that the layout may have changed: a refusal of this kind, or no answer."""
    code, _ = refusal(error)
    return code in OLD_LAYOUT or (not code and isinstance(error, RedisError | OSError))


def is_doubtful(error: BaseException) -> bool:
    """Tells whether an error may be that of an old primary, which was succeeded by a replica that it does not hear any more."""
    return refusal(error)[0] in DOUBTFUL


def hint(error: BaseException) -> str:
    """Returns what to do about an answer of a cluster to somebody who took it for one server, for behind the error's text."""
    code, rest = refusal(error)
    if code not in {"MOVED", "ASK"} or " " not in rest:
        return ""
    return f" (it is one node of a cluster: set FOREBAY_REDIS_URL to redis+cluster://{rest.split()[-1]})"


def _node(rest: str, asked: Node) -> Node | None:
    """Returns the node of `SLOT HOST:PORT`. Without a host it is the one that was asked."""
    host, _, port = rest.rsplit(" ", maxsplit=1)[-1].rpartition(":")
    return Node(host.strip("[]") or asked.host, int(port)) if port.isdecimal() else None
