"""The wheel works away from the checkout: code, migrations and tracker are all inside it, under one name."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"dashboard", "flusher", "forebay", "ingest", "loadtest", "runtime", "schemas"}
FILES = ("f.js", "f.debug.js", "f.queue.js", "f.vitals.js")
TRACKER = tuple(f"tracker/dist/{name}{coding}" for name in FILES for coding in ("", ".br"))
_NAMES = ("app.css", "app.js", "icon.svg", "index.html")
PAGE = tuple(f"dashboard/page/dist/{name}{form}" for name in _NAMES for form in ("", ".br"))
DICTIONARIES = tuple(f"schemas/entry-{version}.dict" for version in (2, 3))
BUILD_SECONDS_MAX = 120

INSIDE = "forebay/packages"

# Run from outside the checkout: prints every resource by its path, after reading it.
FIND_RESOURCES = """
from importlib.resources import files
from forebay.__main__ import main
assert main(["--version"]) == 0
migrations = [file for file in (files("schemas") / "migrations").iterdir() if file.name.endswith(".sql")]
tracker = [file for file in (files("tracker") / "dist").iterdir() if file.name.startswith("f.")]
page = (files("dashboard") / "page" / "dist").iterdir()
dictionaries = [file for file in files("schemas").iterdir() if file.name.endswith(".dict")]
for file in [*migrations, *dictionaries, *tracker, *page]:
    assert file.read_bytes().strip()
    print(file)
"""

START_A_CHILD = """
import subprocess, sys
from forebay.__main__ import main
main(["--version"])
sys.stdout.flush()  # before the child writes into the same pipe
subprocess.run([sys.executable, "-c", "import ingest; print(ingest.__file__)"], check=True)
"""


def migrations_of(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "schemas" / "migrations").glob("*.sql"))


def place_of(path: Path) -> str:
    """Returns where the wheel has a file of the checkout."""
    return path.as_posix() if path.parts[0] == "forebay" else f"{INSIDE}/{path.as_posix()}"


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command printed; a failure shows what it complained of."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX
    )
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline with the pinned backend."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, checkout, cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the wheel's content as pip lays it out, without its dependencies."""
    directory = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--target", directory, wheel, cwd=directory.parent)
    return directory


@pytest.fixture
def elsewhere(installed: Path) -> dict[str, str]:
    """An environment in which the installed wheel comes before the checkout's editable install."""
    return os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


def test_the_wheel_holds_product_files_only(wheel: Path, checkout: Path) -> None:
    """Every product file, migration, the built tracker and page are in it; tests, sources and the maintainers' bench are not."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    paths = {path for package in PACKAGES for path in (checkout / package).rglob("*") if path.is_file()}
    product = {path.relative_to(checkout) for path in paths if "__pycache__" not in path.parts}
    bench = {path for path in product if path.is_relative_to("loadtest/bench")}
    page = {path for path in product if path.is_relative_to("dashboard/page") and path.parts[2] != "dist"}
    expected = {place_of(path) for path in product - bench - page}
    assert bench
    assert page
    migrations = migrations_of(checkout)
    assert migrations
    assert expected <= names
    assert not names & {place_of(path) for path in bench | page}
    assert {f"{INSIDE}/schemas/migrations/{name}" for name in migrations} <= names
    assert {f"{INSIDE}/{name}" for name in (*TRACKER, *PAGE, *DICTIONARIES)} <= names
    built = {path.relative_to(checkout) for path in (checkout / "tracker" / "dist").rglob("*") if path.is_file()}
    assert {place_of(path) for path in built} <= names, "with the versions of earlier releases"
    inside = {name.split("/")[2] for name in names if name.startswith(f"{INSIDE}/")}
    assert inside <= PACKAGES - {"forebay"} | {"tracker"}
    assert all(name.startswith(f"{INSIDE}/tracker/dist/") for name in names if "/tracker/" in name)


def test_the_wheel_takes_one_name(wheel: Path) -> None:
    """Of all top-level names, which are everybody's, it takes `forebay` and its own metadata."""
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"forebay"}


def test_resources_are_found_away_from_the_checkout(
    installed: Path, elsewhere: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    """Migrations and tracker are reached through importlib.resources, from the wheel's copy."""
    version, *found = run(sys.executable, "-c", FIND_RESOURCES, cwd=tmp_path, env=elsewhere).splitlines()
    assert version.startswith("forebay ")
    expected = [
        *(f"schemas/migrations/{name}" for name in migrations_of(checkout)),
        *DICTIONARIES,
        *TRACKER,
        *PAGE,
    ]
    assert sorted(found) == sorted(str(installed / INSIDE / name) for name in expected)


def test_the_command_runs_away_from_the_checkout(installed: Path, elsewhere: dict[str, str], tmp_path: Path) -> None:
    """`python -m forebay --help` and the `forebay` command start from the wheel's copy and explain themselves."""
    by_module = run(sys.executable, "-m", "forebay", "--help", cwd=tmp_path, env=elsewhere)
    by_command = run(sys.executable, installed / "bin" / "forebay", "--help", cwd=tmp_path, env=elsewhere)
    assert "up" in by_module
    assert "up" in by_command


def test_what_it_starts_finds_the_packages_too(installed: Path, elsewhere: dict[str, str], tmp_path: Path) -> None:
    """The children of `forebay up` are `python -m ingest` and the like: they run the wheel's copy, not another."""
    found = run(sys.executable, "-c", START_A_CHILD, cwd=tmp_path, env=elsewhere).splitlines()[-1]
    assert found == str(installed / INSIDE / "ingest" / "__init__.py")
