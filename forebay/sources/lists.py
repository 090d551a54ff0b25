"""Keeps the lists of sources in ClickHouse: the shipped one, and those of our users, for one site or for every site.

A list is one row of `forebay.source_lists`, so it changes as a whole or not at all, and what is refused leaves the last
one in force. The row with the greatest version counts. The views read `forebay.source_index`, one row that is made of all
lists after each change; if a command is killed between the two, the next `forebay migrate` makes it.

The shipped list is read from schemas/sources. Where two of its files have the same word, own.tsv wins over assistants.tsv, and
that over referrers.tsv, which is generated from a package.

Not promised: that two commands which change one list at the same moment both take effect. Only the later one may.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Mapping
from functools import cache

from forebay.clickhouse import ClickHouse
from forebay.sources.words import Source, both_forms, word_of
from schemas.channel_views import LISTS_MADE_OF, put_in_force
from schemas.channels import KINDS, VERSION
from schemas.sql import literal

SHIPPED, OWN = "shipped", "own"
FILES = ("referrers.tsv", "assistants.tsv", "own.tsv")
Run = Callable[[str], str]


@cache
def shipped() -> Mapping[str, Source]:
    """Returns the list of this release, by word."""
    found: dict[str, Source] = {}
    for name in FILES:
        text = importlib.resources.files("schemas").joinpath("sources", name).read_text("utf-8")
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            word, said, kind, *_ = line.split("\t")
            source = Source(said, "ai" if name == "assistants.tsv" else kind)
            found |= dict.fromkeys(sorted(both_forms(word_of(word))), source)
    return found


def version_in_force(run: Run) -> int:
    """Returns the version of the shipped list that ClickHouse has; 0 for none. Raises ClickHouseError."""
    found = run(f"SELECT max(version) FROM forebay.source_lists WHERE list = {literal(SHIPPED)} FORMAT TabSeparated")
    return int(found.strip() or 0)


def is_behind(run: Run) -> bool:
    """Returns whether there is something to load: a later shipped list, or lists that the views do not read yet."""
    made_of = run(f"SELECT argMax(made_of, version) = ({LISTS_MADE_OF}) FROM forebay.source_index FORMAT TabSeparated")
    return version_in_force(run) < VERSION or made_of.strip() == "0"


def load_shipped(run: Run) -> None:
    """Loads the list of this release unless ClickHouse has it or a later one, and puts the lists in force. Raises ClickHouseError."""
    if version_in_force(run) < VERSION:
        row = row_of(SHIPPED, "", str(VERSION), shipped())
        run(f"INSERT INTO forebay.source_lists (list, site, version, words, names, kinds) {row}")
    run(put_in_force())


def own(clickhouse: ClickHouse) -> dict[str, dict[str, Source]]:
    """Returns our users' own lists by site, '' being every site. Raises ClickHouseError."""
    rows = clickhouse.rows(
        "SELECT site, argMax(l.words, l.version) AS words, argMax(l.names, l.version) AS names,"
        " argMax(arrayMap(k -> toString(k), l.kinds), l.version) AS kinds"
        f" FROM forebay.source_lists AS l WHERE list = {literal(OWN)} GROUP BY site ORDER BY site"
    )
    return {
        row["site"]: {
            word: Source(name, kind) for word, name, kind in zip(row["words"], row["names"], row["kinds"], strict=True)
        }
        for row in rows
        if row["words"]
    }


def save(run: Run, site: str, rows: Mapping[str, Source]) -> None:
    """Puts a list of our user's own in force, in place of the one before it. Raises ClickHouseError."""
    last = f"(SELECT max(version) FROM forebay.source_lists WHERE list = {literal(OWN)})"
    later = run(
        f"SELECT greatest(toUInt64(toUnixTimestamp64Milli(now64(3))), assumeNotNull({last}) + 1) FORMAT TabSeparated"
    )
    row = {
        "list": OWN, "site": site, "version": int(later), "words": [*rows],
        "names": [source.name for source in rows.values()], "kinds": [source.kind for source in rows.values()],
    }  # fmt: skip
    # As data, which may be long: of a statement's SQL ClickHouse reads 256 KiB.
    run(f"INSERT INTO forebay.source_lists ({', '.join(row)}) FORMAT JSONEachRow\n{json.dumps(row)}")
    run(put_in_force())


def row_of(kind: str, site: str, version: str, rows: Mapping[str, Source]) -> str:
    """Returns a SELECT of a list as a row of source_lists; `version` is an expression."""
    numbers = {name: number for number, name in enumerate(KINDS, 1)}
    words = ", ".join(map(literal, rows))
    names = ", ".join(literal(source.name) for source in rows.values())
    kinds = ", ".join(str(numbers[source.kind]) for source in rows.values())
    return (
        f"SELECT {literal(kind)} AS list, {literal(site)} AS site, {version} AS version, CAST([{words}], 'Array(String)') AS words,"
        f" CAST([{names}], 'Array(String)') AS names, CAST([{kinds}], 'Array(UInt8)') AS kinds"
    )
