"""flusher/shards/judging.py: tests which entries can't be stored and why, and that no other entry is taken for one."""

from __future__ import annotations

import pytest

from flusher.shards.judging import unfit
from schemas.aside import TOTALS_MAX
from schemas.entry import UnknownVersion
from schemas.ledger import OTHER, totals_of
from schemas.names import EntryId
from schemas.redis.records import Entry
from tests.support.entries import NEWER, Strange, of_version, record, row, strange

NOON = 1_795_996_800_000
CASES = strange(NOON)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_no_entry_is_found_alone(case: Strange) -> None:
    """An entry that can't be stored is found without its neighbours, and its rows are counted as far as they can be
    read.
    """
    before, after = record(row("a", NOON)), record(row("b", NOON))
    found = unfit([Entry.of("5-1", before), Entry.of("5-2", case.fields), Entry.of("5-3", after)])
    assert [(one.id, one.reason, sum(one.totals.values())) for one in found] == [
        (EntryId(5, 2), case.reason, case.rows)
    ]
    assert 0 < len(found[0].text) <= 300


def test_one_row_that_cannot_be_sent_is_no_reason() -> None:
    """A single row that can't be sent dies alone, so the entry that holds it is not set aside."""
    assert unfit([Entry.of("5-1", record(row("a", NOON), row("b", NOON, url=5)))]) == []
    assert unfit([Entry.of("5-1", record(row("a", NOON))), Entry.of("5-2", record(row("b", NOON, url=5)))]) == []


def test_many_entries_of_one_row_that_cannot_be_sent() -> None:
    """Many entries whose only row can't be sent are set aside, because as rows they would be too many to die."""
    bad = [Entry.of(f"5-{number}", record(row(f"{number}", NOON, url=5))) for number in range(11)]
    assert [one.reason for one in unfit([*bad, Entry.of("6-0", record(row("a", NOON)))])] == ["unencodable"] * 11
    assert unfit(bad[1:]) == []


def test_a_newer_version_is_waited_for() -> None:
    """Entries before one of a newer version are judged and those behind it wait; if it is the first, UnknownVersion is
    raised.
    """
    newer = Entry.of("5-2", of_version(NEWER, row("n", NOON)))
    bad = Entry.of("5-1", {b"n": b"1"})
    assert [one.id for one in unfit([bad, newer, bad])] == [EntryId(5, 1)]
    with pytest.raises(UnknownVersion):
        unfit([newer, bad])


def test_rows_of_very_many_sites_are_counted_by_minute() -> None:
    """The rows of an entry with very many sites are counted by minute alone, so what is kept of it stays small."""
    rows = [row(f"{number}", NOON, site=f"s{number}.example") for number in range(TOTALS_MAX + 1)]
    (one,) = unfit([Entry.of("5-1", record(*rows) | {b"n": b"1"})])
    assert totals_of(one.totals) == {(NOON // 60_000, OTHER): TOTALS_MAX + 1}
