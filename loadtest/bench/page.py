"""Writes figures into pages: what stands between two marks is made from the result JSON, the rest is prose.

    <!-- NAME: made by ... -->
    made
    <!-- /NAME -->

`python -m loadtest.bench.capacity result.json` is the command; a test holds the pages to it.
"""

from __future__ import annotations

import re
from typing import Any

from loadtest.bench.figures import VERDICTS, markdown, notes, table

# What a page needs of a result; the rest stays in the file that the bench wrote.
KEPT = ("version", "kind", "at", "command", "revision", "machine", "versions", "took_s", "figures")


def replaced(page: str, name: str, made: str) -> str:
    """The page with this between the marks. Raises ValueError when they are not there once."""
    pattern = re.compile(rf"(<!-- {re.escape(name)}:[^>]*-->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"the page must have the marks of {name} once")
    return pattern.sub(lambda match: f"{match.group(1)}{made}\n{match.group(2)}", page)


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """A result as it is committed. Raises ValueError when it is none of the bench's."""
    if found.get("kind") != "bench":
        raise ValueError("not a result of `make bench`")
    return {name: found[name] for name in KEPT}


def origin(found: dict[str, Any]) -> str:
    """When, where and how the figures were made."""
    where = found["machine"]
    load = f", load average before {where['load_before'][0]}" if where["load_before"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"Measured {found['at']} at revision `{found['revision'] or 'unknown'}` with `{found['command']}`"
        f" in {found['took_s']:.0f} s\non {where['cpu']}, two of {where['cores']} cores{load}.\n"
        f"{where['system']}, Python {where['python']}, {versions}."
    )


def targets(found: dict[str, Any]) -> str:
    """The table of docs/performance.md."""
    return "\n\n".join((markdown(table(found["figures"])), "\n".join(notes(found["figures"])), origin(found)))


def missed(found: dict[str, Any]) -> list[str]:
    """Names of the figures whose goal is not met: the page gives a reason for each."""
    return [figure["name"] for figure in found["figures"] if VERDICTS[figure["verdict"]] != VERDICTS["goal"]]
