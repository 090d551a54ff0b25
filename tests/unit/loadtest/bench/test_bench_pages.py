"""README.md, docs/capacity.md and docs/performance.md say what docs/measured.json says, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import capacity, marks
from loadtest.bench.capacity import Costs, Point
from loadtest.bench.figures import VERSION, Figure, paired

COST = Costs(
    points=(
        Point(0, {"ingest": 0.02, "redis": 0.01}),
        Point(100, {"ingest": 0.06, "redis": 0.02}),
        Point(5_000, {"ingest": 0.30, "redis": 0.12}),
        Point(10_000, {"ingest": 0.45, "redis": 0.15}),
    ),
    memory={"ingest": 100e6, "redis": 50e6},
    redis_bytes=80,
    disk_bytes=40,
)
USED = {"ingest": {"rss_mb_max": 100.0}, "redis": {"rss_mb_max": 50.0}, "generators": {"rss_mb_max": 160.0}}


def found(**p7: Any) -> dict[str, Any]:
    """Returns a small result of the bench, from which COST is made; `p7` is the detail of P7."""
    points = [{"rate_per_s": point.rate_per_s, "cores": point.cores} for point in COST.points]
    figures = [
        Figure(name="P7", value=60, detail={"processes": USED, "points": points} | p7),
        Figure(name="P9", value=80),
        Figure(name="P11", value=30, detail={"tables": {"events": 390, "blocks": 10}, "rows": 10}),
    ]
    machine = {"cpu": "a CPU", "cores": 2, "system": "Linux", "python": "3.11", "load_before": []}
    made = {
        "version": VERSION,
        "kind": "bench",
        "at": "now",
        "revision": "",
        "command": "make bench",
        "took_s": 280,
        "machine": machine,
        "versions": {},
    }
    return made | {"figures": [figure.as_json() for figure in figures]}


@pytest.fixture
def measured(checkout: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkout / "docs" / "measured.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", capacity.PAGES)
def test_a_page_is_what_the_script_makes_of_the_result(checkout: Path, measured: dict[str, Any], name: str) -> None:
    """No figure was changed by hand. `python -m loadtest.bench.capacity docs/measured.json` makes the pages anew."""
    text = (checkout / name).read_text("utf-8")
    assert text == capacity.PAGES[name](text, measured)


def test_the_result_is_the_benchs_own(measured: dict[str, Any]) -> None:
    """It has machine, revision, command and versions, and every figure of the bench."""
    assert measured == marks.kept(measured)
    assert measured["machine"]["cpu"]
    assert measured["revision"]
    assert {"redis-server", "clickhouse", "nginx", "wrk"} <= set(measured["versions"])
    assert {"P1", "P2", "P3", "P4", "P4b"} <= {figure["name"] for figure in measured["figures"]}
    assert not [figure["fault"] for figure in measured["figures"] if figure["fault"]]


def test_every_goal_that_is_missed_has_its_reason(checkout: Path, measured: dict[str, Any]) -> None:
    """The page gives a reason for each missed goal, and for no other."""
    text = (checkout / "docs" / "performance.md").read_text("utf-8")
    reasons = text.partition("## Why a goal is not met")[2].partition("\n## ")[0]
    excused = [line.removeprefix("- **").partition("**")[0] for line in reasons.splitlines() if line.startswith("- **")]
    assert sorted(name for names in excused for name in names.split(", ")) == sorted(marks.missed(measured))


def test_readme_begins_with_the_rate(checkout: Path, measured: dict[str, Any]) -> None:
    """And says for how long it was kept up, and how many bars are reached; what was not measured is not in the table."""
    rates = [figure for figure in measured["figures"] if figure["name"] == "P4"]
    rates[0] |= {"value": 20_123.4, "verdict": "first bar"}
    rates[0]["detail"]["sustained_at_least_per_s"] = 16_098
    measured["figures"] = rates
    text = capacity.readme((checkout / "README.md").read_text("utf-8"), measured)
    assert "**20,123 single events a second** on two cores" in text.partition("## ")[0]
    assert "every event is stored in time | 20,123/s |" in text
    assert "Over both together it stored 16,098 a second." in text.partition("## ")[0]
    assert "Of 1 figures 1 reach\nthe first bar, and 0 of these the goal too" in text
    assert "50 events in a request" not in text
    with pytest.raises(ValueError, match="lacks P4"):
        capacity.readme(text, measured | {"figures": []})


def test_marks_are_needed_once() -> None:
    """A page without the marks, or with two of them, is an error; other marks stay."""
    text = "a\n<!-- x: made -->\nold\n<!-- /x -->\n<!-- y: made -->\nkept\n<!-- /y -->\n"
    assert marks.replaced(text, "x", r"new \1") == text.replace("old", r"new \1")
    for broken in ("", text + text):
        with pytest.raises(ValueError, match="once"):
            marks.replaced(broken, "x", "new")


def test_the_page_is_made_of_a_result(checkout: Path) -> None:
    """Every mark that the script fills is on the page, and every figure comes from the result."""
    assert capacity.costs(found()) == COST
    text = capacity.capacity_page((checkout / "docs" / "capacity.md").read_text("utf-8"), found())
    for made in (capacity.by_process(COST), capacity.small(COST), capacity.large(COST)):
        assert made in text


@pytest.mark.parametrize(
    ("rate", "cores"),
    [(0, 0.03), (50, 0.055), (100, 0.08), (2_550, 0.25), (5_000, 0.42), (10_000, 0.6), (20_000, 1.2)],
)
def test_cpu_lies_on_lines_through_what_was_measured(rate: float, cores: float) -> None:
    """Beyond the last point an event costs what it costs there: 60 us."""
    assert sum(capacity.in_use(COST, rate).values()) == pytest.approx(cores)
    if rate:
        assert capacity.per_s(COST, cores)[0] == pytest.approx(rate)


def test_where_cpu_seems_to_fall_the_lower_rate_is_said() -> None:
    """Two points of a noisy machine may be the wrong way round: the rate that is promised holds on every line."""
    points = (*COST.points[:3], Point(6_000, {"ingest": 0.28, "redis": 0.10}))
    assert capacity.per_s(COST._replace(points=points), 0.40)[0] == pytest.approx(100 + 0.32 / 0.34 * 4_900)


def test_processes_that_wait_may_take_all_there_is() -> None:
    """Then there is an error, and no rate of zero."""
    with pytest.raises(ValueError, match="without traffic"):
        capacity.per_s(COST, 0.03)


def test_a_table_has_every_point() -> None:
    """CPU is given by process and in all, and per event: at a hundred a second an event costs many times more."""
    text = capacity.by_process(COST)
    assert "| process | cores in use, idle | at 100/s | at 5,000/s | at 10,000/s |" in text
    assert "| ingest | 0.020 | 0.060 | 0.300 | 0.450 | 45.0 | 100 MB |" in text
    assert "| all | 0.030 | 0.080 | 0.420 | 0.600 | 60.0 | 150 MB |" in text
    assert "| all ÷ rate: an event |  | 800 µs | 84 µs | 60 µs |  |  |" in text


def test_the_small_server_is_worked_out() -> None:
    """It takes 2,550 events/s at the peak and 73 M a day; 700 MB are left for Redis, and the disk is full after days."""
    text = capacity.small(COST)
    assert "| 1 core × 0.5 × 0.5 | 0.25 |" in text
    assert "| 100 + (0.25 − 0.080) ÷ (0.420 − 0.080) × (5,000 − 100) | 2,550 |" in text
    assert "| 2,550 ÷ 3 × 86,400 | 73 M |" in text
    assert "| 1,000 − 200 − 100 MB | 700 MB |" in text
    assert "| 25 GB × 0.8 ÷ (40 B × 73 M) | 7 |" in text


def test_a_small_server_beyond_what_was_measured_is_worked_out() -> None:
    """Half a core of a fast machine is more than was in use at the last point."""
    text = capacity.small(COST._replace(points=(COST.points[0], Point(2_000, {"ingest": 0.1, "redis": 0.1}))))
    assert "| 0.25 ÷ 100 µs | 2,500 |" in text


def test_large_days_are_worked_out() -> None:
    """They are 35, 347 and 3,472 events/s at the peak, each on its own line, and use half of the cores to have."""
    text = capacity.large(COST)
    assert "| cores in use then | 0.047 | 0.097 | 0.314 |" in text
    assert "| cores, of which 50% are used at the peak | 0.09 | 0.19 | 0.63 |" in text
    assert "| of these redis | 0.03 | 0.05 | 0.18 |" in text


def test_a_process_that_does_next_to_nothing_has_no_line() -> None:
    """For a supervisor the table would say 0.00 three times."""
    points = tuple(Point(point.rate_per_s, point.cores | {"supervisors": 0.001}) for point in COST.points)
    assert "supervisors" not in capacity.large(COST._replace(points=points))


def test_no_memory_left_is_said_as_none() -> None:
    """A server that is too small can hold no events back, and not fewer than none."""
    assert "| 0 M, 0.0 h of a mean day |" in capacity.small(COST._replace(memory={"clickhouse": 2e9}))


def test_a_result_that_lacks_a_figure_is_refused() -> None:
    """Tables of what was not measured would be made up."""
    with pytest.raises(ValueError, match="P7 P9 P11"):
        capacity.costs({"figures": [Figure(name="P4", value=1).as_json()]})


@pytest.mark.parametrize("points", [[], [{"rate_per_s": 10_000, "cores": {"ingest": 0.45, "redis": 0.15}}]])
def test_a_result_of_an_older_bench_is_refused(points: list[Any]) -> None:
    """It has CPU only at 70 % of the knee, which says nothing about low rates."""
    with pytest.raises(ValueError, match="points of P7"):
        capacity.costs(found(points=points))
    older = found()
    del older["figures"][0]["detail"]["points"]
    with pytest.raises(ValueError, match="older"):
        capacity.costs(older)


def test_a_point_that_lacks_a_process_is_refused() -> None:
    """Its sum would be too low."""
    points = found()["figures"][0]["detail"]["points"]
    points[1]["cores"] = {"ingest": 0.06}
    with pytest.raises(ValueError, match="same processes"):
        capacity.costs(found(points=points))


def test_only_the_benchs_result_is_taken() -> None:
    """A sweep's JSON has figures too, but other ones."""
    with pytest.raises(ValueError, match="bench"):
        marks.kept({"kind": "sweep"})
    with pytest.raises(ValueError, match="version 99"):
        marks.kept(found() | {"version": 99})


def test_a_page_names_what_its_result_lacks() -> None:
    """A result of an older bench has fewer figures, and a reader is told which are missing."""
    text = marks.targets(found())
    assert "Not in this run: P1, P1c, P2, P3," in text
    assert "P7," not in text.partition("Not in this run")[2]


def test_the_peers_figure_joins_the_result() -> None:
    """It replaces an older one, and is refused if it was measured at another revision."""
    one = {"kind": "bench-peers", "revision": "", "figures": [paired("P14", [42.0], [33.0]).as_json()]}
    joined = marks.with_peers(marks.with_peers(found(), one), one)
    assert [figure["name"] for figure in joined["figures"]] == ["P7", "P9", "P11", "P14"]
    assert "| 42 µs | 33 µs (clickhouse-bulk, in turns) | 1.27 (1.27 to 1.27) | missed |" in marks.targets(joined)
    with pytest.raises(ValueError, match="b1"):
        marks.with_peers(found(), one | {"revision": "b1"})
    with pytest.raises(ValueError, match="bench-peers"):
        marks.with_peers(found(), found())
