"""What ingest cuts off a URL is what the table would not have kept: every derived column is the same without it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forebay.clickhouse import ClickHouse
from forebay.migrate import migrate
from ingest.enrich.url import referring, trimmed
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY
from tests.engine import EngineProcess

FLAGS = (0, KEEP_QUERY, KEEP_FRAGMENT, KEEP_QUERY | KEEP_FRAGMENT)
DERIVED = "hostname, path, query, referrer, utm_source, utm_medium, utm_campaign, utm_term, utm_content, source"
NAMES = (
    "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_", "UTM_SOURCE", "ref", "source", "via",
    "gclid", "fbclid", "li_fat_id", "token", "xref", "refs", "q", "",
)  # fmt: skip
VALUES = ("a", "news%20letter", "1", "", "a=b", "x%00y", "é", "a+b", "utm_source=z")
PATHS = ("/", "/a/b", "/a;b", "/ä", "/a%3Fb")


@pytest.mark.parametrize(
    ("url", "flags", "left"),
    [
        ("https://a.example/b", 0, "https://a.example/b"),
        ("https://a.example/b?token=hunter2", 0, "https://a.example/b"),
        ("https://a.example/b?token=hunter2", KEEP_QUERY, "https://a.example/b?token=hunter2"),
        ("https://a.example/b?q=1&utm_source=x&ref=y#top", 0, "https://a.example/b?utm_source=x&ref=y"),
        ("https://a.example/b?gclid=secret", 0, "https://a.example/b?gclid=1"),
        ("https://a.example/#/route?token=1", 0, "https://a.example/"),
        ("https://a.example/#/route?token=1", KEEP_FRAGMENT, "https://a.example/#/route?token=1"),
        ("https://a.example/#access_token=hunter2", 0, "https://a.example/"),
        ("https://a.example/#utm_source=x&token=1", 0, "https://a.example/#utm_source=x"),
        ("https://a.example/p?id=3?utm_source=x&utm_medium=y", 0, "https://a.example/p?id=3?utm_source=x&utm_medium=y"),
    ],
)
def test_what_a_site_does_not_keep_is_cut_off(url: str, flags: int, left: str) -> None:
    """Parameters that are not allow-listed, values of click ids, and the fragment where it is no route."""
    assert trimmed(url, flags) == left


def test_a_referrer_is_only_where_it_is() -> None:
    """Neither its query nor its fragment, in whichever order they come."""
    for tail in ("?q=secret", "#secret", "?a#b", "#a?b", ""):
        assert referring("https://b.example/c" + tail) == "https://b.example/c"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ClickHouse]:
    process = EngineProcess(tmp_path)
    made = ClickHouse(f"http://127.0.0.1:{process.port}")
    try:
        migrate(made.run)
        yield made
    finally:
        process.close()


def test_every_derived_column_is_the_same(client: ClickHouse) -> None:
    """Thousands of URLs, with each setting of a site, whole and trimmed, into the real table."""
    rng = random.Random(11)
    pairs: list[tuple[Any, ...]] = []
    for number in range(4_000):
        url = _url(rng)
        # cutQueryStringAndFragment leaves a fragment that a "?" follows in
        referrer = _url(rng).replace("/route?", "/route&") if rng.random() < 0.5 else ""
        flags = FLAGS[number % 4]
        pairs.append((number, flags, url, trimmed(url, flags), referrer, referring(referrer)))
    for site, url_at, referrer_at in (("whole", 2, 4), ("trimmed", 3, 5)):
        rows = ",".join(
            f"('{site}', {pair[0]}, {pair[1]}, {_quoted(pair[url_at])}, {_quoted(pair[referrer_at])})" for pair in pairs
        )
        client.run(f"INSERT INTO forebay.events (site, engaged_ms, url_flags, url, referrer_url) VALUES {rows}")
    differing = client.run(
        f"SELECT engaged_ms, site, {DERIVED} FROM forebay.events WHERE engaged_ms IN"
        f" (SELECT engaged_ms FROM forebay.events GROUP BY engaged_ms HAVING uniqExact({DERIVED}) > 1)"
        " ORDER BY engaged_ms, site LIMIT 4"
    )
    assert differing == "", "\n".join(str(pairs[int(line.split("\t")[0])]) + line for line in differing.splitlines())
    assert client.run("SELECT count() FROM forebay.events").strip() == str(2 * len(pairs))


def _url(rng: random.Random) -> str:
    """As pages have them: a query, a fragment that is an anchor, parameters or a route with parameters, or both."""
    url = "https://" + rng.choice(("a.example", "www.a.example", "B.example:8080")) + rng.choice(PATHS)
    if rng.random() < 0.6:
        url += "?" + _parameters(rng)
    if rng.random() < 0.4:
        url += "#" + rng.choice(("top", "/route", "/route?" + _parameters(rng), _parameters(rng)))
    return url


def _parameters(rng: random.Random) -> str:
    return "&".join(f"{rng.choice(NAMES)}={rng.choice(VALUES)}" for _ in range(rng.randrange(1, 4)))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
