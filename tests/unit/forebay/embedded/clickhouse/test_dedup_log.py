"""The deduplication log is repaired if a killed engine left a part in it that does not exist."""

from pathlib import Path

import pytest

from forebay.embedded.clickhouse import dedup_log

PARTS = ["all_1_1_0", "all_2_2_0", "detached", "deduplication_logs"]


def log(*records: str) -> bytes:
    """Returns records such as `1 all_1_1_0 block` in the engine's form."""
    return b"".join(record.replace(" ", "\t").encode() + b"\n" for record in records)


@pytest.mark.parametrize(
    ("records", "names", "undone"),
    [
        (["1 all_1_1_0 a", "1 all_3_3_0 b"], PARTS, ["2 all_3_3_0 b"]),
        (["1 all_1_1_0 a", "1 all_2_2_0 b"], PARTS, []),
        (["1 all_3_3_0 b"], ["all_1_4_1"], []),
        (["1 all_3_3_0 b"], ["all_3_3_0_9"], []),
        (["1 all_3_3_0_5 b"], ["all_3_3_0_4"], ["2 all_3_3_0_5 b"]),
        (["1 all_3_3_1 b"], ["all_3_3_0"], ["2 all_3_3_1 b"]),
        (["1 202401_3_3_0 b"], ["202402_1_9_2"], ["2 202401_3_3_0 b"]),
        (["1 202401-7_3_3_0 b"], ["202401-7_1_9_2"], []),
        (["1 all_3_3_0 b"], ["tmp_insert_all_3_3_0", "delete_tmp_all_3_3_0"], ["2 all_3_3_0 b"]),
        (["1 all_3_3_0 b", "1 all_3_3_0 c"], [], ["2 all_3_3_0 b", "2 all_3_3_0 c"]),
        (["1 all_3_3_0 b", "2 all_3_3_0 b"], [], []),
        (["1 all_1_1_0 a", "1 all_3_3_0 a"], [], ["2 all_3_3_0 a"]),
        (["1 all_9_9_0 a", "1 all_2_2_0 b"], PARTS, []),
        (["1 a-name-of-another-form b"], [], []),
        ([], [], []),
    ],
    ids=[
        "the last part is missing",
        "it is there",
        "merged into a greater part",
        "mutated",
        "an older mutation does not cover it",
        "a lower level does not cover it",
        "another partition does not cover it",
        "a partition with a dash",
        "what was being written or deleted does not cover it",
        "every block of the part",
        "already undone",
        "only what the part holds",
        "an older part is left to the engine",
        "a strange name is left alone",
        "an empty log",
    ],
)
def test_the_last_part_is_forgotten_only_when_nothing_covers_it(
    records: list[str], names: list[str], undone: list[str]
) -> None:
    """There are DROP records exactly for the blocks of a last part that no directory covers."""
    needed = dedup_log.repair_of([log(*records)], names)
    assert (needed.records if needed else b"") == log(*undone)


def test_the_last_part_is_looked_for_in_older_logs_too() -> None:
    """A log that was just begun is empty, so the one before it holds the last record."""
    needed = dedup_log.repair_of([log("1 all_3_3_0 b"), b""], [])
    assert needed == dedup_log.Repair(0, log("2 all_3_3_0 b"))


@pytest.mark.parametrize("tail", [b"1\tall_4", b"\0\0\0\0", b"1\tall_4_4_0\tb\0\n", b"3\tall_4_4_0\tb\n"])
def test_a_damaged_tail_is_cut_off(tail: bytes) -> None:
    """The engine would stop reading at a record that it can't read, and append after it."""
    whole = log("1 all_1_1_0 a")
    assert dedup_log.repair_of([whole + tail], PARTS) == dedup_log.Repair(len(whole), b"")


def test_every_table_is_repaired_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """The files get the records. A repair may be repeated, so it may be interrupted."""
    table = tmp_path / "abc" / "abc-1"
    logs = table / "deduplication_logs"
    logs.mkdir(parents=True)
    (table / "all_1_1_0").mkdir()
    (logs / "deduplication_log_9.txt").write_bytes(log("1 all_1_1_0 a"))
    last = logs / "deduplication_log_10.txt"
    last.write_bytes(log("1 all_2_2_0 b") + b"1\tall")
    assert dedup_log.repair(tmp_path) == [f"{last}: forgot all_2_2_0, cut 5 damaged bytes"]
    assert last.read_bytes() == log("1 all_2_2_0 b", "2 all_2_2_0 b")
    assert dedup_log.repair(tmp_path) == []
