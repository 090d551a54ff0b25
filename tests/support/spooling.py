"""Leaves a spool's folders behind as processes do, and lets other processes adopt them."""

from __future__ import annotations

from pathlib import Path

from ingest.commit.spool import Chain, Spool
from schemas.segment import Commit, pack

SHARD = 1


class Counted:
    """Counts what the spool counts."""

    def __init__(self) -> None:
        self.bytes = self.damaged = self.torn = 0

    def spool_bytes(self, held: int) -> None:
        self.bytes = held

    def spool_damaged(self, records: int) -> None:
        self.damaged += records

    def spool_torn(self) -> None:
        self.torn += 1


def opened(folder: Path, **settings: int) -> tuple[Spool, Counted]:
    """Returns a spool of this process with these settings, and what it counts."""
    counts = Counted()
    return Spool(folder, **({"bytes_max": 1 << 20, "free_bytes_min": 0} | settings), counts=counts), counts


def commit(number: int, size: int = 40) -> Commit:
    return Commit(number, (b"%d " % number) * (size // 2), 2, {"1 a.example": 2})


async def left_behind(folder: Path, numbers: range = range(1, 6)) -> Path:
    """Returns the one segment of a process that spooled these commits and is gone."""
    spool, _ = opened(folder)
    chain = spool.open("producer", SHARD)
    for number in numbers:
        await chain.write(commit(number))
    spool.close()
    (segment,) = folder.glob("*/*.spool")
    return segment


async def drained(chain: Chain) -> list[Commit]:
    """Drains a chain, and returns its commits in order."""
    found = []
    while (first := await chain.next()) is not None:
        found.append(first)
        await chain.drained()
    return found


async def adopted(folder: Path) -> tuple[list[Commit], Counted]:
    """Adopts the folders of dead processes, as another process does. Returns their commits, and what it counted."""
    spool, counts = opened(folder)
    found = []
    for chain in spool.adopt():
        found += await drained(chain)
        await chain.close()
        spool.leave(chain.folder)
    spool.close()
    return found, counts


def record_at(content: bytes, number: int) -> int:
    """Returns where the record of this commit begins; the first one has number 1."""
    return sum(len(pack(commit(before))) for before in range(1, number))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "damaged").glob("*"))
