"""The rows of an erasure in ClickHouse: which they are, a plan of what goes, the mutation, and the files it leaves.

ClickHouse keeps the texts of questions and mutations, on disk too: whom an erasure is about stands
in them as a digest alone.

Not promised: detached parts and backups. Nobody but their owner knows what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from forebay.clickhouse import ClickHouse, ClickHouseError, literal
from schemas.entry import block_shard, blocks_upto
from schemas.erasure import Erasure
from schemas.ledger import Key

ACCESS_DENIED = 497
PLAN = """
INSERT INTO forebay.erased_rows (erasure, plan, block_id, minute, site, rows)
SELECT {erasure}, {plan}, toString(block_id), intDiv(toUnixTimestamp(received_at), 60) AS minute, site, count()
FROM forebay.events WHERE {rows} GROUP BY block_id, minute, site
"""
PLANNED = """
SELECT block_id, minute, site, rows FROM forebay.erased_rows
WHERE erasure = {erasure} AND plan = {plan} FORMAT JSONEachRow
"""
BY_SITE = "SELECT site, count() AS held FROM forebay.events WHERE {rows} GROUP BY site FORMAT JSONEachRow"
NOTE = """
INSERT INTO forebay.erasures
(id, kind, asked_at, asked_by, reason, selectors, site, ts_before, plan, stored, state, written_at)
SELECT {id}, {kind}, fromUnixTimestamp64Milli(toInt64({at_ms})), {by}, {reason}, {selectors}, {site},
  fromUnixTimestamp64Milli(toInt64({before_ms})), {plan},
  (SELECT sum(rows) FROM forebay.erased_rows WHERE erasure = {id} AND plan = {plan}), {state}, now64(3)
"""
MUTATIONS = """
SELECT toUInt8(is_done) AS is_done, latest_fail_reason AS failed FROM system.mutations
WHERE database = 'forebay' AND table = 'events' AND position(command, {id}) > 0
ORDER BY is_done, create_time DESC FORMAT JSONEachRow
"""
REPLACED = """
SELECT name, toUnixTimestamp(remove_time) + toUInt32((
  SELECT value FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime')) AS until
FROM system.parts WHERE database = 'forebay' AND table = 'events' AND NOT active FORMAT JSONEachRow
"""


class Bound(NamedTuple):
    """Blocks of a shard's stream up to an edge hold what was accepted before an erasure."""

    incarnation: str
    edge: str


def meant(erasure: Erasure) -> str:
    """A condition: the rows that the selectors mean, whenever they were accepted."""
    conditions = [f"notEmpty({literal(erasure.id)})"]  # by which its mutation is found again
    if erasure.site:
        conditions.append(f"site = {literal(erasure.site)}")
    if erasure.before_ms:
        conditions.append(f"ts < fromUnixTimestamp64Milli({erasure.before_ms})")
    for column, wanted in (("user_id", erasure.user), ("toString(visitor_id)", erasure.visitor)):
        if wanted:
            salted = f"lower(hex(SHA256(concat({literal(erasure.id)}, {column}))))"
            conditions.append(f"{salted} = {literal(wanted)}")
    return " AND ".join(conditions)


def accepted(erasure: Erasure, bounds: Mapping[int, Bound]) -> str:
    """A condition: those of them that were accepted up to its moment."""
    before = [f"received_at <= fromUnixTimestamp64Milli({erasure.at_ms})"]
    before += [
        f"(block_id < {literal(blocks_upto(bound.incarnation, bound.edge))}"
        f" AND startsWith(block_id, {literal(bound.incarnation + ':')})"
        f" AND endsWith(block_id, {literal(block_shard(shard))}))"
        for shard, bound in bounds.items()
    ]
    return f"{meant(erasure)} AND ({' OR '.join(before)})"


class Rows:
    """The tables, as an erasure changes them. Everything raises ClickHouseError."""

    def __init__(self, clickhouse: ClickHouse, *, cluster: str = "", probe: ClickHouse | None = None) -> None:
        """`probe` is a client with little patience, asked before a statement that may take long."""
        self._clickhouse = clickhouse
        self._probe = probe
        self._on_cluster = f" ON CLUSTER {literal(cluster)}" if cluster else ""

    def by_site(self, condition: str) -> dict[str, int]:
        """How many rows meet a condition."""
        self._must_answer()
        found = self._clickhouse.rows(BY_SITE.format(rows=condition))
        return {str(row["site"]): int(row["held"]) for row in found}

    def write_plan(self, erasure: str, plan: str, condition: str) -> None:
        """Count the rows that meet the condition, by block, minute and site."""
        self._must_answer()
        self._clickhouse.run(PLAN.format(erasure=literal(erasure), plan=literal(plan), rows=condition))

    def planned(self, erasure: str, plan: str) -> dict[str, dict[Key, int]]:
        """A plan: by block, its rows by minute and site."""
        found: dict[str, dict[Key, int]] = {}
        for row in self._clickhouse.rows(PLANNED.format(erasure=literal(erasure), plan=literal(plan))):
            found.setdefault(str(row["block_id"]), {})[int(row["minute"]), str(row["site"])] = int(row["rows"])
        return found

    def note(self, erasure: Erasure, plan: str, *, state: str, kind: str = "erase") -> None:
        """Write down how far it is; the last note counts."""
        given = {"site": erasure.site, "user": erasure.user, "visitor": erasure.visitor, "before": erasure.before_ms}
        self._clickhouse.run(
            NOTE.format(
                id=literal(erasure.id),
                kind=literal(kind),
                at_ms=erasure.at_ms,
                by=literal(erasure.by),
                reason=literal(erasure.reason),
                selectors=literal(", ".join(name for name, value in given.items() if value)),
                site=literal(erasure.site),
                before_ms=erasure.before_ms,
                plan=literal(plan),
                state=literal(state),
            )
        )

    def delete(self, erasure: str, condition: str) -> bool:
        """Begin to delete what meets the condition, if nothing does so yet; whether all of it is gone.

        Raises ClickHouseError also when the mutation fails, with its words.
        """
        for mutation in self._clickhouse.rows(MUTATIONS.format(id=literal(erasure))):
            if not mutation["is_done"]:
                if mutation["failed"]:
                    raise ClickHouseError(f"the mutation fails: {mutation['failed']}", 1)
                return False
        if not self.by_site(condition):
            return True
        self._clickhouse.run(
            f"ALTER TABLE forebay.events{self._on_cluster} DELETE WHERE {condition}", mutations_sync="0"
        )
        return False

    def _must_answer(self) -> None:
        if self._probe is not None:
            self._probe.run("SELECT 1")

    def replaced(self) -> dict[str, int] | None:
        """Parts that the table no longer has and the disk still does, with the unix second from which on they go.

        None: this user may not see it.
        """
        try:
            return {str(row["name"]): int(row["until"]) for row in self._clickhouse.rows(REPLACED)}
        except ClickHouseError as error:
            if error.code == ACCESS_DENIED:
                return None
            raise
