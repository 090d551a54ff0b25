"""schemas/names.py: names are read back as they were made, and sort as what they name."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.names import ORIGIN, BlockName, EntryId, blocks_upto, of_stream

ENTRY_ID = st.builds(EntryId, st.integers(0, 10**13 - 1), st.integers(0, 10**8 - 1))
BLOCK = st.builds(
    BlockName, st.text("0123456789abcdef", min_size=8, max_size=8), st.integers(0, 255), ENTRY_ID, ENTRY_ID
)

steady = settings(deadline=None, max_examples=60)  # a shared machine stalls for longer than 200 ms


@steady
@given(st.lists(st.builds(EntryId, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=6))
def test_entry_ids_sort_as_redis_sorts_them(ids: list[EntryId]) -> None:
    """By milliseconds, then by sequence, both as numbers; text and bytes are read alike."""
    assert [EntryId.parse(str(one)) for one in ids] == [EntryId.parse(str(one).encode()) for one in ids] == ids
    assert sorted(ids) == sorted(ids, key=lambda one: tuple(map(int, str(one).split("-"))))


@pytest.mark.parametrize("text", ["", "5", "5-", "-5", "5-1-2", "tomorrow", "a-b", b"\xff-1"])
def test_what_is_no_entry_id_is_refused(text: str | bytes) -> None:
    """Nothing else passes for one."""
    with pytest.raises(ValueError, match="no id of an entry"):
        EntryId.parse(text)


@pytest.mark.parametrize(
    "text", ["", "cafe", "cafe:1-0:0-0", "cafe:1-0:0-0:x", "cafe:1-0:0-0:0001:202612", "cafe:1:0:1"]
)
def test_what_is_no_block_is_refused(text: str) -> None:
    """A token, a part of a name, or a stranger's word."""
    with pytest.raises(ValueError, match="no name of a block"):
        BlockName.parse(text)


@steady
@given(BLOCK)
def test_a_block_name_tells_its_parts(name: BlockName) -> None:
    """What a name was made of is read back from its text, and a question by its stream finds it."""
    assert BlockName.parse(str(name)) == name
    stream = of_stream(*name.stream)
    assert str(name).startswith(stream["incarnation"])
    assert str(name).endswith(stream["shard"])


@steady
@given(BLOCK, st.lists(ENTRY_ID, min_size=2, max_size=8, unique=True))
def test_names_of_one_shard_sort_as_its_blocks_do(one: BlockName, ids: list[EntryId]) -> None:
    """Text order of names is stream order of blocks, and every name is equally long."""
    names = [str(one._replace(after=after, upto=upto)) for after, upto in pairwise(sorted(ids))]
    assert names == sorted(names)
    assert len({len(name) for name in names}) == 1


@steady
@given(BLOCK, ENTRY_ID)
def test_the_bound_of_an_edge_is_exact(name: BlockName, edge: EntryId) -> None:
    """`blocks_upto` is above the names of blocks that end at or before the edge, and of no others."""
    bound = blocks_upto(name.incarnation, edge)
    assert (str(name) < bound) == (name.upto <= edge)
    assert str(name) != bound


@pytest.mark.parametrize("text", ["0-0", "0-1", "1-0", "1790000000000-0", "1790000000000-9", "1790000000000-10"])
def test_the_bound_of_an_edge_takes_in_the_edge_itself(text: str) -> None:
    """The block that ends at the edge is below its bound; the one that ends a step later is not."""
    edge = EntryId.parse(text)
    bound = blocks_upto("abcd0123", edge)
    assert str(BlockName("abcd0123", 3, ORIGIN, edge)) < bound
    assert str(BlockName("abcd0123", 0, edge, edge.following())) > bound
    assert str(BlockName("abcd0123", 0, edge, EntryId(edge.ms + 1, 0))) > bound


@pytest.mark.parametrize(
    ("entry_id", "is_nameable"),
    [(EntryId(10**13 - 1, 10**8 - 1), True), (EntryId(10**13, 0), False), (EntryId(0, 10**8), False)],
)
def test_an_id_that_is_too_long_for_a_name_is_known(entry_id: EntryId, is_nameable: bool) -> None:
    """Names of blocks have fixed widths: beyond them they would not sort."""
    assert entry_id.is_nameable is is_nameable


def test_tokens_of_a_block_differ_by_month_and_repair() -> None:
    """Every INSERT that must be told apart has a token of its own, which begins with the block's name."""
    name = BlockName("abcd0123", 1, ORIGIN, EntryId(5, 0))
    tokens = [name.token(month, heal) for month in (202611, 202612) for heal in (0, 1, 2)]
    assert len(set(tokens)) == len(tokens)
    assert all(token.startswith(str(name)) for token in tokens)
