"""`forebay channels`: rows of a user's own count at once, for one site or for all; what is refused changes nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forebay.__main__ import main
from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate
from forebay.sources import lists
from forebay.sources.words import ROWS_MAX, Source
from schemas.channel_views import put_in_force
from schemas.channels import VERSION
from tests.support.engine import EngineProcess

Forebay = Callable[..., tuple[int, str, str]]
GOOGLE = "https://www.google.com/"


@pytest.fixture
def forebay(
    engine: EngineProcess, clickhouse: ClickHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Forebay]:
    """Returns a call of the command, which returns its status and what it printed. It begins and ends with no own rows."""

    def call(*words: str) -> tuple[int, str, str]:
        where = ("--data", str(tmp_path), "--clickhouse-url", f"http://127.0.0.1:{engine.port}")
        code = main(["channels", *words, *where])
        said = capsys.readouterr()
        return code, said.out, said.err

    yield call
    clickhouse.run("ALTER TABLE forebay.source_lists DELETE WHERE list = 'own' SETTINGS mutations_sync = 2")
    clickhouse.run(put_in_force())
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")


def visit(clickhouse: ClickHouse, referrer: str, *, site: str = "a.example", query: str = "", visits: int = 1) -> None:
    """Stores pageviews of visitors who come today."""
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, url, referrer_url) SELECT"
        f" '{site}', 'pageview', now64(3), rand64(), 'https://{site}/?{query}', '{referrer}' FROM numbers({visits})"
    )


def names(clickhouse: ClickHouse) -> set[tuple[str, str, str]]:
    """Returns site, name and channel of the visits; those of events are the same."""
    found = [
        {(row["site"], row["source_name"], row["channel"]) for row in clickhouse.rows(f"SELECT * FROM forebay.{view}")}
        for view in ("v_sessions", "v_events")
    ]
    assert found[0] == found[1]
    return found[0]


def test_a_row_counts_for_every_site_until_it_is_taken_back(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Gives visits of the past another name and channel, and gives the old ones back."""
    visit(clickhouse, "https://news.partner.example/x")
    assert names(clickhouse) == {("a.example", "news.partner.example", "Referral")}
    assert forebay("set", "https://www.Partner.example/", "--name", "Partner", "--kind", "affiliate")[0] == 0
    assert names(clickhouse) == {("a.example", "Partner", "Affiliates")}
    code, out, err = forebay("list")
    assert (code, out) == (0, "(every site)\tpartner.example\tPartner\taffiliate\n")
    assert f"shipped: the list of {VERSION}" in err
    assert forebay("remove", "partner.example")[0] == 0
    assert names(clickhouse) == {("a.example", "news.partner.example", "Referral")}
    assert forebay("list")[1] == ""


def test_a_row_of_a_site_wins_there_and_is_unknown_elsewhere(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Tries the site's own rows, then those of every site, then the shipped ones."""
    for site in ("a.example", "b.example", "c.example"):
        visit(clickhouse, GOOGLE, site=site)
        visit(clickhouse, "https://m.facebook.com/", site=site)
    assert forebay("set", "google.com", "--name", "G", "--kind", "referral", "--site", "a.example")[0] == 0
    assert forebay("set", "google.com", "--name", "GG", "--kind", "email", "--site", "B.example")[0] == 0
    assert forebay("set", "facebook.com", "--name", "F", "--kind", "display")[0] == 0
    assert names(clickhouse) == {
        ("a.example", "G", "Referral"), ("b.example", "GG", "Email"), ("c.example", "Google", "Organic Search"),
        ("a.example", "F", "Display"), ("b.example", "F", "Display"), ("c.example", "F", "Display"),
    }  # fmt: skip


def test_the_longest_word_of_a_site_wins(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Looks a host up as a whole before its parents."""
    visit(clickhouse, "https://mail.partner.example/")
    visit(clickhouse, "https://www.partner.example/")
    assert forebay("set", "partner.example", "--name", "Partner", "--kind", "referral")[0] == 0
    assert forebay("set", "mail.partner.example", "--name", "Mail", "--kind", "email", "--site", "a.example")[0] == 0
    assert names(clickhouse) == {("a.example", "Partner", "Referral"), ("a.example", "Mail", "Email")}


def test_what_is_no_source_is_direct(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Takes a payment page, from which people only come back, for nothing."""
    visit(clickhouse, "https://checkout.pay.example/")
    assert forebay("set", "pay.example", "--kind", "none")[0] == 0
    assert names(clickhouse) == {("a.example", "", "Direct")}


def test_a_host_of_another_script_is_found_in_both_forms(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Finds a referrer in punycode, and a tag as people write it."""
    visit(clickhouse, "https://xn--mller-kva.example/")
    visit(clickhouse, "", query="utm_source=m%C3%BCller.example")
    assert forebay("set", "Müller.example", "--name", "Müller", "--kind", "shopping")[0] == 0
    assert names(clickhouse) == {("a.example", "Müller", "Organic Shopping")}


def test_a_file_is_taken_over_as_a_whole(forebay: Forebay, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Adds the rows of a file to a list, or puts them in its place; a word may be like another one."""
    assert forebay("set", "old.example", "--name", "Old", "--kind", "email")[0] == 0
    file = tmp_path / "own.tsv"
    file.write_text("# ours\nabc\tABC\taudio\nradio.example\t=abc\nfbx\t=facebook.com\n")
    assert forebay("load", str(file))[0] == 0
    assert lists.own(clickhouse)[""] == {
        "old.example": Source("Old", "email"), "abc": Source("ABC", "audio"), "radio.example": Source("ABC", "audio"),
        "fbx": Source("Facebook", "social"),
    }  # fmt: skip
    assert forebay("load", str(file), "--replace")[0] == 0
    assert "old.example" not in lists.own(clickhouse)[""]


def test_a_list_may_have_as_many_rows_as_are_promised(forebay: Forebay, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Takes 5,000 rows of usual length, which are more than ClickHouse reads of one statement's SQL."""
    file = tmp_path / "own.tsv"
    rows = {
        f"shop-{at}.partner.example.com": Source(f"The \\ shop 'called' {at}", "shopping") for at in range(ROWS_MAX)
    }
    file.write_text("".join(f"{word}\t{name}\t{kind}\n" for word, (name, kind) in rows.items()))
    assert forebay("load", str(file)) == (0, "rows of your own in force for every site: 5000\n", "")
    assert lists.own(clickhouse) == {"": rows}
    visit(clickhouse, "https://shop-4999.partner.example.com/")
    assert names(clickhouse) == {("a.example", "The \\ shop 'called' 4999", "Organic Shopping")}


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_a_file_without_an_end_is_refused(forebay: Forebay, endless: str) -> None:
    """Reads no more of it than a list may have."""
    code, out, err = forebay("load", endless)
    assert (code, out) == (1, "")
    assert "is larger than" in err


def test_a_list_may_come_from_a_program(forebay: Forebay, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Takes a pipe, as a shell's <(...) gives one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=lambda: pipe.write_text("a.example\tA\temail\n"), daemon=True)
    writing.start()
    assert forebay("load", str(pipe))[0] == 0
    assert lists.own(clickhouse) == {"": {"a.example": Source("A", "email")}}


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("*\tAll\temail", "line 1: '*' would stand for everything"),
        (".\tAll\temail", "would stand for everything"),
        ("\tAll\temail", "would stand for everything"),
        ("*.example\tAll\temail", "without a *"),
        ("com\tAll\temail", "would stand for every site under it"),
        (".com.\tAll\temail", "would stand for every site under it"),
        ("co.uk\tAll\temail", "would stand for every site under it"),
        ("ok.example\tOk\temail\na.example\t=a.example", "a.example is like a.example: that goes round in a circle"),
        ("a\t=b\nb\t=c\nc\t=a", "a is like b is like c is like a: that goes round in a circle"),
        ("a\t=nowhere.example", "'a' is like 'nowhere.example', which is in no list"),
        ("a\tA\tmagic", "has the kind 'magic'"),
        ("a\tA", "has the kind ''"),
        ("a", "has the kind ''"),
        ("a\t\temail", "needs a name"),
        ("a\tA\temail\tx", "has more than a name and a kind"),
        ("a\tA\temail\nA\tB\temail", "line 2: 'a' stands there twice"),
        ("x" * 300 + "\tA\temail", "is longer than"),
        ("\n".join(f"w{number}\tA\temail" for number in range(5_001)), "at most 5000 rows"),
        ("# " + "x" * (1 << 20), "is larger than"),
    ],
)
def test_what_can_not_be_leaves_everything_as_it_was(
    forebay: Forebay, clickhouse: ClickHouse, tmp_path: Path, rows: str, fault: str
) -> None:
    """Says which line can't be, and why; the last good list stays in force, though other lines of the file were good."""
    assert forebay("set", "good.example", "--name", "Good", "--kind", "email")[0] == 0
    file = tmp_path / "own.tsv"
    file.write_text(rows)
    code, out, err = forebay("load", str(file))
    assert (code, out) == (1, "")
    assert err.startswith("forebay channels: nothing was changed: ")
    assert fault in err
    assert lists.own(clickhouse) == {"": {"good.example": Source("Good", "email")}}
    assert forebay("diff", "--to", str(file))[0] == 1


@pytest.mark.parametrize(
    "words", [("remove", "no.example"), ("load", "/no/file"), ("diff", "--to", "20300101"), ("set", "a")]
)
def test_what_is_not_there_is_said(forebay: Forebay, words: tuple[str, ...]) -> None:
    """Refuses it with a reason and the status 1."""
    code, out, err = forebay(*words)
    assert (code, out) == (1, "")
    assert err.startswith("forebay channels: nothing was changed: ")


def test_diff_says_what_a_file_would_change(forebay: Forebay, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Counts the visits that would move, from where to where and by source; it changes nothing."""
    visit(clickhouse, GOOGLE, visits=5)
    visit(clickhouse, GOOGLE, site="b.example", visits=2)
    visit(clickhouse, "https://partner.example/", visits=3)
    visit(clickhouse, "https://other.example/", visits=9)
    file = tmp_path / "own.tsv"
    file.write_text("google.com\tG\tsearch\npartner.example\tPartner\taffiliate\n")
    before = names(clickhouse)
    code, out, _ = forebay("diff", "--to", str(file))
    assert (code, out.splitlines()) == (
        0,
        [
            "visits of the last 30 days that change their channel: 3",
            "3\tReferral\t->\tAffiliates",
            "",
            "by source:",
            "7\tgoogle.com\tGoogle (Organic Search)\t->\tG (Organic Search)",
            "3\tpartner.example\tpartner.example (Referral)\t->\tPartner (Affiliates)",
        ],
    )
    code, out, _ = forebay("diff", "--to", str(file), "--site", "b.example")
    assert "2\tgoogle.com" in out
    assert "partner" not in out
    assert names(clickhouse) == before


def test_a_later_release_brings_its_list_and_leaves_own_rows(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Compares the two lists before and loads the later one once; a release before it leaves it alone."""
    visit(clickhouse, "https://chatgpt.com/", visits=4)
    clickhouse.run("TRUNCATE TABLE forebay.source_lists SYNC")
    older = {"google.com": Source("Google", "search")}
    row = lists.row_of(lists.SHIPPED, "", "toUInt64(20250101)", older)
    clickhouse.run(f"INSERT INTO forebay.source_lists (list, site, version, words, names, kinds) {row}")
    assert forebay("set", "partner.example", "--name", "Partner", "--kind", "affiliate")[0] == 0
    assert names(clickhouse) == {("a.example", "chatgpt.com", "Referral")}
    code, out, err = forebay("diff")
    assert code == 0
    assert "4\tReferral\t->\tAI Assistant" in out
    assert f"in force: the list of 20250101; compared with: the list of {VERSION}" in err
    assert migrate(clickhouse.run) == []
    assert lists.version_in_force(clickhouse.run) == VERSION
    assert names(clickhouse) == {("a.example", "ChatGPT", "AI Assistant")}
    assert lists.own(clickhouse) == {"": {"partner.example": Source("Partner", "affiliate")}}
    assert forebay("diff")[1] == "nothing changes of the visits of the last 30 days\n"
    later = lists.row_of(lists.SHIPPED, "", "toUInt64(20990101)", older)
    clickhouse.run(f"INSERT INTO forebay.source_lists (list, site, version, words, names, kinds) {later}")
    migrate(clickhouse.run)
    assert lists.version_in_force(clickhouse.run) == 20990101
    for table in ("source_lists", "source_index"):
        clickhouse.run(f"TRUNCATE TABLE forebay.{table} SYNC")
    migrate(clickhouse.run)


def test_views_work_without_any_list(forebay: Forebay, clickhouse: ClickHouse) -> None:
    """Answers with the words themselves between the migration and the first list."""
    visit(clickhouse, GOOGLE)
    for table in ("source_lists", "source_index"):
        clickhouse.run(f"TRUNCATE TABLE forebay.{table} SYNC")
    try:
        assert names(clickhouse) == {("a.example", "google.com", "Referral")}
    finally:
        migrate(clickhouse.run)
    assert names(clickhouse) == {("a.example", "Google", "Organic Search")}


def test_a_list_that_was_saved_by_a_killed_command_counts_after_the_next_migration(
    forebay: Forebay, clickhouse: ClickHouse
) -> None:
    """Leaves the last good lists in force until then."""
    visit(clickhouse, GOOGLE)
    row = lists.row_of(lists.OWN, "", "toUInt64(5)", {"google.com": Source("G", "email")})
    clickhouse.run(f"INSERT INTO forebay.source_lists (list, site, version, words, names, kinds) {row}")
    assert names(clickhouse) == {("a.example", "Google", "Organic Search")}
    migrate(clickhouse.run)
    assert names(clickhouse) == {("a.example", "G", "Email")}
    assert not lists.is_behind(clickhouse.run)
