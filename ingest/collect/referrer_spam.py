"""Knows the hosts that send spam as referrers, from a file that the operator supplies, and reads the file again when it changes.

The file has one host a line; empty lines, and what follows a #, are comments. A host stands for its subdomains too. Lines that
are no host (or have no dot, and so would stand for all of `com`) are left out, and said once; a file in which they are more than
a tenth is refused, and so is one that is too large, has a line that no host fills, is not text, or is no file at all. When
the tier starts, a refused file is a fault of its settings (ingest/__main__.py). Later the last good list stays in force, and
the fault is counted and logged once. A worker that is started meanwhile knows no list, and works without one.

Matomo's list of 2,300 hosts takes 0.4 MB and is read in 20 ms, in a thread. The answer for a host is remembered.

Not promised: a list. Forebay ships none, because no package of a registry that it installs from has one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime import files
from schemas.host import is_word, site_name

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 8 << 20
HOSTS_MAX = 100_000  # 15 MB; they fill the 8 MiB when each has 80 characters
LINE_BYTES_MAX = 1_024
STRANGE_SHARE_MAX = 10  # one line of so many may be no host
ANSWERS_MAX = 10_000
NO_HOSTS: frozenset[str] = frozenset()

Stamp = tuple[int, int, int]


class ReferrerSpam:
    """Holds the list, and answers for a host."""

    def __init__(self, path: str = "", failed: Callable[[], None] | None = None) -> None:
        """Reads the file at `path`, unless that is "". Raises nothing: if it can't be used, the list is empty.

        `failed` is called for each time that the file can't be used, or was changed to one that can't.
        """
        self._path = path
        self._failed = failed
        self._hosts = NO_HOSTS
        self._answers: dict[str, bool] = {}
        self._read: Stamp | None = None
        if path:
            try:
                self._read = _stamp(path)
                self._hosts = hosts_of(path)
            except (ValueError, OSError) as error:
                self._fail(error, "no list is in force")

    def __bool__(self) -> bool:
        """Returns whether there is any host to look for."""
        return bool(self._hosts)

    def is_spam(self, host: str) -> bool:
        """Returns whether a host, in lower case, or one that it is a subdomain of, is on the list."""
        answer = self._answers.get(host)
        if answer is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()  # strangers can invent hosts
            answer = self._answers[host] = self._is_spam(host)
        return answer

    def _is_spam(self, host: str) -> bool:
        while host:
            if host in self._hosts:
                return True
            host = host.partition(".")[2]
        return False

    async def refresh(self) -> None:
        """Reads the file again if it is another one than was read last. Raises nothing: a bad one leaves all as it was."""
        if not self._path:
            return
        before, found = self._read, NO_HOSTS
        try:
            self._read = await asyncio.to_thread(_stamp, self._path)
            if self._read == before:
                return
            found = await asyncio.to_thread(hosts_of, self._path)
        except (ValueError, OSError) as error:
            if before is None and isinstance(error, OSError):
                self._read = None  # it is still away, which was counted
                return
            self._fail(error, "the last good one stays in force")
            return
        self._hosts = found
        self._answers = {}

    def _fail(self, error: Exception, so: str) -> None:
        """Counts and logs a list that can't be used. One that can't be opened is tried again, and counted once meanwhile."""
        if isinstance(error, OSError):
            self._read = None
        log.warning("the list of referrer spam is not taken over, and %s: %s", so, error)
        if self._failed is not None:
            self._failed()


def hosts_of(path: str) -> frozenset[str]:
    """Returns the hosts of a file. Raises ValueError, with a text for people, or OSError."""
    with files.opened(path) as file:
        text = file.read(FILE_BYTES_MAX + 1)
    if len(text) > FILE_BYTES_MAX:
        raise ValueError(
            f"{path} has more than {FILE_BYTES_MAX >> 20} MiB: a list of referrer spam has one host a line"
        )
    if b"\0" in text:
        raise ValueError(f"{path} is no text: a list of referrer spam has one host a line")
    hosts: set[str] = set()
    strange: list[int] = []
    lines = 0
    for number, line in _lines(path, text):
        lines += 1
        host = site_name(line)
        if "." in host and is_word(host):
            hosts.add(host)
        else:
            strange.append(number)
        if len(hosts) > HOSTS_MAX:
            raise ValueError(f"{path} has more than {HOSTS_MAX} hosts")
    if len(strange) * STRANGE_SHARE_MAX > lines:
        raise ValueError(f"{path}: line {strange[0]} is no host, and so are {len(strange)} of its {lines} lines")
    if strange:
        log.warning("%s: line %d is no host, and is left out; so are %d in all", path, strange[0], len(strange))
    return frozenset(hosts)


def _lines(path: str, text: bytes) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not empty, without comments, and their numbers. Raises ValueError."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LINE_BYTES_MAX:
            raise ValueError(
                f"{path}: line {number} has {len(line)} bytes: a list of referrer spam has one host a line"
            )
        try:
            said = line.decode().partition("#")[0].strip()
        except UnicodeDecodeError:
            raise ValueError(f"{path}: line {number} is not UTF-8") from None
        if said:
            yield number, said


def _stamp(path: str) -> Stamp:
    """Returns what changes when a file is written or replaced."""
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
