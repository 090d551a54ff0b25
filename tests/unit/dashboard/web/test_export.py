"""The files of an export have names that are files' everywhere, and no two have the same: strangers name events and properties."""

from __future__ import annotations

from dashboard.web.export import file_name


def test_no_two_files_have_the_same_name() -> None:
    """Also not on a file system that does not tell capitals apart."""
    taken: set[str] = set()
    names = [file_name(name, taken) for name in ("of a/b", "of a_b", "of A?B", "of a_b (2)", "of.", "of ..")]
    assert names == ["of a_b", "of a_b (2)", "of A_B (3)", "of a_b _2_", "of", "of (2)"]


def test_a_file_can_be_unpacked_everywhere() -> None:
    """No way out of the folder, nothing hidden, and no name that is too long for a file system."""
    assert file_name("../../etc/passwd", set()) == "_.._etc_passwd"
    assert file_name("\u202e\0\n", set()) == "___"
    assert file_name("..", set()) == "_"
    assert len(file_name("\u5f35" * 120, set()).encode()) <= 200
