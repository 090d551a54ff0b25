"""Judges, by what a Redis says of itself, whether what it answered stays: fsynced, and never thrown away (I1).

    INFO          memory policy, AOF, role, version, and whether it still loads or can't write
    CONFIG GET    appendfsync, which INFO does not say
    WAITAOF       where CONFIG is forbidden: it follows every append, and answers once the append is fsynced

Ingest, the flusher and the commands each ask on their own connection (INFO, CONFIG and PROBE) and make `Facts` of the
answers; `judge` is the same for all, because a Redis that one of them refuses must not be good enough for another.

WAITAOF is believed of Redis 8 and later alone. From 7.2.2 on, and in every Valkey up to 9.1.2, it answers under
`everysec` before the fsync (redis/redis#13793): measured, a second too early.

Not promised: that the disk keeps what it fsynced, or that the server says the truth. A setting that was changed and
changed back between two looks is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

INFO = ("INFO",)
CONFIG = ("CONFIG", "GET", "*append*")  # a pattern: more than one name is understood from 7.0 on only
PROBE = ("WAITAOF", "0", "0", "0")  # waits for nothing: whether the command is there and allowed
OLDEST = (6, 2)  # XTRIM MINID and SET EXAT
OLDEST_HONEST_WAITAOF = (8,)
PAGE = "docs/operations.md#redis-not-durable"


class Setting(StrEnum):
    """Names what can be wrong; the metric has these names as labels."""

    POLICY = "maxmemory-policy"
    AOF = "appendonly"
    FSYNC = "appendfsync"
    REWRITE_FSYNC = "no-appendfsync-on-rewrite"
    FIRST_REWRITE = "aof-rewrite"
    WRITE_STATUS = "aof-write"
    ROLE = "role"
    VERSION = "version"
    LOADING = "loading"
    INFO = "info"


class Proof(StrEnum):
    """Names the ways in which it is known that an answered append is fsynced."""

    CONFIG = "config"
    WAITAOF = "waitaof"
    TRUSTED = "trusted"  # nothing shows it: the operator said so (setting redis_fsync)


class Fault(NamedTuple):
    """Describes one way in which this Redis may lose what it acknowledged.

    `mend` are the lines that tell the operator what to do.
    """

    setting: Setting
    text: str
    mend: tuple[str, ...] = ()
    is_passing: bool = False  # ends by itself: reason to wait, not to refuse the start


class Facts(NamedTuple):
    """Holds what a Redis said: INFO's fields; CONFIG's, or None where it is forbidden; whether WAITAOF is there."""

    info: Mapping[str, str]
    config: Mapping[str, str] | None
    has_waitaof: bool

    @classmethod
    def of(cls, info: Any, config: Any = None, probe: Any = None) -> Facts:
        """Returns the facts in the answers to the three questions, raw or as redis-py parses them; None for a refusal."""
        told = texts(config)
        return cls(texts(info), told if "appendfsync" in told else None, probe is not None)

    @property
    def run_id(self) -> str:
        """Names this run of the server; a restarted one has another name."""
        return self.info.get("run_id", "")

    @property
    def is_rewriting(self) -> bool:
        """Tells whether the AOF is being written anew, or is about to be."""
        return "1" in (self.info.get("aof_rewrite_in_progress"), self.info.get("aof_rewrite_scheduled"))

    @property
    def version(self) -> tuple[int, ...]:
        """Returns the version of Redis whose commands it speaks; () when it does not say. Valkey says 7.2.4 here."""
        parts = self.info.get("redis_version", "").split(".")
        return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


class Verdict(NamedTuple):
    """Says what follows from the facts: where there are no faults, `proof` shows that an answered append is fsynced."""

    faults: tuple[Fault, ...]
    proof: Proof

    @property
    def lasting(self) -> tuple[Fault, ...]:
        """Returns the faults that a person has to mend; the others end by themselves."""
        return tuple(fault for fault in self.faults if not fault.is_passing)


def judge(facts: Facts, *, is_trusted: bool = False) -> Verdict:
    """Judges a Redis. With `is_trusted`, fsync is taken on trust where CONFIG can't be read; the rest never is."""
    if not facts.info:
        if is_trusted:
            return Verdict((), Proof.TRUSTED)
        unknown = Fault(Setting.INFO, "INFO is refused, so nothing is known of it", _allow("+info"))
        return Verdict((unknown,), Proof.CONFIG)
    proof = _proof(facts, is_trusted=is_trusted)
    found = [_role(facts), _version(facts), _policy(facts, is_trusted=is_trusted), *_passing(facts)]
    if proof is not Proof.TRUSTED:
        found += [_aof(facts), *_fsync(facts, proof)]
    return Verdict(tuple(fault for fault in found if fault), proof or Proof.CONFIG)


def first_rewrite() -> Fault:
    """Returns the fault of an AOF that may just have been switched on: a crash loses it until it was rewritten once."""
    return Fault(Setting.FIRST_REWRITE, "its AOF is being rewritten, and may have been switched on just now", (), True)


def explain(faults: tuple[Fault, ...], *, where: str = "") -> str:
    """Returns lines for a terminal: what is wrong with this Redis, and what mends it."""
    lines = [f"this Redis{where} can lose events that were acknowledged:"]
    for fault in faults:
        lines += [f"  {fault.setting}: {fault.text}", *(f"      {line}" for line in fault.mend)]
    return "\n".join([*lines, f"See {PAGE}"])


def summary(faults: tuple[Fault, ...]) -> str:
    """Returns the same in one line, for a log."""
    return "; ".join(f"{fault.setting}: {' | '.join((fault.text, *fault.mend))}" for fault in faults)


def _proof(facts: Facts, *, is_trusted: bool) -> Proof | None:
    if facts.config is not None:
        return Proof.CONFIG
    if is_trusted:
        return Proof.TRUSTED
    is_honest = facts.version >= OLDEST_HONEST_WAITAOF and "valkey_version" not in facts.info
    return Proof.WAITAOF if facts.has_waitaof and is_honest else None


def _role(facts: Facts) -> Fault | None:
    role = facts.info.get("role", "master")  # a proxy that says none is asked to append, and refuses or not
    if role == "master":
        return None
    master = f"{facts.info.get('master_host', '?')}:{facts.info.get('master_port', '?')}"
    said = f"it is a replica ({role}) of {master}: what is written here is refused, or gone after its next sync"
    return Fault(Setting.ROLE, said, (f"set FOREBAY_REDIS_URL to its master, {master}",))


def _version(facts: Facts) -> Fault | None:
    if not facts.version or facts.version >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return Fault(Setting.VERSION, f"it is {facts.info['redis_version']}", (f"upgrade it to Redis {oldest} or later",))


def _policy(facts: Facts, *, is_trusted: bool) -> Fault | None:
    policy = facts.info.get("maxmemory_policy", "unknown")
    if policy == "noeviction" or (policy == "unknown" and is_trusted):
        return None
    # volatile-*: streams have no TTL, but leases have, and the salts by which a visitor is one
    said = f"it is {policy}: a full Redis throws away what others rely on, instead of refusing more"
    return Fault(Setting.POLICY, said, _set(Setting.POLICY, "noeviction"))


def _passing(facts: Facts) -> tuple[Fault | None, ...]:
    loading = Fault(Setting.LOADING, "it still loads its data", (), True)
    failing = Fault(Setting.WRITE_STATUS, "its last write to the AOF failed", ("look at its log and its disk",), True)
    return (
        loading if facts.info.get("loading") == "1" else None,
        failing if facts.info.get("aof_last_write_status") == "err" else None,
    )


def _aof(facts: Facts) -> Fault | None:
    # A Redis that loads its AOF has switched it off meanwhile, and says so; it is refused for the loading, and asked again.
    if facts.info.get("aof_enabled") == "1" or facts.info.get("loading") == "1":
        return None
    state = "no" if facts.info.get("aof_enabled") == "0" else "not told"
    return Fault(Setting.AOF, f"it is {state}: a crash of Redis loses what it holds", _set(Setting.AOF, "yes"))


def _fsync(facts: Facts, proof: Proof | None) -> tuple[Fault | None, ...]:
    if proof is Proof.WAITAOF:
        return ()
    if facts.config is None:
        text = "CONFIG GET is forbidden, and no WAITAOF that can be believed is there: nobody knows whether it fsyncs"
        known = (*_allow("+config|get"), "or, where that can't be, set FOREBAY_REDIS_FSYNC=trusted")
        return (Fault(Setting.FSYNC, text, known),)
    found = facts.config["appendfsync"]
    late = f"it is {found}: what was acknowledged is on disk {'a second' if found == 'everysec' else 'half a minute'} later"
    suspended = "it is yes: nothing is fsynced while Redis rewrites its file"
    return (
        None if found == "always" else Fault(Setting.FSYNC, late, _set(Setting.FSYNC, "always")),
        Fault(Setting.REWRITE_FSYNC, suspended, _set(Setting.REWRITE_FSYNC, "no"))
        if facts.config.get(Setting.REWRITE_FSYNC) == "yes"
        else None,
    )


def _set(name: str, value: str) -> tuple[str, ...]:
    return f"now:      redis-cli CONFIG SET {name} {value}", f"for good: {name} {value}   (a line of redis.conf)"


def _allow(rule: str) -> tuple[str, ...]:
    return (f"allow it: redis-cli ACL SETUSER NAME {rule}   (NAME is the user of FOREBAY_REDIS_URL)",)


def texts(answer: Any) -> dict[str, str]:
    """Returns the fields of INFO or CONFIG GET out of a text of lines, a flat list, or what redis-py makes of them."""
    if answer is None:
        return {}
    if isinstance(answer, bytes | str):
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
        pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
        return {name: value.strip() for name, value in pairs}
    if isinstance(answer, Mapping):
        return {_text(name): _text(value) for name, value in answer.items()}
    return {_text(name): _text(value) for name, value in zip(answer[::2], answer[1::2], strict=False)}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
