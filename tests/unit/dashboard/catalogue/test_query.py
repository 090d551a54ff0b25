"""The files of the catalogue are what their headers say, and a file that is not is refused at start."""

from __future__ import annotations

import re

import pytest

from dashboard.ask.files import catalogue, query_of
from dashboard.catalogue.contract import Refused
from dashboard.catalogue.query import FILES_MAX, SQL_LINES_MAX, BrokenQuery, read, read_all

TEXT = """-- title: Rows
-- answers: How many rows
--   there are.
-- leaves out: nothing.
-- parameters: site String, numbers Array(UInt16), limit UInt32, offset UInt32
-- columns: d Dimension, n UInt64
-- dimensions: row
-- filters: row
-- seconds: 10
-- example: site=a.example numbers=[1,2] name='Two words'
SELECT /*dimension*/ e.site /*end*/ AS d, count() AS n FROM forebay.events AS e
WHERE e.site = {site:String} AND length({numbers:Array(UInt16)}) > 0 AND /*filter*/ 1 /*end*/ GROUP BY d
ORDER BY /*order*/ d /*end*/
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
"""


def test_a_file_is_a_header_and_a_select() -> None:
    """Reads each key, a value over two lines, types by names in order, and the marked places."""
    query = read("rows", TEXT)
    assert (query.title, query.answers) == ("Rows", "How many rows there are.")
    assert query.parameters == {"site": "String", "numbers": "Array(UInt16)", "limit": "UInt32", "offset": "UInt32"}
    assert list(query.columns.items()) == [("d", "Dimension"), ("n", "UInt64")]
    assert query.example == {"site": "a.example", "numbers": "[1,2]", "name": "Two words"}
    assert query.marks == ("dimension", "filter", "order")
    replaced = query.with_marks({"dimension": "tuple(e.name, e.path)", "filter": "e.name = {p1:String}"})
    assert "SELECT tuple(e.name, e.path) AS d, count() AS n" in replaced
    assert "AND e.name = {p1:String} GROUP BY d\nORDER BY d" in replaced


def test_a_type_may_have_commas_and_brackets() -> None:
    """Reads brackets within brackets as one type."""
    query = read("rows", TEXT.replace("n UInt64", "n Map(String, Decimal(38, 4)), m UInt8"))
    assert query.columns == {"d": "Dimension", "n": "Map(String, Decimal(38, 4))", "m": "UInt8"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-- title: Rows\n", ""),
        ("-- title: Rows\n", "-- title: Rows\n-- title: Rows\n"),
        ("-- seconds: 10\n", "-- minutes: 10\n"),
        ("-- seconds: 10\n", "-- seconds: 31\n"),
        ("-- seconds: 10\n", "-- seconds: ten\n"),
        ("-- dimensions: row\n", "-- dimensions: none\n"),
        ("-- dimensions: row\n", "-- dimensions: table\n"),
        ("-- filters: row\n", "-- filters: none\n"),
        ("site String, ", ""),
        ("site String, ", "site String, zone String, "),
        ("site String, ", "site Date, "),
        ("GROUP BY d", "AND /*filter*/ 1 /*end*/ GROUP BY d"),
        ("GROUP BY d", "AND /*other*/ 1 /*end*/ GROUP BY d"),
        ("GROUP BY d", "/* by what */ GROUP BY d"),
        ("GROUP BY d", "GROUP BY d;"),
        ("LIMIT {limit:UInt32} OFFSET {offset:UInt32}", "LIMIT {limit:UInt32} BY d OFFSET {offset:UInt32}"),
        ("GROUP BY d", "GROUP BY d FORMAT JSON"),
        ("SELECT /*d", "INSERT INTO t SELECT /*d"),
        ("GROUP BY d", "GROUP BY d" + "\n" * SQL_LINES_MAX),
    ],
)
def test_a_broken_file_is_refused(old: str, new: str) -> None:
    """Says so at start, and not when somebody asks."""
    assert old in TEXT
    with pytest.raises(BrokenQuery, match=r"^rows: "):
        read("rows", TEXT.replace(old, new, 1))


def test_a_catalogue_has_at_most_forty_files() -> None:
    """Refuses one more."""
    with pytest.raises(BrokenQuery, match="at most 40 files"):
        read_all({f"rows{number}": TEXT for number in range(FILES_MAX + 1)})


def test_every_file_of_the_catalogue_can_be_read() -> None:
    """Reads all files, and names those that there are to who asks for another."""
    assert "counts" in catalogue()
    with pytest.raises(Refused, match=r"has no file 'nothing'\. It has .*counts"):
        query_of("nothing")


OF_ALL_SITES = {"sites", "sites_today", "freshness", "stored_minutes"}


def test_every_reading_is_of_the_site_that_is_asked_for() -> None:
    """Each table that a file reads has its own condition on the site: no row of another site, and nothing read in vain."""
    for name, query in catalogue().items():
        tables = re.findall(r"FROM forebay\.(?:events|sessions|named_sessions|closed_\w+)(?: AS (\w+))?", query.sql)
        assert tables, name
        assert all(tables), name
        for alias in set(tables):
            of_site = query.sql.count(f"{alias}.site = {{site:String}}")
            assert of_site == (0 if name in OF_ALL_SITES else tables.count(alias)), (name, alias)


def test_rows_of_local_days_are_chosen_in_the_same_words() -> None:
    """The condition stands in each file, because a file runs as it is; written differently it would lose the projection."""
    decides = "toDate(toStartOfFifteenMinutes({}.ts), {{zone:String}}) BETWEEN {{since:Date}} AND {{until:Date}}"
    cuts = "toStartOfFifteenMinutes({}.ts) < toDateTime({{before:UInt32}}, 'UTC')"
    prunes = "toDate({}.ts) BETWEEN {{first_day:Date}} AND {{last_day:Date}}"
    chosen = 0
    for name, query in catalogue().items():
        # Retention looks at all days up to the last one.
        if query.filters == "row" and "since" in query.parameters and name != "retention":
            chosen += 1
            alias = "r" if "/*acts:*/" in query.sql else "e"
            assert all(words.format(alias) in query.sql for words in (decides, cuts, prunes)), name
    assert chosen > 12
