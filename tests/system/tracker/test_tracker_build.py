"""The tracker's files: the size budget, the documented attributes, and that what is committed is what the source gives."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.host import Host

TRACKER = Path(__file__).resolve().parents[3] / "tracker"
# Compressed. Of the core 1 600 were wanted: docs/decisions/0055-what-the-tracker-does.md says what the others are for, and what 1 600 would take.
BROTLI_BYTES_MAX = {"f.js": 1_970, "f.vitals.js": 3_300, "f.queue.js": 800, "f.debug.js": 1_000}


@pytest.mark.parametrize("name", BROTLI_BYTES_MAX)
def test_size_budget(name: str) -> None:
    """What a visitor loads: the core on every page, the others where a page asks for them."""
    size = (TRACKER / "dist" / f"{name}.br").stat().st_size
    print(f"\n{name}: {size} of {BROTLI_BYTES_MAX[name]} bytes")
    assert size <= BROTLI_BYTES_MAX[name]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_brotli_file_is_the_script(host: Host, page: Page) -> None:
    """As a browser decompresses it. Python has no brotli."""
    await page.goto(host.origin + "/a")
    got = await page.evaluate("url => fetch(url).then(answer => answer.text())", host.tracker + "/f.js.br")
    assert got == (TRACKER / "dist" / "f.js").read_text()


def test_the_page_names_every_attribute(checkout: Path) -> None:
    """docs/tracker.md lists the data- attributes that the source reads, and no other."""
    source = (TRACKER / "src" / "f.js").read_text()
    read = {first or second for first, second in re.findall(r"\bdata\.(\w+)|'(\w+)' in data", source)}
    attributes = {"data-" + re.sub(r"[A-Z]", lambda letter: "-" + letter[0].lower(), name) for name in read}
    rows = re.findall(r"^\| `(data-[a-z-]+)` \|", (checkout / "docs" / "tracker.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(attributes)
    assert len(rows) == 8


def test_lock_file_names_no_address() -> None:
    """A build asks whatever registry its machine is set to."""
    lock = (TRACKER / "package-lock.json").read_text()
    assert "://" not in lock
    package = json.loads((TRACKER / "package.json").read_text())
    assert json.loads(lock)["packages"][""]["devDependencies"] == package["devDependencies"]


def test_dist_is_what_the_build_gives(tmp_path: Path) -> None:
    """Nobody edits dist/, and nobody forgets it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    copy = tmp_path / "tracker"
    shutil.copytree(TRACKER, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["ci", "--prefer-offline", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode and command[0] == "ci":
            pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    for name in ("vercel.js", *BROTLI_BYTES_MAX):
        assert (copy / "dist" / name).read_bytes() == (TRACKER / "dist" / name).read_bytes()
