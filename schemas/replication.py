"""Says how to wait for the replicas of a Redis, and judges the settings by which a failover could lose something (rule 17).

Ingest and the flusher wait with the same command, and judge by the same facts. A fault here refuses nothing: it is logged by
name, with the command that mends it.

Not promised: that a replica keeps what it has. Where WAITAOF is missing, a replica is counted when it has received.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.durability import Facts

QUESTION = ("CONFIG", "GET", "*replica*")  # a pattern: more than one name is understood from 7.0 on only
QUESTION_OF_CLUSTER = ("CONFIG", "GET", "cluster-node-timeout")
WAITAOF_SINCE = (7, 2)
LAG_SECONDS_MAX = 2
NODE_TIMEOUT_MS_MIN = 5_000
Command = tuple[str | int, ...]


def waiting(facts: Facts | None, replicas: int, milliseconds: int, *, here: int = 0) -> Command:
    """Returns the command that waits until so many replicas have what was written: fsynced, where the server can say so.

    `here` is 1 where WAITAOF also has to answer for the server's own fsync.
    """
    if here or (facts is not None and facts.version >= WAITAOF_SINCE):
        return "WAITAOF", here, replicas, milliseconds
    return "WAIT", replicas, milliseconds


def acknowledged(answer: Any) -> int:
    """Returns how many replicas an answer to that command counts."""
    return int(answer[1]) if isinstance(answer, list | tuple) else int(answer)


class Finding(NamedTuple):
    """Names a setting by which a failover could lose something or stop everything, and the lines that mend it."""

    setting: str
    text: str
    mend: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.setting}: {' | '.join((self.text, *self.mend))}"


def judge(facts: Facts, config: Mapping[str, str] | None, replicas: int) -> list[Finding]:
    """Returns what is wrong with a primary, by its INFO and by what CONFIG GET says to the questions above; None: forbidden."""
    found = [*_number(facts, replicas)]
    if config is None:
        mend = ("allow it: redis-cli ACL SETUSER NAME +config|get   (NAME is the user of FOREBAY_REDIS_URL)",)
        return [*found, Finding("config", "CONFIG GET is forbidden, so the settings below are not known", mend)]
    if (least := _number_of(config, "min-replicas-to-write")) != replicas:
        text = f"it is {least}: a primary that is cut off goes on to take events that its successor will not have"
        found.append(_to_set("min-replicas-to-write", text, replicas))
    if least and (lag := _number_of(config, "min-replicas-max-lag")) > LAG_SECONDS_MAX:
        text = f"it is {lag} s: for so long a primary that is cut off takes events that its successor will not have"
        found.append(_to_set("min-replicas-max-lag", text, LAG_SECONDS_MAX))
    if facts.info.get("cluster_enabled") == "1":
        if (timeout := _number_of(config, "cluster-node-timeout")) < NODE_TIMEOUT_MS_MIN:
            text = f"it is {timeout} ms: a replica may be promoted before the old primary stops"
            found.append(_to_set("cluster-node-timeout", text, NODE_TIMEOUT_MS_MIN))
        if config.get("cluster-allow-replica-migration") == "yes":
            text = "it is yes: a replica may leave its primary, which then lacks one that must answer"
            found.append(_to_set("cluster-allow-replica-migration", text, "no"))
    return found


def judge_replica(facts: Facts) -> list[Finding]:
    """Returns what is wrong with a replica, by its INFO."""
    if facts.info.get("aof_enabled") != "0":
        return []
    text = "it is no on a replica: promoted, it loses what it holds in a crash, and WAITAOF never counts it"
    return [_to_set("appendonly", text, "yes")]


def _number(facts: Facts, replicas: int) -> Iterator[Finding]:
    there = int(facts.info.get("connected_slaves", "0"))
    if there < replicas:
        text = f"{there} are connected, and {replicas} must answer: events wait until they do"
        yield Finding("replicas", text, ("start them, or set FOREBAY_REDIS_REPLICAS to how many there are",))
    elif there > replicas:
        text = f"{there} are connected, and only {replicas} must answer: one that lacks the end may be promoted"
        yield Finding("replicas", text, (f"set FOREBAY_REDIS_REPLICAS={there} for ingest and every flusher",))


def _number_of(config: Mapping[str, str], name: str) -> int:
    said = config.get(name, "")
    return int(said) if said.isdecimal() else 0


def _to_set(name: str, text: str, value: int | str) -> Finding:
    return Finding(name, text, (f"redis-cli CONFIG SET {name} {value}", f"for good: {name} {value}   (redis.conf)"))
