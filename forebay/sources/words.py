"""Reads and checks rows of a list of sources: a host, an app or a word of `utm_source`, its name, and its kind.

A row is a line `word TAB name TAB kind`. `word TAB =other` gives a word the name and the kind of another one. Lines that
begin with # are comments. Refused is what would make a list mean something else than it seems to: a word that stands for
every site of a country, two names for one word, and words that are each like the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.channels import KINDS

WORD_CHARS_MAX, NAME_CHARS_MAX = 253, 80
ROWS_MAX = 5_000  # of one list: each query of a view reads all of them
# With two letters of a country behind them (co.uk) these are no site: a row for one would give a whole country one name.
SECOND_LEVEL = {
    "ac",
    "asn",
    "co",
    "com",
    "edu",
    "gob",
    "gov",
    "gouv",
    "go",
    "id",
    "mil",
    "ne",
    "net",
    "nom",
    "or",
    "org",
}
TOP_LEVEL = {"app", "biz", "com", "dev", "edu", "gov", "info", "int", "io", "mil", "net", "org", "shop", "site", "xyz"}


class Source(NamedTuple):
    """Holds what a word stands for. `name` is empty when `kind` is none."""

    name: str
    kind: str


class Refused(ValueError):
    """Reports a row that a list can't have. Its text tells people which one and why."""


def word_of(text: str) -> str:
    """Returns a word as it is looked for: small letters, a host without scheme, www., port, path and dot. Raises Refused."""
    word = re.sub(r"^[a-z-]*:?//", "", text.strip().lower()).partition("/")[0]
    word = re.sub(r":[0-9]+$", "", word).strip(".").removeprefix("www.")
    if re.search(r"[\x00-\x1f\x7f*]", word) and re.search(r"\w", word):
        raise Refused(f"{text!r} has a character that no word has: a host stands for its subdomains without a *")
    if not re.search(r"\w", word):
        raise Refused(f"{text!r} would stand for everything: name a host, an app or a word of utm_source")
    if len(word) > WORD_CHARS_MAX:
        raise Refused(f"{text[:40]!r}... is longer than {WORD_CHARS_MAX} characters")
    labels = word.split(".")
    if word in TOP_LEVEL or (len(labels) == 2 and labels[0] in SECOND_LEVEL and len(labels[1]) == 2):
        raise Refused(f"{text!r} would stand for every site under it: name one site")
    return word


def both_forms(word: str) -> set[str]:
    """Returns a word, and of a host also the form that browsers send (punycode) or that people write."""
    if "." not in word:
        return {word}
    try:
        return {word, word.encode("idna").decode() if not word.isascii() else word.encode("ascii").decode("idna")}
    except UnicodeError:
        return {word}  # no host


def rows_of(text: str, known: Mapping[str, Source]) -> dict[str, Source]:
    """Returns what the lines of a file say, by word. `known` is what else a word may be likened to. Raises Refused."""
    said: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            word, fields = _row(line)
        except Refused as error:
            raise Refused(f"line {number}: {error}") from None
        if said.setdefault(word, fields) != fields:
            raise Refused(f"line {number}: {word!r} stands there twice, with different names or kinds")
        if len(said) > ROWS_MAX:
            raise Refused(f"line {number}: a list has at most {ROWS_MAX} rows")
    return resolved(said, known)


def _row(line: str) -> tuple[str, tuple[str, ...]]:
    word, *fields = line.split("\t")
    return word_of(word), tuple(field.strip() for field in fields)


def resolved(said: Mapping[str, tuple[str, ...]], known: Mapping[str, Source]) -> dict[str, Source]:
    """Returns rows whose fields are checked, and in which no word is likened to another any more. Raises Refused."""
    found: dict[str, Source] = {}
    for word in said:
        found |= dict.fromkeys(sorted(both_forms(word)), _followed(word, said, known))
    return found


def _followed(word: str, said: Mapping[str, tuple[str, ...]], known: Mapping[str, Source]) -> Source:
    way = [word]
    while len(fields := said[way[-1]]) == 1 and fields[0].startswith("="):
        other = word_of(fields[0][1:])
        if other in way:
            raise Refused(f"{' is like '.join([*way, other])}: that goes round in a circle and ends at no name")
        if other not in said:
            if other not in known:
                raise Refused(f"{word!r} is like {other!r}, which is in no list")
            return known[other]
        way.append(other)
    return checked(way[-1], fields)


def checked(word: str, fields: Iterable[str]) -> Source:
    """Returns a source of a word's name and kind. Raises Refused."""
    name, kind, *rest = (*fields, "", "")
    if kind not in KINDS:
        raise Refused(
            f"{word!r} has the kind {kind!r}: it must be one of {', '.join(KINDS)}, behind the name and a tab"
        )
    if any(rest):
        raise Refused(f"{word!r} has more than a name and a kind")
    if kind == "none":
        return Source("", kind)
    if not name or len(name) > NAME_CHARS_MAX or re.search(r"[\x00-\x1f\x7f]", name):
        raise Refused(f"{word!r} needs a name of 1 to {NAME_CHARS_MAX} characters")
    return Source(name, kind)
