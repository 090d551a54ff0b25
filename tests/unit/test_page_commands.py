"""Every command that a page gives can be typed: make has the target, and `forebay` the command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.command_line import COMMANDS, PROGRAMS

# Decisions are left out: they are never rewritten, so they may speak of a command that was there when they were made.
PAGES = ("*.md", "deploy/*.md", "docs/*.md", "docs/how-to/*.md")
CODE = re.compile(r"^```\w*\n(.*?)^```$|^(?: {4}.+\n)+|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def code_of(page: str) -> Iterator[str]:
    """Yields each piece of code: a fenced block, an indented one, or what stands between two backticks."""
    for found in CODE.finditer(page):
        yield found[1] or found[2] or found[0]


def unknown(page: str, targets: set[str]) -> Iterator[str]:
    """Yields each call of `make` or `forebay` that names what they do not have."""
    for code in code_of(page):
        made = re.findall(r"^make ([a-z][\w-]*)", code, re.MULTILINE)
        yield from (f"make {name}" for name in made if name not in targets)
        called = re.findall(r"(?:^| |/)forebay ([a-z][a-z-]*)(?![\w.:/=-])", code, re.MULTILINE)
        yield from (f"forebay {name}" for name in called if name not in {*COMMANDS, *PROGRAMS})


@pytest.fixture(scope="module")
def targets(checkout: Path) -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"^([a-z][\w-]*):", (checkout / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_every_command_of_a_page_exists(checkout: Path, targets: set[str]) -> None:
    """A reader who types it gets no `no such command`."""
    pages = sorted(path for pattern in PAGES for path in checkout.glob(pattern))
    assert {checkout / "README.md", checkout / "docs" / "operations.md"} <= set(pages)
    found = [
        f"{page.relative_to(checkout)}: {command}"
        for page in pages
        for command in unknown(page.read_text("utf-8"), targets)
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_commands_of_contributing_are_all_there_are(checkout: Path, targets: set[str]) -> None:
    """A target that people are meant to call has a line in its table."""
    text = (checkout / "Makefile").read_text("utf-8")
    meant = set(re.findall(r"^([a-z][\w-]*):.*##", text, re.MULTILINE)) - {"help", "up"}
    page = (checkout / "CONTRIBUTING.md").read_text("utf-8")
    assert set(re.findall(r"^\| `make ([a-z][\w-]*)", page, re.MULTILINE)) == meant


def test_a_command_that_does_not_exist_is_found() -> None:
    """In a sentence, in a block and in an indented one, and nothing else is."""
    page = (
        "`make up` `make none` `forebay audit` `python -m forebay.embedded` and make believe\n\n"
        "```sh\nmake other ARGS=1\n.venv/bin/forebay absent\n```\n\n    forebay --env-file x\n    sudo forebay gone\n"
    )
    assert list(unknown(page, {"up"})) == ["make none", "make other", "forebay absent", "forebay gone"]
