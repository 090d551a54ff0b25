"""Finds parts on disk whose files are not what the engine believes it wrote.

On a full disk the engine (chDB 26.9) sometimes loses a write's error: it answers that a merge, a mutation or an INSERT
succeeded, and leaves files that are empty or have a hole. It goes on with what it has in memory, so a count may still
be right; at its next start it sets the part aside. A part's `checksums.txt` holds the size of every other file, so
comparing sizes, which is what the engine does when it starts, finds such parts at once and reads no data.

Not promised: files of the right size with wrong bytes. Only reading them would find these.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from forebay.embedded.clickhouse.compression import Unpacker
from forebay.embedded.clickhouse.dedup_log import PART
from forebay.embedded.clickhouse.sql import QueryFailed

HEADER = b"checksums format version: 4\n"  # the format of every version since 2015; another one is not judged
HASH_BYTES = 16
# What lies in a directory is remembered for as long as the directory is not changed. A file system may count whole seconds,
# so one that was changed just now may be changed again without being seen to be.
SETTLED_NS = 3_000_000_000
UNKNOWN_METHOD = 89  # the error code for a way of compression that is not known here; a later engine may have one


class Broken(NamedTuple):
    """Names a part, and says in words what is wrong with its files."""

    part: Path
    fault: str


class Listing(NamedTuple):
    """Holds the names of the directories in a directory, and when it was last changed."""

    changed_ns: int
    names: list[str]


class Parts:
    """Looks at every part below the engine's `store` directory, once each. Several threads may use it."""

    def __init__(self, store: Path) -> None:
        self._store = os.fspath(store)
        self._listed: dict[str, Listing] = {}
        self._seen: set[str] = set()
        self._looking = threading.Lock()

    def look(self, *, again: bool = False) -> list[Broken]:
        """Returns the broken ones among the parts that appeared since the last look, or with `again` among all parts."""
        with self._looking:
            found = set(self._paths())
            fresh = found if again else found - self._seen
            self._seen = found
            named = ((path, _confirmed(path)) for path in sorted(fresh))
            return [Broken(Path(path), said) for path, said in named if said is not None]

    def _paths(self) -> Iterator[str]:
        """Yields the parts: they lie in the directories of tables, and these in those of the first letters of their names."""
        before, self._listed = self._listed, {}
        for letters in self._inside(self._store, before):
            for table in self._inside(letters, before):
                yield from (path for path in self._inside(table, before) if PART.fullmatch(path, len(table) + 1))

    def _inside(self, directory: str, before: dict[str, Listing]) -> list[str]:
        """Returns the paths of the directories in a directory; nothing if it is gone, as a table's is that was dropped."""
        try:
            changed_ns = os.stat(directory).st_mtime_ns  # noqa: PTH116 - paths are texts here: as objects they take most of a look
            known = before.get(directory)
            if known is None or known.changed_ns != changed_ns:
                with os.scandir(directory) as entries:
                    known = Listing(changed_ns, [entry.path for entry in entries if entry.is_dir()])
        except (FileNotFoundError, NotADirectoryError):
            return []
        if time.time_ns() - changed_ns > SETTLED_NS:
            self._listed[directory] = known
        return known.names


def _confirmed(part: str) -> str | None:
    """Returns what is wrong with a part, unless the engine has removed or renamed it meanwhile."""
    said = fault(part)
    return said if said is not None and Path(part).exists() else None


def fault(part: str | Path) -> str | None:
    """Returns in words what is wrong with a part's files, or None if all have the size that they should have."""
    try:
        sizes = expected_sizes(Path(part, "checksums.txt").read_bytes())
    except FileNotFoundError:
        return "checksums.txt is missing"
    except ValueError as error:
        return f"checksums.txt {error}"
    for name, size in sizes.items():
        path = f"{part}/{name}"
        if name.endswith(".proj"):  # a projection: a part in the part
            if (said := fault(path)) is not None:
                return f"{name}: {said}"
            continue
        try:
            found = os.stat(path).st_size  # noqa: PTH116 - as above
        except FileNotFoundError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes and should have {size}"
    return None


def expected_sizes(checksums: bytes) -> dict[str, int]:
    """Returns each file's size as `checksums.txt` gives it, or nothing for a version or compression that is not known.

    Raises ValueError if it is empty or cut off; the error's text goes on after the file's name.
    """
    if not checksums:
        raise ValueError("is empty")
    if not checksums.startswith(HEADER):
        return {}
    try:
        return dict(_entries(_unpacked(checksums[len(HEADER) :])))
    except QueryFailed as error:
        if error.code == UNKNOWN_METHOD:
            return {}
        raise ValueError(f"cannot be read ({error.text})") from error
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__})") from error


def _unpacked(blocks: bytes) -> bytes:
    unpacker = Unpacker(lambda _: None)
    content = b"".join(unpacker.feed(blocks))
    unpacker.end()
    return content


def _entries(content: bytes) -> Iterator[tuple[str, int]]:
    count, at = _number(content, 0)
    for _ in range(count):
        length, at = _number(content, at)
        name, at = content[at : at + length].decode(), at + length
        size, at = _number(content, at)
        is_compressed = content[at + HASH_BYTES]
        at += HASH_BYTES + 1
        if is_compressed:
            _, at = _number(content, at)
            at += HASH_BYTES
        yield name, size


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Reads a number of variable length, seven bits a byte; returns it and where it ends. Raises IndexError."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
