"""ingest/collect/url.py: a URL has one form, holds nothing that its site does not keep, and gives the table its columns."""

from __future__ import annotations

from forebay.clickhouse import ClickHouse
from ingest.collect.exclusions import path_of
from ingest.collect.url import Location, kept, located, referring
from schemas.row import INTERNAL, KEEP_FRAGMENT, KEEP_QUERY, SENT_BY_LIBRARY

BYTES_MAX = 2_048


PAGE = "https://a.example/"

COLUMNS = "hostname, path, query, source, utm_source, referrer, agent_kind"

DERIVED: tuple[tuple[str, str, int, str, tuple[str, ...]], ...] = (
    ("http://[::1]:8080/x", "", 0, "", ("[::1]", "/x", "", "", "", "", "")),
    ("http://localhost:3000", "", 0, "", ("localhost", "/", "", "", "", "", "")),
    ("capacitor://localhost/home", "", 0, "", ("localhost", "/home", "", "", "", "", "")),
    ("https://www.shop.example./x", "http://intranet/w", 0, "", ("www.shop.example", "/x", "", "intranet", "", "http://intranet/w", "")),
    ("file:///C:/Users/somebody/index.html", "", 0, "", ("", "/index.html", "", "", "", "", "")),
    ("about:srcdoc", "", 0, "", ("", "", "", "", "", "", "")),
    (PAGE + "#/r?utm_source=nl&t=1", "", KEEP_FRAGMENT, "", ("a.example", "/#/r", "utm_source=nl", "nl", "nl", "", "")),
    (PAGE + "p?id=3?utm_source=x", "", 0, "", ("a.example", "/p", "utm_source=x", "x", "x", "", "")),
    (PAGE + "p?id=3&a=b", "", KEEP_QUERY, "", ("a.example", "/p", "id=3&a=b", "", "", "", "")),
    (PAGE, "https://WWW.b.example/x?q", 0, "", ("a.example", "/", "", "b.example", "", "https://www.b.example/x", "")),
    (PAGE, "https://pay.a.example/x", INTERNAL, "", ("a.example", "/", "", "", "", "https://pay.a.example/x", "")),
    (PAGE + "?ref=hn", "https://a.example/", INTERNAL, "", ("a.example", "/", "ref=hn", "hn", "", "https://a.example/", "")),
    (PAGE, "newsletter", 0, "", ("a.example", "/", "", "", "", "newsletter", "")),
    (PAGE, "www.google.com/s", 0, "", ("a.example", "/", "", "google.com", "", "//www.google.com/s", "")),
    (PAGE, "", SENT_BY_LIBRARY, "", ("a.example", "/", "", "", "", "", "library")),
    (PAGE, "", 0, "library", ("a.example", "/", "", "", "", "", "library")),
    (PAGE, "", 0, "crawler", ("a.example", "/", "", "", "", "", "crawler")),
)  # fmt: skip


def test_the_table_derives_its_columns_from_that_form(clickhouse: ClickHouse) -> None:
    """As they are asked for, from what ingest hands over."""
    values = []
    for number, (url, referrer, flags, bot, columns) in enumerate(DERIVED):
        found: Location | None = located(url)
        assert found is not None
        page, left = kept(found, flags, BYTES_MAX) or "", referring(referrer, BYTES_MAX)[1]
        assert path_of(page) == columns[1], "a site's rules mean the path that the table has"
        values.append(f"('a', {number}, '{page}', '{left}', {flags}, '{bot}')")
    clickhouse.run(
        "INSERT INTO forebay.events (site, engaged_ms, url, referrer_url, url_flags, bot) VALUES " + ",".join(values)
    )
    rows = clickhouse.run(f"SELECT {COLUMNS} FROM forebay.v_events ORDER BY engaged_ms")
    people = [expected for *_, bot, expected in DERIVED if not bot]
    assert [tuple(line.split("\t")) for line in rows.splitlines()] == people
    rows = clickhouse.run(f"SELECT {COLUMNS} FROM forebay.events WHERE bot != '' ORDER BY engaged_ms")
    assert [tuple(line.split("\t")) for line in rows.splitlines()] == [e for *_, bot, e in DERIVED if bot]
