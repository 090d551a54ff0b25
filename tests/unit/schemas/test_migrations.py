"""A migration that was released never changes: a change of the tables is a new file."""

from __future__ import annotations

from pathlib import Path

from forebay.commands.migrate import UNRELEASED_RECORD, packaged

# A line each: the release that brought it, its name, its checksum. Lines are added with a release, and never changed.
RELEASED = Path(__file__).parents[2] / "fixtures" / "released_migrations.txt"


def released() -> dict[str, str]:
    """Returns the checksums of released migrations by their names, in order."""
    lines = [line.split() for line in RELEASED.read_text().splitlines()]
    return {name: checksum for _, name, checksum in lines}


def test_no_released_migration_has_changed() -> None:
    """Somebody's tables were made by it, and `forebay migrate` refuses another content under its name."""
    found = {migration.name: migration.checksum for migration in packaged()}
    assert {name: found.get(name) for name in released()} == released()


def test_new_migrations_come_behind_the_released_ones() -> None:
    """They are run in the order of their names; a number is given once."""
    names = [migration.name for migration in packaged()]
    assert names[: len(released())] == list(released())
    numbers = [name.partition("_")[0] for name in names]
    assert numbers == sorted(set(numbers))
    assert all(len(number) == 4 and number.isdigit() for number in numbers)


def test_no_release_records_what_unreleased_revisions_did() -> None:
    """Their tables are recognised, and refused, by it."""
    assert UNRELEASED_RECORD not in [migration.name for migration in packaged()]
