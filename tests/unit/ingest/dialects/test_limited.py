"""What every dialect says to a client that is over a limit: an answer after which it comes again, if it ever does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.collect.limiter import Limiter
from ingest.collect.sites import Sites
from schemas.limits import limit_of
from schemas.site import RegisteredSite
from tests.support.collecting import BROWSER, Bench, Collected
from tests.support.seeds import Seed, seeds

# posthog-js drops what is answered 4xx, also 429.
STATUSES = {"posthog": 503}
SEEDS = [seed for seed in seeds() if seed.rows]


class Now:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Registry:
    """Gives one site all keys that seeds name."""

    async def sites(self) -> dict[str, bytes]:
        keys = tuple(sorted({key for seed in SEEDS for key in seed.keys}))
        return {"example.com": RegisteredSite(keys=keys).encode()}


def send(bench: Bench, seed: Seed) -> Collected:
    fields = {name.lower(): (name, value) for name, value in (*BROWSER, *seed.headers)}
    body = seed.raw or (b"" if seed.body is None else json.dumps(seed.body).encode())
    return bench.collect(seed.method, seed.target.encode(), list(fields.values()), body, "203.0.113.7")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.dialect} {seed.method} {seed.target[:40]}")
async def test_over_a_limit_a_client_hears_when_to_come_again(seed: Seed) -> None:
    """Nothing of its request is taken, and when it comes again all of it is."""
    now = Now()
    sites = Sites(named=[], privacy="count", source=Registry(), client_limit=limit_of("1/s,burst=1"))
    bench = await Bench(sites=sites, limiter=Limiter(now=now)).ready()
    await sites.refresh()
    before = send(bench, seed)
    assert len(before.rows) == seed.rows
    found = send(bench, seed)
    assert (found.status, found.rows) == (STATUSES.get(seed.dialect, 429), [])
    said: dict[bytes, Any] = dict(found.headers)
    assert len(said) == len(found.headers) - found.headers.count((b"vary", b"Origin")) + 1
    assert int(said[b"retry-after"]) == int(said[b"x-ratelimit-reset"]) >= 1
    assert (said[b"x-ratelimit-limit"], said[b"x-ratelimit-remaining"]) == (b"1", b"0")
    if said[b"content-type"].startswith(b"application/json"):
        code = json.loads(found.body).get("code", 429)
        assert seed.dialect != "amplitude" or code == 429
    now.seconds += int(said[b"retry-after"]) + 0.1
    assert len(send(bench, seed).rows) == seed.rows


async def test_what_is_unsupported_hides_no_refusal() -> None:
    """It counts as taken, and yet the event beside it was not: an answer of success would lose that."""
    sites = Sites(named=["example.com"], privacy="count", limit=limit_of("1/h,burst=1"))
    bench = await Bench(sites=sites, limiter=Limiter(now=Now())).ready()
    body = {"name": "pageview", "url": "https://example.com/", "domain": "example.com", "revenue": {"amount": "much"}}
    found = [bench.post(body, target=b"/api/event") for _ in range(2)]
    assert [(one.status, len(one.rows)) for one in found] == [(202, 1), (429, 0)]
    assert sum(bench.counts.unsupporteds.values()) == 2
