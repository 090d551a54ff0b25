"""Writes figures into pages: the text between two marks is made from the result JSON, the rest is prose.

    <!-- NAME: made by ... -->
    made
    <!-- /NAME -->

`python -m loadtest.bench.capacity result.json` is the command; a test holds the pages to it.
"""

from __future__ import annotations

import re
from typing import Any

from loadtest.bench.figures import RATIO, VERDICTS, VERSION, absent, amount, judged, markdown, notes, table

# The part of a result that pages need; the rest stays in the file that the bench wrote.
KEPT = ("version", "kind", "at", "command", "revision", "machine", "versions", "took_s", "figures")

# What README says of each figure, in its order.
PLAIN = {
    "P4": "highest rate of single events at which every event is stored in time",
    "P4b": "the same with 50 events in a request",
    "P5": "at 70 % of the first rate: 99 % of requests are answered within",
    "P6": "at 70 % of the first rate: 99 % of events can be queried within",
    "P7": "CPU time of a million single events, all processes together",
    "P13": "the same at 500 events a second, where an event costs most",
    "P13c": "at 500 events a second half of the requests are answered within",
    "P8": "memory of one ingest worker and one flusher together",
    "P9": "an event that waits in Redis",
    "P11": "an event in ClickHouse, on disk",
    "P2": "events acknowledged by one ingest worker with a core of its own, 50 in a request",
    "P3": "events from a full Redis into ClickHouse, by one flusher",
}


def replaced(page: str, name: str, made: str) -> str:
    """Returns the page with this text between the marks. Raises ValueError if the marks are not there exactly once."""
    pattern = re.compile(rf"(<!-- {re.escape(name)}:[^>]*-->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"the page must have the marks of {name} once")
    return pattern.sub(lambda match: f"{match.group(1)}{made}\n{match.group(2)}", page)


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a result that is committed, judged by today's bars. What was measured stays as it is.

    Results of versions 1 and 2 are read. Raises ValueError if it is not a result of the bench, or of a later one.
    """
    if found.get("kind") != "bench":
        raise ValueError("not a result of `make bench`")
    if found.get("version") not in range(1, VERSION + 1):
        raise ValueError(f"a result of version {found.get('version')}: this revision reads 1 to {VERSION}")
    return {name: found[name] for name in KEPT} | {
        "version": VERSION,
        "figures": [judged(figure) for figure in found["figures"]],
    }


def with_peers(found: dict[str, Any], peers: dict[str, Any]) -> dict[str, Any]:
    """Returns a result with the figures of `make bench-peers`. Raises ValueError if it was of another revision."""
    if peers.get("kind") != "bench-peers":
        raise ValueError("the second file is not a result of `make bench-peers`")
    if peers["revision"] != found["revision"]:
        raise ValueError(f"the bench ran at {found['revision']}, `make bench-peers` at {peers['revision']}")
    more = {figure["name"] for figure in peers["figures"]}
    kept_ones = [figure for figure in found["figures"] if figure["name"] not in more]
    return found | {"figures": [*kept_ones, *peers["figures"]]}


def origin(found: dict[str, Any]) -> str:
    """Returns when, where and how the figures were measured."""
    where = found["machine"]
    load = f", load average before {where['load_before'][0]}" if where["load_before"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"Measured {found['at']} at revision `{found['revision'] or 'unknown'}` with `{found['command']}`"
        f" in {found['took_s']:.0f} s\non {where['cpu']}, two of {where['cores']} cores{load}.\n"
        f"{where['system']}, Python {where['python']}, {versions}."
    )


def targets(found: dict[str, Any]) -> str:
    """Returns the table of docs/performance.md."""
    figures = found["figures"]
    said = [*notes(figures), absent(figures)]
    return "\n\n".join((markdown(table(figures)), "\n".join(filter(None, said)), origin(found)))


def missed(found: dict[str, Any]) -> list[str]:
    """Returns the names of the figures that miss their goal: the page gives a reason for each."""
    return [figure["name"] for figure in found["figures"] if VERDICTS[figure["verdict"]] != VERDICTS["goal"]]


def speed(found: dict[str, Any]) -> str:
    """Returns the rate that README begins with, as a paragraph. Raises ValueError when the result lacks it."""
    knees = [figure for figure in found["figures"] if figure["name"] == "P4" and not figure["fault"]]
    if not knees:
        raise ValueError("the result lacks P4, the rate that README begins with")
    rate, how = knees[0]["value"], knees[0]["detail"]
    where = f"{found['machine']['cpu']}, measured {found['at'].partition('T')[0]}"
    return (
        f"**{rate:,.0f} single events a second** on two cores ({where}), the load generator on the same two: the"
        " highest rate\nat which every event was stored in time, and once."
        f" It was sent for {how['settings']['rung_s']:g} s,\nand {how['settings']['stored_within_s']:g} s more were allowed"
        f" for storing. Over both together it stored {how['sustained_at_least_per_s']:,.0f} a second.\n"
        "Latency, memory and what misses its goal: [Measured](#measured)."
    )


def measured(found: dict[str, Any]) -> str:
    """Returns README's table: what was measured, in plain words, and how many first bars and goals are reached."""
    figures = {figure["name"]: figure for figure in found["figures"] if not figure["fault"]}
    rows = [["on two cores, with the load generator on them too", ""]]
    for name, what in PLAIN.items():
        if figure := figures.get(name):
            is_ratio = figure["unit"] == RATIO
            value = (figure["measured"], figure["sides"]) if is_ratio else (figure["value"], figure["unit"])
            rows.append([what, amount(*value)])
    goals = len(found["figures"]) - len(missed(found))
    bars = sum(figure["verdict"] in {"goal", "first bar"} for figure in found["figures"])
    made = f"at revision `{found['revision'] or 'unknown'}` on {found['machine']['cpu']}"
    said = (
        f"Measured {found['at'].partition('T')[0]} {made}. Each figure has a first bar, which it must reach, and a goal. Of"
        f" {len(found['figures'])} figures {bars} reach\nthe first bar, and {goals} of these the goal too;"
        " [docs/performance.md](docs/performance.md) has the bars, the goals, the versions and the reasons."
    )
    return f"{markdown(rows)}\n\n{said}"
