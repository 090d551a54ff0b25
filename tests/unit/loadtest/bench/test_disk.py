"""The table of what columns take on disk: every byte is in one of its lines."""

from loadtest.bench.disk import Weights, rows_of


def test_every_byte_stands_in_a_line() -> None:
    """Largest first, the rest of the table's bytes by itself, and the same rows without ids."""
    found = Weights(
        rows=100, bytes=3_000, columns={"event_id": 1_900, "path": 300, "late": 0}, projections={"daily": 500}
    )
    without = found._replace(bytes=1_100)
    assert rows_of(found, {"the same without ids": without}) == [
        ["column", "bytes an event", "share"],
        ["`event_id`", "19.00", "63.3%"],
        ["projection `daily`", "5.00", "16.7%"],
        ["`path`", "3.00", "10.0%"],
        ["indexes and the rest", "3.00", "10.0%"],
        ["`late`", "0.00", "0.0%"],
        ["**together**", "**30.00**", ""],
        ["**the same without ids**", "**11.00**", ""],
    ]
