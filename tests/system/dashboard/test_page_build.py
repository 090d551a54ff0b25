"""The page's files: the size budget, what a Content-Security-Policy wants, and that what is committed is what the source gives."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboard.catalogue.measures import change

PAGE = Path(__file__).resolve().parents[3] / "dashboard" / "page"
FILES = ("index.html", "app.js", "app.css", "icon.svg")
BROTLI_BYTES_MAX = 45_000  # of all together
STATES = 100
PROTOTYPE = "#/a?tab.__proto__=x"

# Reads states from its input, and prints for each: its address, the state of that address, and the address of that state.
WALK = """
import { read, write } from './url.mjs';
const lines = JSON.parse(await new Response(process.stdin).text());
const walked = lines.map(state => [write(state), read(write(state)), write(read(write(state)))]);
console.log(JSON.stringify(walked));
"""
READ = """
import { read, write } from './url.mjs';
const hashes = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(hashes.map(hash => [read(hash), read(write(read(hash)))])));
"""

CHANGES = """
globalThis.navigator = { languages: ['en-GB'] };
const { change } = await import('./format.mjs');
const asked = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(asked.map(([column, now, before]) => change(column, now, before))));
"""
AXES = """
import { labelled, lines, periodOf, running } from './scale.mjs';
const { tops, hours, buckets, at, zone, starts } = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify({
  lines: tops.map(([most, kind]) => lines(most, kind)),
  hours: [2, 6, 12, 40].map(fit => labelled(hours, 'hour', fit).map(index => hours[index])),
  running: at.map(moment => running(buckets, moment, zone)),
  periods: starts.map(([bucket, interval]) => periodOf(bucket, interval)),
}));
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of the page that was built anew from its source."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    copy = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(PAGE, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode and command[0] == "ci":
            pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stdout + done.stderr
    esbuild = copy / "node_modules" / ".bin" / "esbuild"
    parts = [f"src/{name}.ts" for name in ("url", "format", "scale")]
    made = [str(esbuild), *parts, "--format=esm", "--outdir=.", "--out-extension:.js=.mjs"]
    subprocess.run(made, cwd=copy, capture_output=True, check=True)
    return copy


def test_size_budget() -> None:
    """The page comes quickly over a slow line: all of it, compressed, is smaller than one picture."""
    sizes = {name: (PAGE / "dist" / f"{name}.br").stat().st_size for name in FILES}
    print(f"\n{sum(sizes.values())} of {BROTLI_BYTES_MAX} bytes: {sizes}")
    assert sum(sizes.values()) <= BROTLI_BYTES_MAX


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    """The policy `script-src 'self'; style-src 'self'` lets all of the page through, and the page asks no other host."""
    html = (PAGE / "dist" / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", html) == []
    wanted = re.findall(r"(?:src|href)=\"([^\"]+)\"", html)
    assert wanted
    assert all(re.fullmatch(r"/\w+\.\w+", address) for address in wanted), wanted
    style = (PAGE / "dist" / "app.css").read_text()
    assert re.findall(r"url\(|@import", style) == []
    script = (PAGE / "dist" / "app.js").read_text()
    elsewhere = set(re.findall(r"https?://[\w./-]+", script)) - {
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
    }
    assert elsewhere == set()  # what is left are names of namespaces
    assert re.findall(r"\beval\(|new Function\(", script) == []
    sources = [path.read_text() for path in (PAGE / "src").rglob("*.ts*")]
    assert re.findall(r"innerHTML|insertAdjacentHTML|document\.write", "".join(sources), re.IGNORECASE) == []


def test_lock_file_names_no_registry() -> None:
    """A build asks whatever registry its machine is set to."""
    lock = (PAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    package = json.loads((PAGE / "package.json").read_text())
    assert json.loads(lock)["packages"][""]["devDependencies"] == package["devDependencies"]


def test_dist_is_what_the_build_gives(built: Path) -> None:
    """Nobody edits dist/, and nobody forgets it."""
    assert sorted(path.name for path in (PAGE / "dist").iterdir()) == sorted(
        path.name for path in (built / "dist").iterdir()
    )
    for name in FILES:
        assert (built / "dist" / name).read_bytes() == (PAGE / "dist" / name).read_bytes()


def node(built: Path, program: str, given: Any) -> Any:
    command = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(command, cwd=built, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text_of(chance: random.Random) -> str:
    alphabet = "aZ09 .-_~/?#&=+%,:;'\"\\<>[]{}()|é字🎈\n\0"
    return "".join(chance.choices(alphabet, k=chance.randrange(1, 12)))


def state_of(chance: random.Random) -> dict[str, Any]:
    """Returns a state of the page with anything that a person, a site or a browser may bring into it."""

    def some(value: str) -> str:
        return chance.choice([value, text_of(chance)])

    def mapping(name: str) -> dict[str, str]:
        return {some(name) + str(number): some("x") for number in range(chance.randrange(3))}

    return {
        "site": some("example.com"),
        "page": chance.choice(["", "health", text_of(chance)]),
        "period": chance.choice(["", "7d", "2026-03-01,2026-03-31", text_of(chance)]),
        "compare": chance.choice(["previous", "none", "year", text_of(chance)]),
        "interval": chance.choice(["", "hour", "week"]),
        "metric": chance.choice(["visitors", "bounce_rate"]),
        "filters": [
            ["is", some("country"), [some("DE") for _ in range(chance.randrange(1, 4))]]
            for _ in range(chance.randrange(3))
        ],
        "bots": chance.random() < 0.5,
        "detail": chance.choice(["", "pages"]),
        "tabs": mapping("places"),
        "orders": {
            key: [some("visits").lstrip("-") or "x", chance.choice(["asc", "desc"])] for key in mapping("pages")
        },
        "picks": mapping("funnel"),
    }


def test_the_address_is_the_whole_state(built: Path) -> None:
    """Each of 100 random states is written as an address and read from it again, with nothing lost or added."""
    chance = random.Random(14)
    states = [state_of(chance) for _ in range(STATES)]
    for state, (address, found, again) in zip(states, node(built, WALK, states), strict=True):
        assert found == state, address
        assert again == address
        assert re.fullmatch(r"#/[\x21-\x7e]*", address), address  # so that it survives a chat and a mail


def test_a_damaged_address_still_opens(built: Path) -> None:
    """What can't be understood in a link has its default, and the page is not lost in it."""
    wrong = [
        "",
        "#",
        "#/",
        "#/a?",
        "#/a?f=[1,",
        "#/a?f={}&period",
        "#/a?f=[1,[]]",
        "#/%E0%A4%A?period=%",
        "#/a?tab=x&tab.=y",
        PROTOTYPE,
    ]
    chance = random.Random(15)
    wrong += ["#/" + text_of(chance) + "?" + text_of(chance) + "=" + text_of(chance) for _ in range(STATES)]
    read = node(built, READ, wrong)
    for hash_, (found, again) in zip(wrong, read, strict=True):
        assert again == found, hash_
        assert all(isinstance(one, list) for one in found["filters"])
    assert read[wrong.index(PROTOTYPE)][0]["tabs"] == {"__proto__": "x"}  # a name like any other


def test_a_change_is_that_of_the_catalogue(built: Path) -> None:
    """The page says of two numbers what dashboard/catalogue/measures.py says: percent of a count, points of a rate."""
    chance = random.Random(16)
    columns = [
        "visitors",
        "visits",
        "pageviews",
        "events",
        "visit_duration",
        "views_per_visit",
        "bounce_rate",
        "exit_rate",
    ]
    asked: list[tuple[str, Any, Any]] = [
        ("visitors", None, 5),
        ("bounce_rate", 40, None),
        ("visits", 0, 0),
        ("visits", 7, 0),
    ]
    for _ in range(STATES * 3):
        column = chance.choice(columns)
        most = 100 if column.endswith("rate") else chance.choice([9, 1_000, 10**7])
        pair: list[float] = [chance.randrange(most + 1), chance.randrange(most + 1)]
        if column == "exit_rate":
            pair = [one + chance.randrange(10) / 10 for one in pair]
        asked.append((column, pair[0], pair[1]))
    for (column, now, before), found in zip(asked, node(built, CHANGES, asked), strict=True):
        expected = change(column, now, before)
        if expected is None:
            assert found is None
            continue
        unit = (" pt" if abs(expected) == 1 else " pts") if column.endswith("rate") else "%"
        arrow = "" if not expected else "↑" if expected > 0 else "↓"
        is_better = None if not expected else (expected > 0) != column.endswith("rate")
        text = f"{abs(expected):,.1f}".removesuffix(".0") + unit
        assert found == {"text": text, "arrow": arrow, "isBetter": is_better}, (column, now, before)


def test_axes_say_round_numbers_and_whole_days(built: Path) -> None:
    """Lines stand at round numbers up to the largest; hours are labelled from midnight on; weeks end on Sundays."""
    tops = [
        [0, "whole"],
        [1, "whole"],
        [7, "whole"],
        [999, "whole"],
        [1234567, "whole"],
        [43, "percent"],
        [63, "percent"],
    ]
    tops += [[95, "seconds"], [4000, "seconds"], [2.3, "number"]]
    hours = [
        f"2026-03-{day:02} {hour:02}:00:00" for day in (28, 29, 30) for hour in range(24) if (day, hour) != (29, 2)
    ]
    buckets = ["2026-03-01", "2026-03-02", "2026-03-03"]
    starts = [["2026-03-04", "day"], ["2026-03-04", "week"], ["2026-02-01", "month"], ["2026-03-04 10:00:00", "hour"]]
    at = [
        1772323200,
        1772495999,
        1772496000,
        1772000000,
    ]  # 2026-03-01 00:00, 2026-03-02 23:59:59 and a second later, 25 February
    given = {"tops": tops, "hours": hours, "buckets": buckets, "at": at, "zone": "UTC", "starts": starts}
    found = node(built, AXES, given)
    assert found["lines"] == [
        [0, 1],
        [0, 1],
        [0, 2, 4, 6, 8],
        [0, 250, 500, 750, 1000],
        [0, 500000, 1000000, 1500000],
        [0, 20, 40, 60],
        [0, 25, 50, 75, 100],
        [0, 30, 60, 90, 120],
        [0, 1800, 3600, 5400],
        [0, 1, 2, 3],
    ]
    midnights = [f"2026-03-{day} 00:00:00" for day in (28, 29, 30)]
    assert found["hours"][0] == midnights[::2]
    assert found["hours"][1] == [f"{day[:11]}{hour}:00:00" for day in midnights for hour in ("00", "12")]
    assert [label[11:13] for label in found["hours"][2][:4]] == ["00", "06", "12", "18"]
    assert len(found["hours"][3]) == 35  # every second hour, but for the one that the clocks leave out
    assert found["running"] == [0, 1, 2, -1]
    assert found["periods"] == ["2026-03-04,2026-03-04", "2026-03-04,2026-03-08", "2026-02-01,2026-02-28", ""]
