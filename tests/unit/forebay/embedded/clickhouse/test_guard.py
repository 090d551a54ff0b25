"""The guard of the public port tells words of a statement from what stands in strings and names."""

import pytest

from forebay.embedded.clickhouse.guard import forbidden


@pytest.mark.parametrize(
    ("printed", "is_forbidden"),
    [
        ("SELECT 'INTO OUTFILE', `disk(`, 'it\\'s ENGINE = URL'", False),
        ("CREATE TABLE t (`a` Int8) ENGINE = MergeTree ORDER BY a COMMENT 'ENGINE = URL'", False),
        ("CREATE TABLE t (`engine` String) ENGINE = ReplacingMergeTree(engine)", False),
        ("CREATE TABLE t ENGINE = `Log`", True),
        ("CREATE TABLE t ENGINE = MergeTreeX", True),
        ("ALTER TABLE t (ATTACH PARTITION 1 FROM u)", False),
        ("DROP DATABASE defaults", False),
    ],
)
def test_words_in_strings_and_names_are_not_words(printed: str, is_forbidden: bool) -> None:
    """Quoted text can't be a keyword."""
    assert (forbidden(printed) is not None) == is_forbidden
