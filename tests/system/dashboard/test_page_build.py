"""The page's files: the size budget, what a Content-Security-Policy wants, and that what is committed is what the source gives."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[3] / "dashboard" / "page"
FILES = ("index.html", "app.js", "app.css", "icon.svg")
BROTLI_BYTES_MAX = 45_000  # of all together
STATES = 100

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
    subprocess.run(
        [esbuild, "src/url.ts", "--format=esm", "--outfile=url.mjs"], cwd=copy, capture_output=True, check=True
    )
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
        "#/a?tab.__proto__=x",
    ]
    chance = random.Random(15)
    wrong += ["#/" + text_of(chance) + "?" + text_of(chance) + "=" + text_of(chance) for _ in range(STATES)]
    for hash_, (found, again) in zip(wrong, node(built, READ, wrong), strict=True):
        assert again == found, hash_
        assert all(isinstance(one, list) for one in found["filters"])
