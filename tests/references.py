"""Finds references that lead nowhere: to files, headings, rules, decisions and invariants, in comments, docstrings and pages.

What counts as a reference:

    a link of a page             [words](<page>.md#heading), from the page's own directory
    a name of a file             ingest/http/app.py, docs/events.md#addresses, entry.py: from the root, from the directory of whoever
                                 names it, from docs/, or as the end of a path; a name without a directory may be any file's
    a name of a directory        flusher/ and what lies below it
    rule 8, rules 3 to 5         headings of docs/delivery.md
    decision 13, 0013            a file of docs/decisions, or of schemas/migrations
    I4                           an invariant of docs/architecture.md
    `name` in `<file>.py`          on a page: the file holds that name

Of Python, comments and docstrings are read, and texts of the product that name a page. A name with an `x`, an `NNNN` or `<name>`
in the place of a word stands for many files and is none.

Not promised: that a reference leads to what its sentence means.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
IGNORED = frozenset(("node_modules", "__pycache__", "build", "dist-info", "forebay-data"))
RULES, INVARIANTS, DECISIONS, MIGRATIONS = (
    "docs/delivery.md",
    "docs/architecture.md",
    "docs/decisions",
    "schemas/migrations",
)
# Not of SQL: a migration that was applied is never changed, so what it names may have moved since.
READ = frozenset(
    (".md", ".yml", ".toml", ".xml", ".conf", ".service", ".env", ".mjs", ".js", ".lua", ".html", ".c", "")
)
_link = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^()\s]+)\)")
_file = re.compile(
    r"(?<![\w<>*{}$~./\\-])/?((?:\.\./)*(?:[\w-]+/)*[\w.-]*\w\.(py|md|sql|yml|toml|conf|mjs|js|lua|service|xml))(#[\w-]+)?(?![\w/])"
)
_directory = re.compile(r"(?<![\w<>*{}$~./\\-])((?:[\w-]+/)+)(?![\w.<>*{}$…/-])")
_placeholder = re.compile(r"(?:^|[/_])[xX]\.|NNNN")
_rule = re.compile(r"\b[Rr]ules? (\d+)(?:(?: to | and |, )(\d+))?\b")
_decision = re.compile(r"\b[Dd]ecisions? (\d{1,4})\b")
_number = re.compile(r"(?<![\w.-])00\d\d(?![\w.-])")
_invariant = re.compile(r"\bI(\d+)\b")
_held = (re.compile(r"`(\w+)` in `([\w/.-]+\.\w+)`"), re.compile(r"`([\w/.-]+\.\w+)` \((?:the script )?`(\w+)`"))

Fault = tuple[int, str]


class Files(NamedTuple):
    """The repository's files by path from the root, those of one name, and its directories."""

    paths: frozenset[str]
    named: Mapping[str, list[str]]
    directories: frozenset[str]


@cache
def files() -> Files:
    """Returns what is there, hidden directories and what is built left out."""
    paths: list[str] = []
    named: dict[str, list[str]] = defaultdict(list)
    directories = set()
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in IGNORED and not name.startswith(".")]
        here = PurePosixPath(os.path.relpath(directory, ROOT))
        directories.add(str(here))
        for name in names:
            paths.append(str(here / name))
            named[name].append(str(here / name))
    return Files(frozenset(paths), named, frozenset(directories))


@cache
def text_of(path: str) -> str:
    """Returns the text of a file."""
    return (ROOT / path).read_text("utf-8", errors="replace")


@cache
def anchors(text: str) -> frozenset[str]:
    """Returns the anchors of a page's text: its headings as GitHub spells them, and `<a id>`."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in plain}
    return frozenset(slugs | set(re.findall(r'<a (?:id|name)="([^"]+)"', text)))


@cache
def numbers() -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """Returns the numbers of rules, of decisions and migrations, and of invariants."""
    rules = re.findall(r"^## Rule (\d+):", text_of(RULES), re.MULTILINE)
    listed = (file.name for folder in (DECISIONS, MIGRATIONS) for file in (ROOT / folder).iterdir())
    decided = (name[:4] for name in listed if name[:4].isdigit())
    invariants = re.findall(r"^- \*\*I(\d+)\*\*", text_of(INVARIANTS), re.MULTILINE)
    return frozenset(map(int, rules)), frozenset(map(int, decided)), frozenset(map(int, invariants))


def dead(path: str, line: int, text: str) -> Iterator[Fault]:
    """Yields the dead references of a piece of text that begins on this line of a file."""
    is_page = path.endswith(".md")
    for at, words in enumerate(text.splitlines(), start=line):
        said = _link.sub(lambda found: " " * len(found[0]), words) if is_page else words
        faults = [
            *(_of_links(path, words, text) if is_page else ()),
            *_of_names(path, said),
            *_of_numbers(words, is_page=is_page),
        ]
        yield from ((at, fault) for fault in faults)
    if is_page:
        yield from _of_things(path, text)


def _of_links(path: str, words: str, page: str) -> Iterator[str]:
    for target in _link.findall(words):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = _joined(PurePosixPath(path).parent, name)
        if name and found not in files().paths and found not in files().directories:
            yield f"the link to {target} leads to no file"
        elif anchor and anchor not in anchors(text_of(found) if name else page):
            yield f"the link to {target} leads to no heading"


def _of_names(path: str, words: str) -> Iterator[str]:
    for name, kind, anchor in _file.findall(words):
        if _placeholder.search(name) or not _is_ours(name, kind):
            continue
        found = _found(path, name)
        if not found:
            yield f"{name} is no file"
        elif anchor and not any(anchor[1:] in anchors(text_of(one)) for one in found):
            yield f"{name}{anchor} is no heading"
    for name in _directory.findall(words):
        if (
            name.split("/")[0] in files().directories
            and "/" in name.rstrip("/")
            and name.rstrip("/") not in files().directories
        ):
            yield f"{name} is no directory"


def _is_ours(name: str, kind: str) -> bool:
    """Tells whether a name can only be a file of this repository's: run.json and config.xml are other things."""
    top = name.partition("/")[0]
    if top in files().directories or top == "..":
        return True
    return kind in {"py", "md", "sql"} and ("/" not in name or name.startswith("decisions/"))


def _found(path: str, name: str) -> list[str]:
    """Returns the files that a name may mean, the page of that name first."""
    known = files()
    here = PurePosixPath(path).parent
    exact = [one for one in (f"docs/{name}", name, _joined(here, name), f"docs/decisions/{name}") if one in known.paths]
    return exact or [one for one in known.named.get(PurePosixPath(name).name, ()) if one.endswith("/" + name)]


def _of_numbers(words: str, *, is_page: bool) -> Iterator[str]:
    rules, decided, invariants = numbers()
    for pair in _rule.findall(words):
        yield from (f"{RULES} has no rule {number}" for number in pair if number and int(number) not in rules)
    said = _decision.findall(words) + (_number.findall(words) if is_page else [])
    yield from (f"there is no decision {number}" for number in said if int(number) not in decided)
    for number in _invariant.findall(words):
        if int(number) not in invariants:
            yield f"{INVARIANTS} has no invariant I{number}"


def _of_things(path: str, text: str) -> Iterator[Fault]:
    for at, pattern in enumerate(_held):
        for found in pattern.finditer(re.sub(r"\n", " ", text)):
            thing, name = (found[1], found[2]) if at == 0 else (found[2], found[1])
            there = _found(path, name)
            if there and not any(re.search(rf"\b{re.escape(thing)}\b", text_of(one)) for one in there):
                yield text.count("\n", 0, found.start()) + 1, f"{name} holds no {thing}"


def _joined(directory: PurePosixPath, name: str) -> str:
    return os.path.normpath(directory / name)
