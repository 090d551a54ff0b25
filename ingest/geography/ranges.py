"""Finds countries in the ranges of addresses that Debian's package `tor-geoipdb` has, which are text.

A line is a range's first address, its last one, and its country; of IPv4 the addresses are numbers. The ranges ascend, and
`??` is no country:

    16777216,16777471,AU                                       geoip
    2001:4:112::,2001:4:112:ffff:ffff:ffff:ffff:ffff,US        geoip6

They become arrays of numbers in which a look-up bisects. Of IPv6 the upper half of an address is kept, because a client is
looked up by the first address of its /64: a range that holds no such address is left out.

The 385,602 and 276,626 ranges of June 2026 take 0.45 s of CPU to read and 13 MB of a worker's memory. They are read in pieces
of about 1.5 ms each, because a worker reads a new edition in a thread while it answers requests. A look-up takes 1.8 µs.

Not promised: regions and cities.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import lt
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from struct import Struct

from ingest.geography.where import NOWHERE, RANGES, Unusable, Where, give_way, require_probes
from schemas.countries import country_code

FILES = ("geoip", "geoip6")  # of IPv4, of IPv6
PIECE_BYTES = 64 << 10
HEAD_BYTES = 4 << 10  # in which a file says of when it is
_halves = Struct(">QQ").unpack
_generated = re.compile(rb"^# Generated: *([^\r\n]+)", re.MULTILINE).search

Bounds = Callable[[Sequence[str], Sequence[str]], tuple[list[int], list[int]]]


class _Numbers(dict[str, int]):
    """Holds the number of each code's place, and gives a new code the next one. Raises ValueError for what is no code."""

    def __init__(self) -> None:
        self.places = [NOWHERE]

    def __missing__(self, said: str) -> int:
        if len(said) != 2:
            raise ValueError(f"{said!r} is not a country")
        code = country_code(said)
        if code:
            self.places.append(Where(code, "", ""))
        number = self[said] = len(self.places) - 1 if code else 0
        return number


class _Table:
    """Holds the ranges of one file, ascending."""

    def __init__(self, path: Path, kind: str, bounds: Bounds) -> None:
        """Reads a file; `kind` is the array's type of an address. Raises Unusable."""
        self._first, self._final, self._numbers = array(kind), array(kind), array("B")
        numbers = _Numbers()
        try:
            text = path.read_bytes()
        except OSError as error:
            raise Unusable(f"{path} can't be read: {error.strerror or error}") from error
        try:
            for piece in _pieces(text):
                self._add(*bounds(piece[0::3], piece[1::3]), [numbers[code] for code in piece[2::3]])
                give_way()
        except (
            ValueError,
            OverflowError,
            OSError,
        ) as error:  # an address that is none: OSError, or of IPv4 one of the others
            raise Unusable(f"{path} is not a whole file of ascending ranges: {error}") from error
        self._places = numbers.places
        found = _generated(text, 0, HEAD_BYTES)
        self.edition = f"{path} (of {found[1].decode('latin-1')})" if found else str(path)

    def at(self, number: int) -> Where:
        at = bisect_right(self._first, number) - 1
        return self._places[self._numbers[at]] if at >= 0 and number <= self._final[at] else NOWHERE

    def _add(self, first: list[int], final: list[int], numbers: list[int]) -> None:
        """Adds ranges behind those that it has. A range that ends just before it begins holds nothing. Raises ValueError."""
        if not all(map(lt, first, final)):
            holding = [begin <= end for begin, end in zip(first, final, strict=True)]
            if not all(is_held or begin == end + 1 for is_held, begin, end in zip(holding, first, final, strict=True)):
                raise ValueError("a range ends before it begins")
            first, final, numbers = (
                [one for one, is_held in zip(column, holding, strict=True) if is_held]
                for column in (first, final, numbers)
            )
        ends = [*self._final[-1:], *final]
        begins = first if len(ends) > len(final) else first[1:]
        if not all(map(lt, ends, begins)):
            raise ValueError("a range begins within the one before it")
        self._first.extend(first)
        self._final.extend(final)
        self._numbers.extend(numbers)


class Ranges:
    """Looks addresses up in one edition of the two files."""

    name = RANGES

    def __init__(self, folder: Path) -> None:
        """Reads both files. Raises Unusable."""
        four, six = FILES
        self._four = _Table(folder / four, "I", _numbers)
        self._six = _Table(folder / six, "Q", _upper_halves)
        self.edition = self._four.edition
        require_probes(self, str(folder))

    def of(self, address: str) -> Where:
        if ":" in address:
            return self._six.at(_halves(inet_pton(AF_INET6, address))[0])
        return self._four.at(int.from_bytes(inet_pton(AF_INET, address)))


def _pieces(text: bytes) -> Iterator[list[str]]:
    """Yields the fields of some lines at a time, three of each line, without the comments. Raises ValueError."""
    at = 0
    while at < len(text):
        end = text.find(b"\n", at + PIECE_BYTES) + 1 or len(text)
        lines = text[at:end]
        if not lines.endswith(b"\n"):
            raise ValueError("its last line has no end")
        at = end
        if b"#" in lines:
            lines = b"".join(line for line in lines.splitlines(keepends=True) if not line.startswith(b"#"))
        if lines.count(b",") != 2 * lines.count(b"\n"):
            raise ValueError("a line has not three fields")
        fields = lines.decode("ascii").replace("\n", ",").split(",")
        fields.pop()
        yield fields


def _numbers(first: Sequence[str], final: Sequence[str]) -> tuple[list[int], list[int]]:
    return list(map(int, first)), list(map(int, final))


def _upper_halves(first: Sequence[str], final: Sequence[str]) -> tuple[list[int], list[int]]:
    """Returns the first and the last /64 whose first address is in each range. Raises OSError."""
    begins = [upper + (lower > 0) for upper, lower in [_halves(inet_pton(AF_INET6, one)) for one in first]]
    return begins, [_halves(inet_pton(AF_INET6, one))[0] for one in final]
