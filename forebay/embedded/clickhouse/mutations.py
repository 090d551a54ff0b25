"""Removes what a full disk left of a mutation's record, so that its table opens again.

An ALTER that changes rows is first written down as `mutation_N.txt`. On a full disk that file may be left empty or cut
off, and then the engine refuses to open the table, and to start. Nothing was promised to the sender of that ALTER: it
got an error or no answer, or the changed rows are in parts that name the mutation already.
"""

from collections.abc import Iterator
from pathlib import Path

FIRST, LAST = b"format version: 1\n", b"\ncommands: "


def repair(store: Path) -> Iterator[str]:
    """Removes the records below the engine's `store` that can't be read, and yields a line for each.

    The engine must not run.
    """
    for path in sorted(store.glob("*/*/mutation_*.txt")):
        content = path.read_bytes()
        if not (content.startswith(FIRST) and LAST in content and content.endswith(b"\n")):
            path.unlink()
            yield f"{path}: a mutation whose record was cut off at {len(content)} bytes is forgotten"
