"""The tracker's files: the size budget, the documented attributes, and that what is committed is what the source gives."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.host import Host
from tests.system.tracker.conftest import SCRIPTS

TRACKER = Path(__file__).resolve().parents[3] / "tracker"
# Compressed. Of the core 1 600 were wanted: docs/decisions/0055-what-the-tracker-does.md says what the others are for, and what 1 600 would take.
BROTLI_BYTES_MAX = {"f.js": 1_985, "f.vitals.js": 3_300, "f.queue.js": 800, "f.debug.js": 1_000}


@pytest.mark.parametrize("name", BROTLI_BYTES_MAX)
def test_size_budget(name: str) -> None:
    """What a visitor loads: the core on every page, the others where a page asks for them."""
    size = (TRACKER / "dist" / f"{name}.br").stat().st_size
    print(f"\n{name}: {size} of {BROTLI_BYTES_MAX[name]} bytes")
    assert size <= BROTLI_BYTES_MAX[name]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", SCRIPTS)
async def test_the_brotli_file_is_the_script(host: Host, page: Page, script: str) -> None:
    """As a browser decompresses it. Python has no brotli."""
    await page.goto(host.origin + "/a")
    got = await page.evaluate("url => fetch(url).then(answer => answer.text())", f"{host.tracker}/{script}.br")
    assert got == (TRACKER / "dist" / script).read_text()


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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of the tracker that was built anew, with its tools."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    copy = tmp_path_factory.mktemp("build") / "tracker"
    shutil.copytree(TRACKER, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["ci", "--prefer-offline", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode and command[0] == "ci":
            pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
    return copy


def test_dist_is_what_the_build_gives(built: Path) -> None:
    """Nobody edits dist/ or the package, and nobody forgets them."""
    names = [*(f"dist/{name}" for name in ("vercel.js", *BROTLI_BYTES_MAX)), "npm/forebay.mjs", "npm/forebay.d.ts"]
    for name in names:
        assert (built / name).read_bytes() == (TRACKER / name).read_bytes()


APPLICATION = """
import { consent, init, track, type Options } from 'forebay-tracker';
const options: Options = { api: '%s/f', site: 'example.com', with: ['queue'] };
track('early');
init(options);
init(options);
track('signup', { plan: 'pro' }, { revenue: { amount: '9.90', currency: 'EUR' } });
export { consent };
"""
WRONG = """
import { consent, init, track } from 'forebay-tracker';
init({ site: 'example.com' });
init({ api: '/f', with: ['else'] });
consent('perhaps');
track();
"""


def run(built: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a tool that the build has installed."""
    tool = built / "node_modules" / ".bin" / words[0]
    return subprocess.run([tool, *words[1:]], cwd=built, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_package_is_the_tracker(host: Host, page: Page, built: Path) -> None:
    """TypeScript compiles against its types and finds what is wrong, a bundler takes it, a server may import it, and it measures."""
    shutil.copytree(built / "npm", built / "node_modules" / "forebay-tracker", dirs_exist_ok=True)
    (built / "application.ts").write_text(APPLICATION % host.tracker)
    (built / "wrong.ts").write_text(WRONG)
    strict = ("tsc", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022")
    right = run(built, *strict, "application.ts")
    assert right.returncode == 0, right.stdout
    lines = re.findall(r"wrong\.ts\((\d+),", run(built, *strict, "wrong.ts").stdout)
    assert lines == ["3", "4", "5", "6"]
    bundled = run(built, "esbuild", "application.ts", "--bundle", "--minify", "--format=iife", "--log-level=warning")
    assert (bundled.returncode, bundled.stderr) == (0, "")
    script = (
        "import('forebay-tracker').then(({init, track, consent}) => (init({api: '/f'}), track('a'), consent('denied')))"
    )
    node = str(shutil.which("node"))
    served = subprocess.run([node, "-e", script], cwd=built, capture_output=True, text=True, check=False, timeout=120)
    assert (served.returncode, served.stderr) == (0, "")
    host.tags = 0
    await page.goto(host.origin + "/a")
    await page.add_script_tag(content=bundled.stdout)
    assert (await host.event("signup"))["revenue"] == {"amount": "9.90", "currency": "EUR"}
    sent = await host.sent_before(page)
    assert sorted(event.get("name", "") for event in sent) == ["", "early", "signup"], "init() twice is once"
    assert {event["site"] for event in sent} == {"example.com"}
