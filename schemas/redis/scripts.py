"""Loads the Lua scripts of this directory. Each file is one script, and its head is its contract.

A head says what the script does, which rules of docs/delivery.md it keeps, who sends it, its KEYS and ARGV, what it
answers, and what happens when it is told the same again. Lines `-- include NAME` of the head name files in `shared/`, whose
text comes before the script's own; names in capitals are constants of this module. Everything is put together here, once,
so Redis sees one text.

The first line of a text is `-- NAME: …`, by which a script can be recognised, in Redis's slow log too.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from schemas.ledger import OTHER, TOTALS_MAX
from schemas.redis.keys import LEASE_TIMES_MAX, LIMIT_DEBT_SECONDS, PRODUCER_KEPT_SECONDS, PRODUCER_NOTED_SECONDS
from schemas.rejected import NAMES_MAX
from schemas.rejected import OTHER as REJECTED_OTHER

CONSTANTS: dict[str, int | str] = {
    "LEASE_TIMES_MAX": LEASE_TIMES_MAX,
    "LIMIT_DEBT_SECONDS": LIMIT_DEBT_SECONDS,
    "OTHER": OTHER,
    "PRODUCER_KEPT_SECONDS": PRODUCER_KEPT_SECONDS,
    "PRODUCER_NOTED_SECONDS": PRODUCER_NOTED_SECONDS,
    "REJECTED_NAMES_MAX": NAMES_MAX,
    "REJECTED_OTHER": REJECTED_OTHER,
    "TOTALS_MAX": TOTALS_MAX,
}
_include = re.compile(r"^-- include (\w+)\n", re.MULTILINE)
_comment_or_text = re.compile(r"--[^\n]*|'[^']*'")
_capitals = re.compile(r"\b[A-Z][A-Z_]+\b")
_folder = files("schemas").joinpath("redis")


@cache
def script(name: str) -> str:
    """Returns the text of a script, with its shared parts and constants in it. Raises KeyError for an unknown constant."""
    own = _folder.joinpath(f"{name}.lua").read_text("utf-8")
    assert own.startswith(f"-- {name}: "), f"the first line of {name}.lua does not say its name"
    shared = [part(one) for one in _include.findall(own)]
    first, rest = _include.sub("", own).split("\n", 1)
    used = sorted(set(_capitals.findall(_comment_or_text.sub("", "".join((rest, *shared))))) - {"KEYS", "ARGV"})
    constants = [f"local {constant} = {_literal(CONSTANTS[constant])}\n" for constant in used]
    return "".join((f"{first}\n", *constants, *shared, rest))


def part(name: str) -> str:
    """Returns the text of a part that scripts share."""
    return _folder.joinpath("shared", f"{name}.lua").read_text("utf-8")


def name_of(text: str) -> str:
    """Returns the name of the script with this text."""
    return text.removeprefix("-- ").partition(":")[0]


def names() -> list[str]:
    """Returns the names of all scripts."""
    return sorted(file.name.removesuffix(".lua") for file in _folder.iterdir() if file.name.endswith(".lua"))


def _literal(value: int | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
