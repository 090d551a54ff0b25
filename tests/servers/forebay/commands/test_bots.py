"""`forebay bots` against the real engine: verdicts explained, and stored events judged anew with their projections."""

from __future__ import annotations

import re
import threading

import pytest

from forebay import command_line
from forebay.clickhouse import ClickHouse, Condition
from forebay.commands.bots import POLL_SECONDS, mutation, progress
from schemas.bots import BotReason
from tests.support.engine import EngineProcess
from tests.support.waiting import wait_until

CRAWLER, HEADERS, WINDOW = (int(one) for one in (BotReason.CRAWLER, BotReason.HEADERS, BotReason.WINDOW))
ROWS = f"""
INSERT INTO forebay.events (site, name, ts, received_at, event_id, path, bot, bot_reasons, bot_name, bot_purpose, browser,
  browser_version, os, url_flags) VALUES
  ('a.example', 'pageview', now64(3), now64(3), 'person', '/', '', 0, '', '', 'Chrome', '143', 'Windows', 0),
  ('a.example', 'pageview', now64(3), now64(3), 'google', '/', 'crawler', {CRAWLER | HEADERS}, 'Googlebot', 'search', '', '', '', 0),
  ('a.example', 'pageview', now64(3), now64(3), 'odd', '/', '', {HEADERS}, '', '', 'Chrome', '143', 'Windows', 0),
  ('a.example', 'pageview', now64(3), now64(3), 'both', '/x', '', {CRAWLER}, '', '', '', '', '', 0),
  ('a.example', 'pageview', now64(3), now64(3), 'server', '/', '', 0, '', '', '', '', '', 8),
  ('b.example', 'pageview', '2026-01-31 12:00:00', now64(3), 'both', '/', '', {HEADERS | WINDOW}, '', '', '', '', '', 0),
  ('b.example', 'pageview', '2026-01-31 12:00:00', now64(3), 'old', '/', 'crawler', 0, '', '', '', '', '', 0)
"""
# By site and verdict, as the projection has it and as the rows do.
DAILY = "SELECT site, bot, sum(events) AS n FROM forebay.daily GROUP BY site, bot ORDER BY site, bot"
QUARTERS = """
SELECT site, bot, sum(events) AS n FROM (
  SELECT site, bot, count() AS events FROM forebay.events
  GROUP BY site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency
) GROUP BY site, bot ORDER BY site, bot SETTINGS force_optimize_projection_name = 'quarter_hours'
"""
TRUE = "SELECT site, bot, count() AS n FROM forebay.events WHERE late = 0 GROUP BY site, bot ORDER BY site, bot"


class Bots:
    """Runs the command on an engine, and reads what it left."""

    def __init__(self, engine: EngineProcess, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = f"http://127.0.0.1:{engine.port}"
        self.clickhouse = clickhouse
        self.capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        """Returns the exit status, and what was printed and warned of."""
        code = command_line.main(["bots", *words, "--clickhouse-url", self.url])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def verdicts(self) -> dict[tuple[str, str], str]:
        """Returns the verdict by site and id; the projections and the views must say the same as the rows."""
        assert self.clickhouse.rows(DAILY) == self.clickhouse.rows(QUARTERS) == self.clickhouse.rows(TRUE)
        people = self.clickhouse.run("SELECT count() FROM forebay.v_pageviews")
        assert people == self.clickhouse.run("SELECT count() FROM forebay.events WHERE bot = '' AND late = 0")
        rows = self.clickhouse.rows("SELECT site, event_id, bot FROM forebay.events")
        return {(row["site"], row["event_id"]): row["bot"] for row in rows}


@pytest.fixture
def bots(engine: EngineProcess, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]) -> Bots:
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    clickhouse.run(ROWS)
    return Bots(engine, clickhouse, capsys)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            "person",
            ("pageview of a.example at 20", "Chrome 143 on Windows", "a person's", "Nothing speaks for a program"),
        ),
        (
            "google",
            (
                "100  crawler ",
                "30  headers ",
                "Its User-Agent is on a list of crawlers",
                "130  together, and the threshold is 50",
                "It is Googlebot, which is for search.",
                "a bot's (crawler)",
                "With a threshold over 130 it would be a person's",
                "hand on Accept-Language",
            ),
        ),
        ("odd", ("30  together", "a person's", "With a threshold of 30 or less it would be a bot's")),
        ("server", ("a person's", "A program's library sent it with a user or revenue")),
        ("old", ("100  crawler", "A verdict of release 0.1.0", "a bot's (crawler)")),
    ],
)
def test_a_verdict_is_explained(bots: Bots, event: str, said: tuple[str, ...]) -> None:
    """Each reason with its weight and meaning, their sum, and what would change the verdict."""
    code, out, err = bots.run("explain", event)
    assert (code, err) == (0, "")
    assert [text for text in said if text not in out] == []


def test_an_id_of_two_sites_needs_the_site(bots: Bots) -> None:
    """And what ingest judged by another threshold is said so."""
    code, out, err = bots.run("explain", "both")
    assert (code, out) == (2, "")
    assert "name one with --site (a.example, b.example)" in err
    code, out, _ = bots.run("explain", "both", "--site", "a.example")
    assert code == 0
    assert "It was judged by another threshold: `forebay bots rejudge` would make it a bot's (crawler)" in out


def test_a_mutation_that_somebody_kills_ends_the_command(bots: Bots) -> None:
    """It says so, and does not wait for ever."""
    codes: list[int] = []
    words = ["bots", "rejudge", "--threshold", "30", "--clickhouse-url", bots.url]
    waiting = threading.Thread(target=lambda: codes.append(command_line.main(words)), daemon=True)
    under_way = "database = 'forebay' AND NOT is_done AND position(command, 'rejudge-') > 0"
    bots.clickhouse.run("SYSTEM STOP MERGES forebay.events")
    try:
        waiting.start()
        wait_until(lambda: bots.clickhouse.rows(f"SELECT command FROM system.mutations WHERE {under_way}"))
        waiting.join(3 * POLL_SECONDS)  # it has seen it, too
        assert waiting.is_alive()
        bots.clickhouse.run(f"KILL MUTATION WHERE {under_way} SYNC")
    finally:
        bots.clickhouse.run("SYSTEM START MERGES forebay.events")
    waiting.join(30)
    assert codes == [1]
    assert "somebody ended it" in bots.capsys.readouterr().err


@pytest.mark.parametrize("words", [("no such",), ("person", "--site", "b.example"), ("x' OR 1 --",)])
def test_an_id_that_is_not_there_is_said_in_words(bots: Bots, words: tuple[str, ...]) -> None:
    """With the reasons for which it may be unknown."""
    code, out, err = bots.run("explain", *words)
    assert (code, out) == (1, "")
    assert "Ids are emptied after 8 to 16 days" in err


def test_old_rows_are_judged_by_another_threshold_and_back(bots: Bots) -> None:
    """Only `bot` follows the threshold; the reasons stay, so the first verdicts come back. The projection follows."""
    code, out, _ = bots.run("rejudge")
    assert (code, out.splitlines()[-1]) == (0, "2 stored events were judged anew, by a threshold of 50")
    by_default = bots.verdicts()
    assert by_default == {
        ("a.example", "person"): "",
        ("a.example", "google"): "crawler",
        ("a.example", "odd"): "",
        ("a.example", "both"): "crawler",
        ("a.example", "server"): "",
        ("b.example", "both"): "headers",
        ("b.example", "old"): "crawler",
    }
    assert bots.run("rejudge", "--threshold", "30")[1].endswith(
        "1 stored events were judged anew, by a threshold of 30\n"
    )
    assert bots.verdicts() == by_default | {("a.example", "odd"): "headers"}
    bots.run("rejudge", "--threshold", "1000")
    assert set(bots.verdicts().values()) == {""}
    bots.run("rejudge", "--threshold", "50")
    assert bots.verdicts() == by_default
    assert bots.run("rejudge")[1] == "0 stored events would change with a threshold of 50\n"


def test_a_merged_table_follows_too(bots: Bots) -> None:
    """Parts of several inserts, merged and not."""
    for _ in range(3):
        bots.clickhouse.run(ROWS)
    bots.clickhouse.run("OPTIMIZE TABLE forebay.events FINAL")
    bots.clickhouse.run(ROWS)
    bots.run("rejudge", "--threshold", "30")
    assert {bot for (_, event), bot in bots.verdicts().items() if event == "odd"} == {"headers"}


def test_a_dry_run_changes_nothing(bots: Bots) -> None:
    """It says how many events of which site would be what."""
    before = bots.verdicts()
    code, out, _ = bots.run("rejudge", "--dry-run")
    assert code == 0
    assert re.search(r"^ +1  a\.example: person -> crawler$", out, re.MULTILINE)
    assert out.endswith("2 stored events would change with a threshold of 50\n")
    assert bots.verdicts() == before


def test_a_site_and_a_moment_bound_it(bots: Bots) -> None:
    """What is of another site, or happened before, stays as it is."""
    assert bots.run("rejudge", "--site", "b.example", "--since", "2026-02-01", "--dry-run")[1].startswith("0 stored")
    bots.run("rejudge", "--site", "b.example", "--since", "2026-01-31T12:00")
    found = bots.verdicts()
    assert (found["b.example", "both"], found["a.example", "both"]) == ("headers", "")


@pytest.mark.parametrize("words", [("--threshold", "0"), ("--since", "yesterday")])
def test_a_question_that_makes_no_sense_is_refused(bots: Bots, words: tuple[str, ...]) -> None:
    """With what it would have to be, and nothing is changed."""
    code, out, err = bots.run("rejudge", *words)
    assert (code, out) == (2, "")
    assert words[0] in err


def test_a_cluster_is_updated_and_waited_for_on_every_node() -> None:
    """The embedded engine knows no cluster, so what is compared here is the text."""
    assert "forebay.events ON CLUSTER 'c' UPDATE" in mutation(50, Condition("1", {}), "mark", "c")
    assert "FROM clusterAllReplicas('c', system.mutations)" in progress("c")
    assert "FROM system.mutations" in progress("")
