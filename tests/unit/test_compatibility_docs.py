"""docs/compatibility.md says which clients are tested, in the versions that the lock files pin."""

from pathlib import Path

from tests.sdks.families import ALL
from tests.sdks.installed import versions
from tests.sdks.table import page_of, written


def test_the_table_of_clients_is_that_of_the_lock_files(checkout: Path) -> None:
    """`.venv/bin/python -m tests.sdks --write` writes it."""
    page = page_of(checkout).read_text()
    assert written(page, ALL, versions()) == page


def test_every_package_of_an_sdk_is_pinned() -> None:
    """A name that no lock file has would be shown without its version."""
    assert {package for sdk in ALL for package in sdk.packages} <= set(versions())


def test_every_sdk_has_its_script(checkout: Path) -> None:
    """Its name is that of a file, and of a part of a host name."""
    ends = {"browser": "html", "node": "mjs", "python": "py"}
    for sdk in ALL:
        script = sdk.page or sdk.name
        assert (checkout / "tests" / "sdks" / sdk.runs_in / f"{script}.{ends[sdk.runs_in]}").is_file()
        assert len(sdk.name) < 50
    assert len({sdk.name for sdk in ALL}) == len(ALL)
