"""The bench's arithmetic is right, and it believes no count that it has not checked."""

import re
from pathlib import Path

import msgspec
import pytest

from loadtest.bench import bodies, compare, config, figures, knee, low_rate, machine, nginx, wrk
from loadtest.bench.__main__ import missing_tools
from loadtest.bench.ask import BenchError, summed
from loadtest.bench.compare import Round
from loadtest.bench.figures import Figure, failed, paired, table
from loadtest.bench.posts import by_cpu, check_accepted

SAID = """Running 3s test @ http://127.0.0.1:1/f
  1 threads and 64 connections
FOREBAY {"requests": 9000, "duration_us": 3000000, "status": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0, \
"p50_us": 900, "p99_us": 4100, "p999_us": 9000}
"""


def test_wrk_is_read() -> None:
    """Requests and seconds make the rate; latencies are milliseconds."""
    found = wrk.parsed(SAID)
    assert (found.requests, found.per_s, found.p50_ms, found.p99_ms) == (9000, 3000.0, 0.9, 4.1)


@pytest.mark.parametrize("fault", ["status", "connect", "read", "write", "timeout"])
def test_one_failed_request_spoils_a_round(fault: str) -> None:
    """A server that refuses quickly is not a fast one."""
    with pytest.raises(BenchError, match=fault):
        wrk.parsed(SAID.replace(f'"{fault}": 0', f'"{fault}": 1'))


@pytest.mark.parametrize("said", ["", "unable to connect\n", SAID.replace("9000,", "0,", 1)])
def test_no_answer_is_no_round(said: str) -> None:
    """Silence is a fault, and not a rate of zero."""
    with pytest.raises(BenchError):
        wrk.parsed(said)


@pytest.mark.parametrize(("accepted", "is_fine"), [(449, False), (450, True), (450 + 64 * 50, True), (3651, False)])
def test_accepted_must_be_what_was_counted(accepted: int, is_fine: bool) -> None:
    """Nine requests of 50 events: none may be missing, and at most one request a connection may be in flight."""
    if is_fine:
        check_accepted(accepted, 9, 50)
        return
    with pytest.raises(BenchError):
        check_accepted(accepted, 9, 50)


def test_a_metric_is_summed_over_its_labels_alone() -> None:
    """Comments, other names that begin alike, and `_created` are not counted."""
    text = '# HELP a_total x\na_total{site="x"} 2.0\na_total{site="y z"} 3.0\na_total_more 7.0\na_total 1.0\na 9.0\n'
    assert summed(text, "a_total") == 6.0


def test_the_figure_is_the_median_of_the_pairs() -> None:
    """It is not the ratio of the medians, because both sides of a pair met the same noise."""
    found = paired("P1", [10, 40, 30], [100, 100, 50])
    assert found.value == 0.4
    assert found.spread == (0.1, 0.6)
    assert (found.measured, found.beside) == (30, 100)


def test_of_costs_the_ratio_is_turned_over() -> None:
    """An ingest that takes twice nginx's CPU time for a request has a P1c of a half, and both costs are in the table."""
    found = by_cpu([{"ingest": 20.0, "redis": 4.0, "nginx": 10.0}, {"ingest": 16.0, "redis": 4.0, "nginx": 9.6}])
    assert found.value == pytest.approx(0.55)
    assert found.spread == pytest.approx((0.5, 0.6))
    row = table([found.as_json()])[1]
    assert row[4:7] == ["18 µs", "9.8 µs (nginx `return 202`, same script)", "0.55 (0.50 to 0.60)"]


def test_less_cpu_than_the_peers_is_better() -> None:
    """P14 is ours ÷ theirs, and a ceiling."""
    found = paired("P14", [42.0] * 3, [33.0] * 3)
    assert (round(found.value, 2), found.verdict) == (1.27, "missed")
    assert paired("P14", [33.0], [33.0]).verdict == "first bar"


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("P1", 0.39, "missed"),
        ("P1", 0.40, "first bar"),
        ("P1", 0.50, "goal"),
        ("P4", 29_999, "first bar"),
        ("P5", 20.1, "missed"),
        ("P5", 20, "first bar"),
        ("P5", 10, "goal"),
    ],
)
def test_a_verdict_knows_which_way_is_better(name: str, value: float, verdict: str) -> None:
    """A rate must be reached and a latency must not be exceeded; to reach a bar exactly is enough."""
    assert Figure(name=name, value=value).verdict == verdict


def test_a_fault_is_never_met() -> None:
    """A figure that was not measured keeps no ceiling, and the table has its fault."""
    found = failed("P5", "nobody answered")
    assert found.verdict == "failed"
    assert table([found.as_json()])[1][-1] == "FAILED: nobody answered"


def test_the_table_says_what_was_compared() -> None:
    """It has both sides, the ratio and its spread; without a ratio it has the rate."""
    rows = table([paired("P1", [30.0], [100.0]).as_json(), Figure(name="P4", value=20_000).as_json()])
    assert rows[1][2:] == [
        "0.4",
        "0.5",
        "30/s",
        "100/s (nginx `return 202`, same script)",
        "0.30 (0.30 to 0.30)",
        "missed",
    ]
    assert rows[2][2:5] == ["24,000/s", "30,000/s", "20,000/s"]
    assert len({len(row) for row in rows}) == 1


def test_a_cost_at_a_low_rate_has_nginxs_beside_it() -> None:
    """The median of the rounds is the figure; nginx's is the baseline of the same run, in the same unit."""
    ours = [
        low_rate.Round({"ingest": cpu_s, "redis": 0.2}, 3_000, p50)
        for cpu_s, p50 in ((1.0, 2.0), (0.7, 4.0), (1.3, 9.0))
    ]
    theirs = [low_rate.Round({"nginx": 0.06}, 2_000, 0.07)] * 3
    cost, latency = low_rate.figures(500, ours, theirs)
    assert cost.value == pytest.approx(400)
    assert (cost.name, latency.name, latency.value) == ("P13", "P13c", 4.0)
    rows = table([cost.as_json(), latency.as_json()])[1:]
    assert [row[4:7] for row in rows] == [
        ["400 s", "30 s (nginx `return 202`, same rate)", ""],
        ["4 ms", "0.07 ms (nginx `return 202`, same rate)", ""],
    ]
    assert cost.detail["rounds"][0]["cpu_s_per_million"] == {"ingest": 333.3, "redis": 66.7}
    assert low_rate.point(500, ours) == {"rate_per_s": 500.0, "cores": {"ingest": 0.16667, "redis": 0.03333}}


def test_what_was_not_measured_is_named() -> None:
    """A run of a part has a sentence for the rest; one of everything has none."""
    everything = [{"name": name} for name in figures.TARGETS]
    assert figures.absent(everything[1:-1]) == "Not in this run: P1, P14."
    assert figures.absent(everything) == ""


def test_a_result_of_version_1_is_judged_by_todays_bars() -> None:
    """What was measured stays, under today's names; 0.35 met P1's bar of then, and misses that of today."""
    new = paired("P1", [35.0], [100.0]).as_json()
    old = new | {"measured_per_s": 35, "baseline_per_s": 100, "first_bar": 0.3, "goal": 0.45, "verdict": "first bar"}
    del old["measured"], old["beside"], old["sides"]
    assert figures.judged(old) == new
    assert new["verdict"] == "missed"
    with pytest.raises(ValueError, match="P77"):
        figures.judged(old | {"name": "P77"})


def test_the_notes_say_what_flatters() -> None:
    """They set P2 beside the harder nginx and P3 beside CPU time, and name a knee that was the generator's."""
    first, second = paired("P1", [30.0], [100.0]), paired("P2", [150.0], [50.0])
    third = Figure(name="P3", value=1, detail={"cpu_ratio": 0.5})
    fourth = Figure(name="P4", value=1, detail={"generator_limited": True})
    said = " ".join(figures.notes([one.as_json() for one in (first, second, third, fourth)]))
    assert "P2 is 1.50" in said
    assert "0.50" in said
    assert "P4 is a lower bound" in said
    assert figures.notes([failed("P2", "x").as_json()]) == []


def test_targets_are_those_of_the_command() -> None:
    """`--only` accepts the names of the table, with spaces or commas."""
    assert config.parse(["--only", "P1, P4b"]).only == ["P1", "P4b"]
    assert set(config.parse([]).only) == set(figures.MEASURED) <= set(figures.TARGETS)
    with pytest.raises(SystemExit):
        config.parse(["--only", "P77"])


def test_a_result_says_how_to_make_it_again() -> None:
    """The command leaves out the paths of the machine that made the result."""
    assert config.command(config.parse(["--json", "x"])) == "python -m loadtest.bench --rounds 4 --seconds 3"
    again = config.command(config.parse(["--only", "P1 P3", "--rounds", "2"]))
    assert again == "python -m loadtest.bench --only P1,P3 --rounds 2 --seconds 3"


def test_settings_of_ones_own_do_not_reach_the_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A FOREBAY_SITES in the shell would make the stands refuse everything that the bench sends."""
    monkeypatch.setenv("FOREBAY_SITES", "mine.example")
    found = config.environment(log_format="json")
    assert "FOREBAY_SITES" not in found
    assert found["FOREBAY_LOG_FORMAT"] == "json"


def test_what_is_missing_is_named() -> None:
    """The sweep needs neither wrk nor nginx, and only missing tools are named."""
    assert missing_tools(["P4"]) == ""
    assert (missing_tools(["P3"]) == "") == (wrk.program() is not None)


def test_nginx_listens_on_loopback_and_keeps_connections() -> None:
    """Its default would close each connection after a thousand requests. No placeholder is left in its configuration."""
    text = nginx.configuration(4711)
    assert "listen 127.0.0.1:4711;" in text
    assert "keepalive_requests 1000000000;" in text
    assert "access_log off;" in text
    assert "@" not in text


def test_the_fixed_body_is_of_the_size_that_is_said(tmp_path: Path) -> None:
    """It is a pageview of 250 bytes without an id, because the same id again would be a retry."""
    one = bodies.fixed(tmp_path, 1)
    assert abs(one.body.stat().st_size - bodies.EVENT_BYTES) <= 5
    assert "id" not in msgspec.json.decode(one.body.read_bytes())
    assert "User-Agent" in one.fields


def test_fifty_events_are_fifty(tmp_path: Path) -> None:
    """They are an array of different events of the usual size, without ids and without times that would grow old."""
    fifty = msgspec.json.decode(bodies.fixed(tmp_path, 50).body.read_bytes())
    assert len(fifty) == 50
    assert len({event["url"] for event in fifty}) > 20
    assert not any({"id", "ts"} & set(event) for event in fifty)


def test_a_crowd_is_whole_requests(tmp_path: Path) -> None:
    """Put together as crowd.lua does it, the length is right, ids are where the events have them, and addresses change."""
    file, ids = bodies.crowd(tmp_path, "127.0.0.1:1", count=20)
    parts = Path(file).read_bytes().split(b"\0")[:-1]
    size = int(ids) + 2
    assert len(parts) == 20 * size
    addresses = set()
    for at in range(0, len(parts), size):
        start, *between, final = parts[at : at + size]
        text = start + b"17" + b"".join(part + b"x" * 36 for part in between) + final
        head, _, body = text.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /f HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
        assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
        assert [event["id"] for event in msgspec.json.decode(body)] == ["x" * 36] * int(ids)
        match = re.search(rb"X-Forwarded-For: (\S+)\r\n", head)
        assert match
        addresses.add(match[1])
        assert match[1].endswith(b".17") or b":817:" in match[1]
    assert len(addresses) > 5


def test_a_verdict_needs_all_pairs_on_one_side() -> None:
    """Three pairs are too few, and one pair on the other side is enough for no verdict."""
    assert figures.is_decided([1.1, 1.2, 1.05, 1.3])
    assert figures.is_decided([0.9, 0.8, 0.95, 0.7])
    assert not figures.is_decided([1.1, 1.2, 1.05])
    assert not figures.is_decided([1.1, 1.2, 0.99, 1.3])


def test_less_cpu_is_better_and_fewer_events_are_worse() -> None:
    """The same ratio is judged in opposite ways for the two."""
    here, there = [Round(90, 8)] * 4, [Round(100, 10)] * 4
    said = compare.report("P1", here, there)
    assert "events/s: median 0.900 of the base (0.900 to 0.900): worse" in said
    assert "CPU per event: median 0.800 of the base (0.800 to 0.800): better" in said
    mixed = compare.report("P1", [Round(90, 9), Round(120, 12)] * 2, there)
    assert mixed.count("no verdict") == 2


def test_a_sweep_without_a_knee_is_a_fault() -> None:
    """A knee of zero a second would look as if it had been measured."""
    rung = {
        "offered_per_s": 10.0,
        "achieved_per_s": 1.0,
        "p99_ms": 1.0,
        "stored_after_s": None,
        "verdict": "stored too late",
    }
    found = {"knee_per_s": 0.0, "failed_per_s": 10.0, "sustained_at_least_per_s": 0, "rungs": [rung]}
    found |= {"generator_limited": False, "settings": {}, "final": None}
    assert knee.knee("P4", found).fault == "no rung passed: stored too late at 10/s"
    assert knee.beside(found, []) == []


@pytest.mark.parametrize(
    ("said", "version"),
    [("nginx version: nginx/1.22.1\n", "1.22.1"), ("wrk debian/4.1.0-3+b2 [epoll]", "4.1.0-3+b2"), ("none", "")],
)
def test_versions_are_found(said: str, version: str) -> None:
    """A version is found in whatever a program prints about itself."""
    assert machine.version_in(said) == version
