"""ingest/collect/referrer_spam.py: the operator's list, read anew when it changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.collect.referrer_spam import ANSWERS_MAX, FILE_BYTES_MAX, ReferrerSpam, hosts_of

LIST = "# hosts\nspam.example\n\n  Bad.Example.  # a comment\r\nпример.example\nwww.free.example\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Makes a list."""
    found = tmp_path / "spam.txt"
    found.write_text(LIST)
    return found


@pytest.mark.parametrize(
    ("host", "is_spam"),
    [
        ("spam.example", True),
        ("a.b.spam.example", True),
        ("bad.example", True),
        ("xn--e1afmkfd.example", True),
        ("free.example", True),
        ("nospam.example", False),
        ("example", False),
        ("spam.example.com", False),
        ("", False),
    ],
)
def test_a_host_stands_for_its_subdomains(path: Path, host: str, is_spam: bool) -> None:
    """Comments, blanks, case and final dots do not matter, and hosts in other scripts are as browsers send them."""
    spam = ReferrerSpam(str(path))
    assert [spam.is_spam(host), spam.is_spam(host)] == [is_spam] * 2


def test_without_a_list_there_is_no_spam() -> None:
    """None is shipped."""
    assert not ReferrerSpam()


def test_answers_are_remembered_within_a_bound(path: Path) -> None:
    """Strangers invent hosts."""
    spam = ReferrerSpam(str(path))
    for at in range(2 * ANSWERS_MAX):
        assert not spam.is_spam(f"{at}.example")
    assert len(spam._answers) <= ANSWERS_MAX


def many_lines() -> bytes:
    return b"".join(b"host%d.example\n" % at for at in range(100_001))


BAD = {
    "10 million lines": (b"a.b\n" * 10_000_000, "more than 8 MiB"),
    "more hosts than fit": (many_lines(), "more than 100000 hosts"),
    "one line that does not end": (b"a" * (FILE_BYTES_MAX - 1), "line 1 has 8388607 bytes"),
    "a program": (b"\x7fELF\0\1\2" * 50, "is no text"),
    "another coding": (b"spam.example\nna\xefve.example\n", "line 2 is not UTF-8"),
    "a page of a browser": (b"<html>\n<body>\nspam.example\n</body>\n</html>\n", "line 1 is no host"),
    "what would match everything": (b"com\n*\n.\n", "line 1 is no host"),
}


@pytest.mark.parametrize(("text", "why"), BAD.values(), ids=BAD.keys())
def test_what_is_no_list_is_refused_at_the_start(tmp_path: Path, text: bytes, why: str) -> None:
    """With the file, the line, and what a list looks like."""
    path = tmp_path / "spam.txt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=why):
        hosts_of(str(path))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "No such file"),
        (os.mkfifo, "is not a file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a file"),
    ],
    ids=["gone", "pipe", "directory", "device"],
)
async def test_what_is_no_file_is_refused_at_once(path: Path, make: Callable[[Path], object], why: str) -> None:
    """At the start and later; a pipe into which nobody writes holds up neither, nor the end of the process."""
    failed: list[int] = []
    spam = ReferrerSpam(str(path), lambda: failed.append(1))
    path.unlink()
    make(path)
    found: list[str] = []

    def read() -> None:
        try:
            hosts_of(str(path))
        except OSError as error:
            found.append(str(error))

    reading = threading.Thread(target=read, daemon=True)  # not of the loop's, which waits for its threads
    reading.start()
    reading.join(10)
    assert why in "".join(found)
    for _ in range(3):
        await spam.refresh()
    assert spam.is_spam("spam.example")
    assert len(failed) == 1


@pytest.mark.parametrize("text", [b"\0", None], ids=["binary", "gone"])
async def test_a_worker_that_starts_while_the_list_is_bad_works_without_it(path: Path, text: bytes | None) -> None:
    """It takes events, says once what is wrong, and takes the list once it is good: a list must not keep a worker away."""
    failed: list[int] = []
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    spam = ReferrerSpam(str(path), lambda: failed.append(1))
    await spam.refresh()
    assert (spam.is_spam("spam.example"), len(failed)) == (False, 1)
    path.write_text(LIST)
    await spam.refresh()
    assert spam.is_spam("spam.example")


def test_a_line_that_is_no_host_costs_only_itself(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A list is kept by many people; one mistake of theirs is said, and does not take the list away."""
    path.write_text("".join(f"h{at}.example\n" for at in range(20)) + "no host\n")
    assert ReferrerSpam(str(path)).is_spam("h19.example")
    assert "line 21 is no host" in caplog.text


async def test_a_list_that_changed_is_read_again(path: Path) -> None:
    """Written in place or replaced; what was remembered of the old one is forgotten."""
    spam = ReferrerSpam(str(path))
    assert not spam.is_spam("new.example")
    path.write_text("new.example\n")
    await spam.refresh()
    assert [spam.is_spam(host) for host in ("new.example", "spam.example")] == [True, False]
    (path.parent / "next").write_text("newer.example\n")
    (path.parent / "next").replace(path)
    await spam.refresh()
    assert spam.is_spam("newer.example")


@pytest.mark.parametrize("text", [b"a.b\n" * 10_000_000, b"\0", None], ids=["10 million lines", "binary", "gone"])
async def test_a_bad_list_leaves_the_last_good_one_in_force(
    path: Path, text: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged once, however often it is looked at, and a good one is taken over afterwards."""
    failed: list[int] = []
    spam = ReferrerSpam(str(path), lambda: failed.append(1))
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    for _ in range(3):
        await spam.refresh()
    assert spam.is_spam("spam.example")
    assert (len(failed), caplog.text.count("the last good one stays in force")) == (1, 1)
    path.write_text("good.example\n")
    await spam.refresh()
    assert spam.is_spam("good.example")
