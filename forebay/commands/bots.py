"""`forebay bots explain|rejudge`: says why an event counts as a program's, and judges stored events by another threshold.

    explain EVENT_ID   prints each reason with its weight and meaning, their sum, and what would change the verdict
    rejudge            sets `bot` of stored rows to what their reasons say under a threshold; the views and projections follow

A stored event keeps all its reasons, so judging again loses nothing: the old threshold brings the old verdict back. `rejudge` is one
mutation (docs/bots.md has it as a statement), which rewrites the columns `bot` and `bot_reasons` of parts that hold such rows.

Not promised: events that are on their way. Ingest judges them by its own `bot_threshold`, so set that too. `agent_kind` is not changed.

Exit status: 0 done, 1 not found or not done, 2 the question makes no sense.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

from forebay import config
from forebay.clickhouse import ClickHouse, ClickHouseError, Condition, Value
from forebay.options import CLICKHOUSE_URL, DATA, declare
from schemas.bots import REASONS, WITHOUT_REASONS, BotReason, reasons_sql, score, word, word_sql
from schemas.sql import literal

ID_KEPT_DAYS = 17  # event_id is emptied after 8 to 16
POLL_SECONDS = 0.2
SHOWN_MAX = 20
FIND = """
SELECT site, name, toString(ts) AS moment, bot, bot_reasons, bot_name, bot_purpose, agent_kind,
  browser, browser_version, os, os_version, device
FROM forebay.events
WHERE event_id = {id:String} AND received_at > now() - INTERVAL {days:UInt32} DAY AND %s
ORDER BY received_at DESC LIMIT {most:UInt32}
"""
PLAN = """
SELECT site, toString(bot) AS before, %s AS after, count() AS events FROM forebay.events WHERE %s
GROUP BY site, before, after ORDER BY events DESC, site, before
"""
MUTATION = """
SELECT min(is_done) AS is_done, max(latest_fail_reason) AS failed, count() AS mutations FROM %s
WHERE database = 'forebay' AND table = 'events' AND position(command, {mark:String}) > 0
"""
# What the owner of a site can do about a reason that is wrong.
REMEDIES = {
    BotReason.NO_USER_AGENT: "let the program send a User-Agent, and a proxy in between hand it on",
    BotReason.HEADLESS: "nothing is wrong: a test of your own site is a program too; docs/bots.md says how to see its events",
    BotReason.CRAWLER: "if it is not a crawler, the lists are wrong: docs/bots.md says how to have newer ones",
    BotReason.LIBRARY: "a server that reports a person or a purchase sends `user` or `revenue` with its events",
    BotReason.NOT_A_BROWSER: "a server that reports a person or a purchase sends `user` or `revenue` with its events",
    BotReason.AUTOMATION: "nothing is wrong: a test of your own site is a program too; docs/bots.md says how to see its events",
    BotReason.REFERRER_SPAM: "take the host out of the file of `referrer_spam_file`",
    BotReason.RATE: "it ends by itself; many people behind one address with equal browsers are one visitor",
    BotReason.HEADERS: "a proxy in between has to hand on Accept-Language and the headers that begin with Sec-CH-UA",
    BotReason.WINDOW: "nothing has to be done: alone it is no verdict",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    explain = actions.add_parser("explain", help="say why an event counts as a program's, or as a person's")
    explain.add_argument("id", metavar="EVENT_ID", help="the client's own id of the event (events.event_id)")
    explain.add_argument("--site", default="", help="the event's site, where several have that id")
    rejudge = actions.add_parser("rejudge", help="judge stored events by another threshold")
    rejudge.add_argument("--threshold", type=int, help="from which score an event is a bot's (default: bot_threshold)")
    rejudge.add_argument("--site", default="", help="events of this site alone")
    rejudge.add_argument("--since", help="events that happened since this moment in UTC: 2026-01-31, 2026-01-31T12:00")
    rejudge.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
    rejudge.add_argument("--cluster", dest="clickhouse_cluster", help="the cluster of the tables: update ON CLUSTER")
    for action in (explain, rejudge):
        declare(action, DATA, CLICKHOUSE_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    try:
        clickhouse = config.clickhouse(settings, is_patient=True)
        if options.action == "explain":
            return _explain(clickhouse, options.id, options.site, settings.bot_threshold)
        threshold = settings.bot_threshold if options.threshold is None else options.threshold
        changing = meant(threshold, options.site, options.since)
        return _rejudge(clickhouse, threshold, changing, settings.clickhouse_cluster, is_dry=options.dry_run)
    except ValueError as error:
        _warn(str(error))
        return 2
    except ClickHouseError as error:
        _warn(str(error))
        return 1


def _explain(clickhouse: ClickHouse, event: str, site: str, threshold: int) -> int:
    if not event:
        raise ValueError("name an event by its id: an event that its client sent without an id can't be found")
    where, parameters = ("site = {site:String}", {"site": site}) if site else ("1", {})
    given: dict[str, Value] = {"id": event, "days": ID_KEPT_DAYS, "most": SHOWN_MAX, **parameters}
    found = clickhouse.rows(FIND % where, given)
    if not found:
        of_site = f" of {site}" if site else ""
        _warn(
            f"no event{of_site} with the id {event!r} is stored. Ids are emptied after 8 to 16 days; an event that was just"
            " accepted is stored within seconds (`forebay audit` waits for it), and one that was refused is in `forebay site list`"
        )
        return 1
    sites = sorted({row["site"] for row in found})
    if len(sites) > 1:
        _warn(f"{len(sites)} sites have an event with that id: name one with --site ({', '.join(sites)})")
        return 2
    if len(found) > 1:
        _warn(f"{len(found)} events have that id, because it came again after its window: this is the last")
    sys.stdout.write("".join(f"{line}\n" for line in explained(found[0], threshold)))
    return 0


def explained(row: dict[str, Any], threshold: int) -> list[str]:
    """Returns the lines that explain a row of `FIND` to a person who has not read this."""
    reasons, bot = int(row["bot_reasons"]), str(row["bot"])
    software = " on ".join(filter(None, (_named(row, "browser"), _named(row, "os"), row["device"])))
    lines = [f"{row['name']} of {row['site']} at {row['moment']} UTC" + (f", {software}" if software else "")]
    total = score(reasons) if reasons or not bot else WITHOUT_REASONS
    for reason, weighed in REASONS.items():
        if reasons & reason:
            lines.append(f"  {weighed.weight:>4}  {weighed.word:<14} {weighed.meaning}")
    if unknown := reasons & ~sum(REASONS):
        lines.append(f"     0  bits {unknown}: a newer release knows what they mean")
    if bot and not reasons:
        lines.append(f"  {WITHOUT_REASONS:>4}  {bot:<14} A verdict of release 0.1.0, which kept no reasons")
    lines.append(f"  {total:>4}  together, and the threshold is {threshold}")
    if row["bot_name"]:
        lines.append(
            f"It is {row['bot_name']}" + (f", which is for {row['bot_purpose']}." if row["bot_purpose"] else ".")
        )
    lines.append(f"It counts as a bot's ({bot})." if bot else "It counts as a person's.")
    if not bot and row["agent_kind"] == "library":
        lines.append(
            "A program's library sent it with a user or revenue: that is a server's, and no reason is kept for it."
        )
    return lines + _changes(reasons, bot, total, threshold)


def _changes(reasons: int, bot: str, total: int, threshold: int) -> list[str]:
    """Returns what would change the verdict."""
    by_threshold = (bot if total >= threshold else "") if bot and not reasons else word(reasons, threshold)
    if by_threshold != bot:
        now = f"a bot's ({by_threshold})" if by_threshold else "a person's"
        return [f"It was judged by another threshold: `forebay bots rejudge` would make it {now}."]
    if not total:
        return ["Nothing speaks for a program."]
    lines = [
        f"With a threshold over {total} it would be a person's."
        if bot
        else f"With a threshold of {total} or less it would be a bot's."
    ]
    return lines + [f"  {REASONS[reason].word}: {text}" for reason, text in REMEDIES.items() if reasons & reason]


def _named(row: dict[str, Any], what: str) -> str:
    return f"{row[what]} {row[f'{what}_version']}".strip()


def meant(threshold: int, site: str, since: str | None) -> Condition:
    """Returns a condition for the rows whose verdict is not what the threshold says. Raises ValueError."""
    if threshold < 1:
        raise ValueError("--threshold is at least 1: every event has a score of 0 or more")
    conditions = [f"(bot != {word_sql(threshold)})"]
    parameters: dict[str, Value] = {}
    if site:
        conditions.append("site = {site:String}")
        parameters["site"] = site
    if since is not None:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise ValueError(f"--since {since!r} is not a moment like 2026-01-31 or 2026-01-31T12:00") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        conditions.append("ts >= fromUnixTimestamp64Milli({since_ms:Int64})")
        parameters["since_ms"] = int(moment.timestamp() * 1000)
    return Condition(" AND ".join(conditions), parameters)


def _rejudge(clickhouse: ClickHouse, threshold: int, changing: Condition, cluster: str, *, is_dry: bool) -> int:
    plan = clickhouse.rows(PLAN % (word_sql(threshold), changing.sql), changing.parameters)
    events = sum(row["events"] for row in plan)
    for row in plan[:SHOWN_MAX]:
        sys.stdout.write(f"{row['events']:>10}  {row['site']}: {_verdict(row['before'])} -> {_verdict(row['after'])}\n")
    if len(plan) > SHOWN_MAX:
        sys.stdout.write(f"{sum(row['events'] for row in plan[SHOWN_MAX:]):>10}  of others\n")
    if is_dry or not events:
        sys.stdout.write(f"{events} stored events would change with a threshold of {threshold}\n")
        return 0
    mark = f"rejudge-{secrets.token_hex(8)}"
    clickhouse.run(mutation(threshold, changing, mark, cluster), changing.parameters, mutations_sync="0")
    _wait(clickhouse, mark, cluster)
    sys.stdout.write(f"{events} stored events were judged anew, by a threshold of {threshold}\n")
    return 0


def mutation(threshold: int, changing: Condition, mark: str, cluster: str) -> str:
    """Returns the statement that judges these rows anew. Its mark is how `_wait` finds it among the mutations."""
    on_cluster = f" ON CLUSTER {literal(cluster)}" if cluster else ""
    return (
        f"ALTER TABLE forebay.events{on_cluster} UPDATE bot_reasons = {reasons_sql()}, bot = {word_sql(threshold)}"
        f" WHERE notEmpty({literal(mark)}) AND {changing.sql}"
    )


def progress(cluster: str) -> str:
    """Returns the query for the state of the mutations with a mark, on all nodes of a cluster if there is one."""
    return MUTATION % (f"clusterAllReplicas({literal(cluster)}, system.mutations)" if cluster else "system.mutations")


def _wait(clickhouse: ClickHouse, mark: str, cluster: str) -> None:
    """Waits until the mutation with this mark is done on every node. Raises ClickHouseError when it fails or is ended."""
    question = progress(cluster)
    is_seen = False
    while True:
        [found] = clickhouse.rows(question, {"mark": mark})
        if found["failed"] and not found["is_done"]:
            raise ClickHouseError(f"the mutation fails, and ClickHouse tries again: {found['failed']}", 1)
        if found["mutations"] and found["is_done"]:
            return
        if is_seen and not found["mutations"]:
            raise ClickHouseError(
                "the mutation is gone before it was done: somebody ended it, and some rows may be judged"
            )
        is_seen = bool(found["mutations"])
        time.sleep(POLL_SECONDS)


def _verdict(bot: str) -> str:
    return bot or "person"


def _warn(text: str) -> None:
    sys.stderr.write(f"forebay bots: {text}\n")
