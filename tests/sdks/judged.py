"""Judges the rows that a visit became: each row that was expected is there, once, and no other."""

from __future__ import annotations

import base64
import contextlib
import gzip
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.sdks.declared import KILLED, PLAIN, Row, Sdk
from tests.sdks.relay import Channel

# The id of an event, as each family calls it; an event may name another's by another word.
AN_ID = re.compile(rb'"(?:uuid|messageId|\$?insert_id|id)" ?: ?"([^"]+)"')
SHOWN = (
    "name",
    "hostname",
    "path",
    "query",
    "referrer",
    "title",
    "user_id",
    "event_id",
    "props",
    "revenue",
    "currency",
)


def faults(sdk: Sdk, visit: str, rows: Sequence[Row], channel: Channel) -> list[str]:
    """Returns what is wrong with the rows of a visit."""
    found, missing, spare = [], list(sdk.rows), list(sdk.at_times)
    for row in rows:
        fitting = next((one for one in missing if not misfits(sdk, visit, one, row)), None)
        if fitting is not None:
            missing.remove(fitting)
            continue
        fitting = next((one for one in spare if not misfits(sdk, visit, one, row)), None)
        if fitting is None:
            found.append(f"a row that is one too many, or not as expected: {shown(sdk, visit, row)}")
        else:
            spare.remove(fitting)
    if allowed(sdk, visit, channel) < len(missing):
        found += [f"a row is missing: {dict(one)}" for one in missing]
    if visit == PLAIN:
        visitors = len({(row["visitor_id"], row["session_id"]) for row in rows})
        if rows and visitors != sdk.visitors:
            found.append(f"{visitors} visitors with their sessions in place of {sdk.visitors}")
        found += sent_again(rows, channel)
        found += [f"{one.status} {one.answer[:200]!r} to {one.path}" for one in channel.sent if one.status >= 400]
    if visit != KILLED:
        broken = [one for one in channel.events() if one.status == 0 and visit not in {"cut", "silent"}]
        found += [f"no answer to {one.path} {one.body[:200]!r}" for one in broken]
    return found


def sent_again(rows: Sequence[Row], channel: Channel) -> list[str]:
    """Returns what came more than once although it was answered: equal bodies, and ids of events that several bodies have."""
    texts = [text_of(one.body) for one in channel.events()]
    found = [f"sent {count} times: {text[:200]!r}" for text, count in Counter(texts).items() if text and count > 1]
    said = Counter(name for text in texts for name in set(AN_ID.findall(text)))
    counts = {row["event_id"]: said[row["event_id"].encode()] for row in rows}
    found += [f"sent {count} times: the event with the id {name}" for name, count in counts.items() if count > 1]
    return found


def text_of(body: bytes) -> bytes:
    """Returns what a body says, out of gzip or a form with base64."""
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"data="):
        with contextlib.suppress(ValueError):
            return base64.b64decode(unquote_to_bytes(body[5:].partition(b"&")[0]))
    return body


def allowed(sdk: Sdk, visit: str, channel: Channel) -> int:
    """Returns how many rows may be missing: none, unless a client that does not come back was refused or cut off."""
    if sdk.returns(visit):
        return 0
    if visit == KILLED:
        return len(sdk.rows)
    return sum(one.is_refused for one in channel.events())


def misfits(sdk: Sdk, visit: str, wanted: Row, row: Row) -> list[str]:
    """Returns the columns in which a row is not as it is wanted."""
    return [name for name, value in wanted.items() if not fits(value, row[name], sdk.site_of(visit))]


def fits(wanted: Any, found: Any, site: str) -> bool:
    """Returns whether a value is as it is wanted. A property that a row does not have is None, and fits no condition."""
    if callable(wanted):
        return found is not None and bool(wanted(found))
    if isinstance(wanted, Mapping):
        return all(fits(value, found.get(name), site) for name, value in wanted.items())
    return bool(found == (wanted.replace("{site}", site) if isinstance(wanted, str) else wanted))


def shown(sdk: Sdk, visit: str, row: Row) -> str:
    """Returns a row as a failure shows it, and in which columns it differs from each that has its name."""
    differing = [
        {name: (one[name], row[name]) for name in misfits(sdk, visit, one, row)}
        for one in sdk.rows
        if one.get("name") == row["name"]
    ]
    return f"{ {name: row[name] for name in SHOWN} }; wanted and found: {differing}"
