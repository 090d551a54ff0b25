"""Looks at the dashboard of compose as people do: nobody without a login, and with one the numbers of what was stored."""

from __future__ import annotations

import asyncio
from typing import Protocol

import orjson

from tests.compose.checks import Checks
from tests.support.dashboard.people import JSON, PASSWORD, Person
from tests.support.waiting import wait_until

DASHBOARD = "http://127.0.0.1:8003"
COUNTED_SECONDS = 60
ATTEMPTS = 40  # an alert rises above 30
ADDED = f"echo '{PASSWORD}' | forebay user add ann --role admin"


class Composition(Protocol):
    """Runs commands in the containers of services."""

    def inside(self, service: str, *words: str, seconds: float = 60) -> str:
        """Returns what a command in a service's container prints. Raises Failed."""


def watched(checks: Checks, stack: Composition, site: str) -> None:
    """Checks that the dashboard keeps out whoever has not logged in, and shows the events to an admin, as the user that can only read."""
    with checks.check("compose: the dashboard says nothing before somebody has logged in"):
        statuses = asyncio.run(_statuses("/", "/api/sites", "/metrics"))
        assert statuses == [303, 401, 401], statuses
        said = stack.inside("dashboard", "sh", "-c", "echo $FOREBAY_CLICKHOUSE_USER").strip()
        assert said == "forebay_dashboard", said
    with checks.check("compose: forebay user add, a login, and the events on the dashboard") as figures:
        stack.inside("dashboard", "sh", "-c", ADDED)
        ann = Person(None, DASHBOARD)
        status, text = asyncio.run(ann.log_in("ann"))
        assert status == 303, text
        found = 0

        def is_counted() -> bool:
            nonlocal found
            found = asyncio.run(_events(ann, site))
            return found > 0

        wait_until(is_counted, COUNTED_SECONDS)
        figures.append(f"{found} events")
    with checks.check("compose: the dashboard's page of health says that all parts are well"):
        status, text = asyncio.run(ann.get("/api/health"))
        parts = {part["name"]: part["is_well"] for part in orjson.loads(text)["parts"]} if status == 200 else {}
        assert parts, text
        assert all(parts.values()), parts


def guessing() -> int:
    """Tries wrong passwords of a user, as a stranger does, and returns how often. The limits refuse most of them."""

    async def tried() -> list[int]:
        stranger = Person(None, DASHBOARD)
        return [(await stranger.log_in("ann", f"guess {number}"))[0] for number in range(ATTEMPTS)]

    statuses = asyncio.run(tried())
    assert set(statuses) == {401, 429}, statuses
    return len(statuses)


async def _statuses(*paths: str) -> list[int]:
    person = Person(None, DASHBOARD)
    return [(await person.get(path))[0] for path in paths]


async def _events(person: Person, site: str) -> int:
    """Returns how many events of the last days the dashboard counts; bots too, because programs sent them."""
    question = orjson.dumps({"site": site, "panel": "totals", "period": "7d", "bots": True})
    status, text, _ = await person.ask("POST", "/api/panel", data=question, headers=JSON)
    if status == 503:  # it waits for its turn, or for ClickHouse
        return 0
    assert status == 200, text
    answer = orjson.loads(text)
    return int(answer["rows"][0][answer["columns"].index("events")])
