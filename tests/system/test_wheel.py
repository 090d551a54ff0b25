"""The wheel works away from the checkout: code, migrations and tracker are all inside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"dashboard", "flusher", "forebay", "ingest", "loadtest", "runtime", "schemas"}
TRACKER = ("tracker/dist/f.js", "tracker/dist/f.js.br", "tracker/dist/f.debug.js")
BUILD_SECONDS_MAX = 120

# Run from outside the checkout: prints every resource by its path, after reading it.
FIND_RESOURCES = """
from importlib.resources import files
migrations = [file for file in (files("schemas") / "migrations").iterdir() if file.name.endswith(".sql")]
tracker = [files("tracker") / "dist" / name for name in ("f.js", "f.js.br", "f.debug.js")]
for file in [*migrations, files("schemas") / "entry.dict", *tracker]:
    assert file.read_bytes().strip()
    print(file)
"""


def migrations_of(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "schemas" / "migrations").glob("*.sql"))


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
    """Every product file, migration and the built tracker are in it; tests, sources and tools are not."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    product = {path for package in PACKAGES for path in (checkout / package).rglob("*") if path.is_file()}
    expected = {path.relative_to(checkout).as_posix() for path in product if "__pycache__" not in path.parts}
    migrations = migrations_of(checkout)
    assert migrations
    assert expected <= names
    assert {f"schemas/migrations/{name}" for name in migrations} <= names
    assert {*TRACKER, "schemas/entry.dict"} <= names
    assert {name.split("/")[0] for name in names} <= PACKAGES | {"tracker"}
    assert all(name.startswith("tracker/dist/") for name in names if name.startswith("tracker/"))


def test_resources_are_found_away_from_the_checkout(
    installed: Path, elsewhere: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    """Migrations and tracker are reached through importlib.resources, from the wheel's copy."""
    found = run(sys.executable, "-c", FIND_RESOURCES, cwd=tmp_path, env=elsewhere).split()
    expected = [
        *(f"schemas/migrations/{name}" for name in migrations_of(checkout)),
        "schemas/entry.dict",
        *TRACKER,
    ]
    assert sorted(found) == sorted(str(installed / name) for name in expected)


def test_the_command_runs_away_from_the_checkout(installed: Path, elsewhere: dict[str, str], tmp_path: Path) -> None:
    """`python -m forebay --help` and the `forebay` command start from the wheel's copy and explain themselves."""
    by_module = run(sys.executable, "-m", "forebay", "--help", cwd=tmp_path, env=elsewhere)
    by_command = run(sys.executable, installed / "bin" / "forebay", "--help", cwd=tmp_path, env=elsewhere)
    assert "up" in by_module
    assert "up" in by_command
