"""Declares what is tested of an unmodified SDK: one visit that its script makes, and the rows that it must become.

A family's file (`plausible.py`, `umami.py`, ...) has a list `SDKS`. To add an SDK, add it to package.json or python.in, write its
script in `browser/`, `node/` or `python/` under the SDK's name, and declare it:

- `browser/NAME.html` is a page. `{{url}}` is where it sends to, `{{site}}` the site, `{{key}}` its key, and what npm installed is
  under `/npm/`, what was only unpacked under `/unpacked/`. The page sets `window.done` when it has said everything;
- `node/NAME.mjs` exports `async function visit({url, site, key, page})`, which ends when everything was sent or given up;
- `python/NAME.py` has `def visit(url, site, key, page)`, the same. Visits run at once in threads.

A visit is made once for each of VISITS, each to a site of its own, so that the rows of one can't be taken for another's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.async_api import Page

from tests.sdks.relay import Fault, Way, is_post

PLAIN = "plain"
# What befalls the first requests of a visit. `SAY` stores the events and says something else; `REFUSE` stores nothing.
VISITS: Mapping[str, tuple[Fault, ...]] = {
    PLAIN: (),
    "silent": (Fault(Way.SILENT),),  # early, because it takes longest
    "200": (Fault(Way.SAY, 200),),
    "202": (Fault(Way.SAY, 202),),
    "204": (Fault(Way.SAY, 204),),
    "400": (Fault(Way.SAY, 400),),
    "413": (Fault(Way.SAY, 413),),
    "429": (Fault(Way.REFUSE, 429), Fault(Way.SAY, 429)),
    "500": (Fault(Way.REFUSE, 500), Fault(Way.SAY, 500)),
    "503": (Fault(Way.REFUSE, 503), Fault(Way.SAY, 503)),
    "cut": (Fault(Way.CUT),),
}
# Made when all others are over, because everybody's ingest is killed.
KILLED = "killed"
KILL = (Fault(Way.KILL),)

# The visits of a page that `make thorough` makes, and `make test` leaves to the same family's clients for servers: a page costs a
# second of CPU time, and what these answers do to a page is what others do.
THOROUGH = frozenset(("silent", "200", "413", "429", "500"))
# The visits that `make test` makes of an SDK which few people have: what else may befall its events is left to `make thorough`.
BRIEF = frozenset((PLAIN, "503"))
# The visits of an SDK that shares what it does after an answer with another one, which makes all of them.
SOME = frozenset((PLAIN, "202", "503", "cut"))


def as_other(name: str) -> Mapping[str, str]:
    """Returns the visits that are left out of an SDK, because another one makes them in the same way."""
    return {visit: f"{name} makes it" for visit in (*VISITS, KILLED) if visit not in SOME}


def looks_at_no_answer() -> Mapping[str, str]:
    """Returns the visits that are left out of an SDK which does the same whatever it is told."""
    return {visit: "it looks at no answer" for visit in VISITS if visit not in SOME}


Row = Mapping[str, Any]  # a row of `events` by its columns
Drive = Callable[[Page, str], Awaitable[None]]


async def drive(tab: Page, page: str) -> None:
    """Opens the page as somebody who came from elsewhere, and waits until it has said everything."""
    await tab.goto(page, referer="http://news.test/", wait_until="commit")
    await tab.wait_for_function("window.done")


@dataclass(frozen=True, kw_only=True)
class Sdk:
    """Describes an SDK, and the rows of a plain visit.

    `rows` has for each row the columns that are looked at, each with its value or with a function that says whether the value
    is right; of a mapping, such as `props`, those keys are looked at that are named. Columns are those of `forebay.events`.
    """

    name: str
    of: str  # whose client it is, as the table of docs/compatibility.md says it
    runs_in: Literal["browser", "node", "python"]
    packages: tuple[str, ...]  # as package.json, python.in or unpacked.txt name them
    rows: tuple[Row, ...]
    at_times: tuple[Row, ...] = ()  # rows of a visit that took long enough; each may be there once
    comes_back: bool  # whether it sends again what was refused with 429, 5xx, or got no answer
    key: tuple[str, Callable[[str], str]] | None = (
        None  # a family, and the key of a site; None: it names the site itself
    )
    visitors: int = 1  # how many visitors the rows of a plain visit have
    path: str = "/pricing?utm_source=letter"  # of the page that the visit is of
    drive: Drive = drive
    gives_up: frozenset[str] = field(default=frozenset())  # visits after which it does not come back although others do
    leaves_out: Mapping[str, str] = field(default_factory=dict)  # visits that are not made, each with the reason
    page: str = ""  # whose page it has in `browser/`, if several have one
    fills: Mapping[str, str] = field(default_factory=dict)  # what else its page has in braces
    is_brief: bool = False  # whether `make test` makes its visits of BRIEF alone
    carries: Callable[[str, str], bool] = is_post  # whether a request of this method and path carries events

    def makes(self, visit: str, *, is_whole: bool) -> bool:
        """Says whether it makes a visit; `is_whole` if it makes all of its own."""
        if visit in self.leaves_out:
            return False
        if is_whole:
            return True
        return visit in BRIEF if self.is_brief else self.runs_in != "browser" or visit not in THOROUGH

    def site_of(self, visit: str) -> str:
        return f"{self.name}-{visit}.sdk.test"

    def key_of(self, visit: str) -> str:
        """Returns what the client is given as its key."""
        return self.key[1](self.site_of(visit)) if self.key else ""

    def returns(self, visit: str) -> bool:
        return self.comes_back and visit not in self.gives_up
