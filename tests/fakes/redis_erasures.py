"""Does the scripts of erasures in a fake Redis (tests/fakes/redis.py)."""

from __future__ import annotations

from typing import Any

from schemas.ledger import OTHER, TOTALS_MAX
from schemas.names import EntryId
from schemas.redis.keys import LEAVING_FIELD, ErasuresField
from tests.fakes.redis_leases import Leasing, Text, as_bytes


class Erasing(Leasing):
    """Knows the erasures, and what they count. The rest of the server is in tests/fakes/redis.py."""

    def log(self, key: str) -> Any:
        raise NotImplementedError

    def record_erasure(self, keys: Text, args: list[Any]) -> None:
        name, erasure, *over = args
        erasures = self.hash(keys[0])
        for gone in over:
            erasures.pop(gone, None)
        erasures[name] = as_bytes(erasure)
        erasures[ErasuresField.VERSION] = as_bytes(int(erasures.get(ErasuresField.VERSION, b"0")) + 1)

    def choose_plan(self, keys: Text, args: list[Any]) -> list[bytes]:
        name, plan = args
        erasures = self.hash(keys[0])
        planning = erasures.get(ErasuresField.PLANNING, as_bytes(name))
        if planning != as_bytes(name):
            return [b"", planning]
        if ErasuresField.SETTLED.of(name) not in erasures:
            erasures[ErasuresField.PLANNING] = as_bytes(name)
        return [erasures.setdefault(ErasuresField.PLAN.of(name), as_bytes(plan)), as_bytes(name)]

    def settle_erasure(self, keys: Text, args: list[Any]) -> None:
        name, now_ms = args
        erasures = self.hash(keys[0])
        erasures.setdefault(ErasuresField.SETTLED.of(name), as_bytes(now_ms))
        if erasures.get(ErasuresField.PLANNING) == as_bytes(name):
            del erasures[ErasuresField.PLANNING]

    def count_erased(self, keys: Text, args: list[Any]) -> int:
        checkpoint, erased, leaving = map(self.hash, keys)
        name, *totals = args
        if f"erasure-counted:{name}" in checkpoint:
            return 0
        checkpoint[f"erasure-counted:{name}"] = b"1"
        for field, count in add(erased, totals):
            leaving[field] = as_bytes(int(leaving.get(field, b"0")) + count)
        leaving[LEAVING_FIELD] = as_bytes(name)
        return 1

    def erased_rows_left(self, keys: Text, args: list[Any]) -> None:
        if self.hash(keys[0]).get(LEAVING_FIELD) == as_bytes(args[0]):
            del self.hashes[keys[0]]

    def erase_letter(self, keys: Text, args: list[Any]) -> int:
        dead, letter = self.log(keys[0]), EntryId.parse(args[0])
        if dead.entries.pop(letter, None) is None:
            return 0
        del dead.history[letter]
        if args[1]:
            add(self.hash(keys[1]), [args[1], 1])
        return 1


def add(totals: dict[str, bytes], more: list[Any]) -> list[tuple[str, int]]:
    """Adds to totals, and returns what was added. Once the hash is full, new fields are added together under one name."""
    is_full = len(totals) >= TOTALS_MAX
    added = []
    for said, count in zip(more[::2], more[1::2], strict=True):
        name = said if said in totals or not is_full else f"{said.split()[0]} {OTHER}"
        totals[name] = as_bytes(int(totals.get(name, b"0")) + int(count))
        added.append((name, int(count)))
    return added
