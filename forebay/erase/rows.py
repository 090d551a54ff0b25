"""Reaches the rows of an erasure in ClickHouse: the conditions, the plan, the mutation, and the files that it leaves.

ClickHouse keeps the texts of questions and mutations, on disk too, so the user or visitor that an erasure is about
stands in them as a salted digest alone.

Not promised: detached parts and backups, because only their owner knows what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from forebay.clickhouse import ClickHouse, ClickHouseError, Condition, Value
from schemas.acts import ALIAS, PREVIOUS_ID
from schemas.closed import COPY_TABLES
from schemas.erasure import Erasure
from schemas.ledger import Key
from schemas.names import EntryId, blocks_upto, shard_suffix, stream_prefix
from schemas.sql import literal

ACCESS_DENIED = 497
PLAN = """
INSERT INTO forebay.erased_rows (erasure, plan, block_id, minute, site, rows)
SELECT {erasure:String}, {plan:String}, toString(block_id), intDiv(toUnixTimestamp(received_at), 60) AS minute, site,
  count()
FROM forebay.events WHERE %s GROUP BY block_id, minute, site
"""
PLANNED = """
SELECT block_id, minute, site, rows FROM forebay.erased_rows
WHERE erasure = {erasure:String} AND plan = {plan:String}
"""
BY_SITE = "SELECT site, count() AS held FROM forebay.events WHERE %s GROUP BY site"
NOTE = """
INSERT INTO forebay.erasures
(id, kind, asked_at, asked_by, reason, selectors, site, ts_before, plan, stored, state, written_at)
SELECT {erasure:String}, {kind:String}, fromUnixTimestamp64Milli({at_ms:Int64}), {by:String}, {reason:String},
  {selectors:String}, {site:String}, fromUnixTimestamp64Milli({before_ms:Int64}), {plan:String},
  (SELECT sum(rows) FROM forebay.erased_rows WHERE erasure = {erasure:String} AND plan = {plan:String}),
  {state:String}, now64(3)
"""
MUTATIONS = """
SELECT toUInt8(is_done) AS is_done, latest_fail_reason AS failed FROM system.mutations
WHERE database = 'forebay' AND table = 'events' AND position(command, {erasure:String}) > 0
ORDER BY is_done, create_time DESC
"""
REPLACED = f"""
SELECT concat(table, ' ', name) AS name, toUnixTimestamp(remove_time) + toUInt32((
  SELECT value FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime')) AS until
FROM system.parts WHERE database = 'forebay' AND table IN {("events", "closed_repeats", *COPY_TABLES)} AND NOT active
"""
# What was copied of rows, in the order in which it is deleted. Without a note in `closed_days` no copy counts, so notes go first. They
# go again at the end, because the flusher may have noted meanwhile a copy that it had just made. Repeats go before visits, because a
# copy that outlives this is made after its visits were deleted, and finds its own repeats later still. The flusher copies again what is left.
COPIES = ("closed_days", "closed_repeats", *COPY_TABLES, "closed_days")
PLANNED_SITES = (
    "SELECT DISTINCT site FROM forebay.erased_rows WHERE erasure = {erasure:String} AND plan = {plan:String}"
)


PREVIOUS = f"props['{PREVIOUS_ID}']"  # who a person was before, by an alias
BLOCKS_BEFORE = (
    "(block_id < {edge_%d:String} AND startsWith(block_id, {stream_%d:String})"
    " AND endsWith(block_id, {shard_%d:String}))"
)


class Bound(NamedTuple):
    """Names a shard's stream (`incarnation`) and the last edge up to which its blocks were accepted before an erasure."""

    incarnation: str
    edge: EntryId

    def holds(self, block: str) -> bool:
        """Tells whether a block of the shard is one of those."""
        return block.startswith(stream_prefix(self.incarnation)) and block < blocks_upto(self.incarnation, self.edge)


def meant(erasure: Erasure) -> Condition:
    """Returns a condition for the rows that the selectors mean, whenever they were accepted."""
    conditions = ["notEmpty({erasure:String})"]  # by its id an erasure's mutation is found again
    parameters: dict[str, Value] = {"erasure": erasure.id}
    if erasure.site:
        conditions.append("site = {site:String}")
        parameters["site"] = erasure.site
    if erasure.before_ms:
        conditions.append("ts < fromUnixTimestamp64Milli({before_ms:Int64})")
        parameters["before_ms"] = erasure.before_ms
    if erasure.user:
        conditions.append(f"({_digested('user_id', 'user')} OR (name = '{ALIAS}' AND {_digested(PREVIOUS, 'user')}))")
        parameters["user"] = erasure.user
    if erasure.visitor:
        conditions.append(_digested("toString(visitor_id)", "visitor"))
        parameters["visitor"] = erasure.visitor
    return Condition(" AND ".join(conditions), parameters)


def _digested(column: str, name: str) -> str:
    """Returns a condition for the rows whose value has the digest that a parameter is."""
    return f"lower(hex(SHA256(concat({{erasure:String}}, {column})))) = {{{name}:String}}"


def accepted(erasure: Erasure, bounds: Mapping[int, Bound]) -> Condition:
    """Returns a condition for those of the meant rows that were accepted up to the erasure's moment."""
    selected = meant(erasure)
    before = ["received_at <= fromUnixTimestamp64Milli({at_ms:Int64})"]
    parameters: dict[str, Value] = {"at_ms": erasure.at_ms}
    for shard, bound in bounds.items():
        before.append(BLOCKS_BEFORE % (shard, shard, shard))
        parameters[f"edge_{shard}"] = blocks_upto(bound.incarnation, bound.edge)
        parameters[f"stream_{shard}"] = stream_prefix(bound.incarnation)
        parameters[f"shard_{shard}"] = shard_suffix(shard)
    return Condition(f"{selected.sql} AND ({' OR '.join(before)})", {**selected.parameters, **parameters})


class Rows:
    """Counts, plans and deletes an erasure's rows in the tables. Every method raises ClickHouseError."""

    def __init__(self, clickhouse: ClickHouse, *, cluster: str = "", probe: ClickHouse | None = None) -> None:
        """Takes a client that waits long, and `probe`, which gives up soon and is asked before each statement."""
        self._clickhouse = clickhouse
        self._probe = probe
        self._on_cluster = f" ON CLUSTER {literal(cluster)}" if cluster else ""

    def by_site(self, condition: Condition) -> dict[str, int]:
        """Counts the rows that meet a condition, by site."""
        self._must_answer()
        found = self._clickhouse.rows(BY_SITE % condition.sql, condition.parameters)
        return {str(row["site"]): int(row["held"]) for row in found}

    def write_plan(self, erasure: str, plan: str, condition: Condition) -> None:
        """Counts the rows that meet the condition, by block, minute and site, and records them under the plan's name."""
        self._must_answer()
        self._clickhouse.run(PLAN % condition.sql, {**condition.parameters, "erasure": erasure, "plan": plan})

    def planned(self, erasure: str, plan: str) -> dict[str, dict[Key, int]]:
        """Returns a plan: by block, how many of its rows go, by minute and site."""
        found: dict[str, dict[Key, int]] = {}
        for row in self._clickhouse.rows(PLANNED, {"erasure": erasure, "plan": plan}):
            found.setdefault(str(row["block_id"]), {})[int(row["minute"]), str(row["site"])] = int(row["rows"])
        return found

    def note(self, erasure: Erasure, plan: str, *, state: str, kind: str = "erase") -> None:
        """Records in `forebay.erasures` how far the erasure is; the last note counts."""
        given = {"site": erasure.site, "user": erasure.user, "visitor": erasure.visitor, "before": erasure.before_ms}
        self._clickhouse.run(
            NOTE,
            {
                "erasure": erasure.id,
                "kind": kind,
                "at_ms": erasure.at_ms,
                "by": erasure.by,
                "reason": erasure.reason,
                "selectors": ", ".join(name for name, value in given.items() if value),
                "site": erasure.site,
                "before_ms": erasure.before_ms,
                "plan": plan,
                "state": state,
            },
        )

    def delete(self, erasure: str, condition: Condition) -> bool:
        """Deletes the rows that meet the condition; returns whether all of them are gone.

        It begins a mutation unless one is at work, and does not wait for it. Raises ClickHouseError also when the
        mutation fails, with the mutation's words.
        """
        for mutation in self._clickhouse.rows(MUTATIONS, {"erasure": erasure}):
            if not mutation["is_done"]:
                if mutation["failed"]:
                    raise ClickHouseError(f"the mutation fails: {mutation['failed']}", 1)
                return False
        if not self.by_site(condition):
            return True
        self._clickhouse.run(
            f"ALTER TABLE forebay.events{self._on_cluster} DELETE WHERE {condition.sql}",
            condition.parameters,
            mutations_sync="0",
        )
        return False

    def forget_copies(self, erasure: str, plan: str) -> None:
        """Deletes all that was copied of the sites of a plan, so that nobody who was erased is left in a copy."""
        sites = [str(row["site"]) for row in self._clickhouse.rows(PLANNED_SITES, {"erasure": erasure, "plan": plan})]
        if not sites:
            return
        listed = ", ".join(map(literal, sites))
        for table in COPIES:
            self._clickhouse.run(
                f"ALTER TABLE forebay.{table}{self._on_cluster} DELETE WHERE site IN ({listed})", mutations_sync="2"
            )

    def _must_answer(self) -> None:
        if self._probe is not None:
            self._probe.run("SELECT 1")

    def replaced(self) -> dict[str, int] | None:
        """Returns the parts that were replaced and are still on disk, each with the unix second from which it may go.

        Returns None if this user may not see that.
        """
        try:
            return {str(row["name"]): int(row["until"]) for row in self._clickhouse.rows(REPLACED)}
        except ClickHouseError as error:
            if error.code == ACCESS_DENIED:
                return None
            raise
