"""A segment's bytes: whatever is cut, flipped or put in, nothing is read that was not written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.segment import Commit, pack, unpack
from tests.support.spooling import commit

COMMITS = [commit(number, size) for number, size in ((1, 4), (2, 60), (3, 2), (4, 900), (5, 30))]
WHOLE = b"".join(map(pack, COMMITS))


def is_told(found: list[Commit | int]) -> bool:
    """Every commit is one that was written or an empty one, in ascending order of numbers."""
    commits = [item for item in found if isinstance(item, Commit)]
    numbers = [one.number for one in commits]
    known = {one.number: one for one in COMMITS}
    return numbers == sorted(set(numbers)) and all(
        one in (known.get(one.number), Commit.empty(one.number)) for one in commits
    )


@given(st.integers(0, len(WHOLE)))
def test_any_prefix_gives_the_commits_that_are_whole(end: int) -> None:
    """And at most one torn tail; nothing else is ever said of a write that did not end."""
    found = list(unpack(WHOLE[:end], 1))
    commits = [item for item in found if isinstance(item, Commit)]
    assert commits == COMMITS[: len(commits)]
    assert sum(len(pack(one)) for one in commits) + (0 if found == commits else 1) <= end
    assert found[len(commits) :] in ([], [0])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), max_size=8), st.integers(0, 60))
def test_flipped_bytes_never_make_a_commit_that_was_not_written(flips: list[tuple[int, int]], cut: int) -> None:
    """Whatever is read is what was written, or empty; a record none of whose bytes changed is there."""
    content = bytearray(WHOLE)
    for at, bits in flips:
        content[at] ^= bits
    found = list(unpack(bytes(content[: len(content) - cut]), 1))
    assert is_told(found)
    at = 0
    for one in COMMITS:
        end = at + len(pack(one))
        if end <= len(content) - cut and content[at:end] == WHOLE[at:end]:
            assert one in found
        at = end


@given(st.binary(max_size=400), st.integers(0, len(WHOLE)), st.binary(max_size=400))
def test_bytes_put_in_between_never_make_a_commit_that_was_not_written(first: bytes, at: int, more: bytes) -> None:
    """Garbage before and between records is read over."""
    assert is_told(list(unpack(first + WHOLE[:at] + more + WHOLE[at:], 1)))
