"""Measures which events of the tracker arrive, by what befell their page, and prints a table: `python -m tests.delivery`.

A real Chromium opens the pages; the tracker comes from a real `forebay up`, and sends to it through a relay that refuses and
cuts. The exit status is 1 if an event was stored twice, or if fewer than 99.9 % were that a browser can deliver.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.delivery.mix import CAUSES, pages_of
from tests.delivery.visits import Row, delivered

SHARE_MIN = 0.999
SAID_EVERY = 50  # pages


def table(rows: Sequence[Row]) -> str:
    """Returns the table in Markdown. The row of all has what is in the mix."""
    mixed = [row for row in rows if row.cause.percent]
    shown = [(row.cause.name, f"{row.cause.percent} %" if row.cause.percent else "beside", *row[1:]) for row in rows]
    total = [sum(row[column] for row in mixed) for column in (1, 2, 3)]  # type: ignore[misc]  # of columns that are numbers
    lines = ["| what befell the page | share | sent | delivered | duplicated |", "|---|---|---|---|---|"]
    for name, *cells in (*shown, ("all of the mix", "100 %", *total)):
        lines.append(
            f"| {name} | {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in cells)} |"
        )
    return "\n".join(lines) + "\n"


def is_good(rows: Sequence[Row]) -> bool:
    """Tells whether nothing was duplicated, and of the deliverable so many arrived."""
    wanted = [row for row in rows if row.cause.is_deliverable]
    share = sum(row.delivered for row in wanted) / sum(row.sent for row in wanted)
    return share >= SHARE_MIN and not any(row.duplicated for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="counts which events of the tracker arrive")
    parser.add_argument("--events", type=int, default=5_000, help="in the mix; %(default)s if not given")
    given = parser.parse_args()
    pages = sum(pages_of(cause, given.events) for cause in CAUSES)

    def say(done: int) -> None:
        if done % SAID_EVERY == 0:
            print(f"{done} of {pages} pages", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="forebay-delivery-") as folder:
        rows = asyncio.run(delivered(Path(folder), given.events, say))
    sys.stdout.write(table(rows))
    return 0 if is_good(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
