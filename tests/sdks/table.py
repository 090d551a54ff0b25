"""Writes the table of tested clients in docs/compatibility.md, of the declarations and of the lock files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.sdks.declared import Sdk

PLACES = {"browser": "a browser", "node": "Node.js", "python": "Python"}
HEAD = "| of | client | version | in | comes back |\n|---|---|---|---|---|\n"
MARKED = re.compile(r"(<!-- tested:[^>]*-->\n).*?(<!-- /tested -->)", re.DOTALL)


def table(sdks: Iterable[Sdk], versions: Mapping[str, str]) -> str:
    """Returns the table: a row for each package of each SDK. An alias of a package (`posthog-js-1.96`) has the package's name."""
    rows = {
        (
            sdk.of,
            re.sub(r"-[0-9.]+$", "", package),
            versions[package],
            PLACES[sdk.runs_in],
            "yes" if sdk.comes_back else "no",
        )
        for sdk in sdks
        for package in sdk.packages
    }
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in sorted(rows))


def written(page: str, sdks: Iterable[Sdk], versions: Mapping[str, str]) -> str:
    """Returns the page with the table of now."""
    return MARKED.sub(lambda found: found[1] + table(sdks, versions) + found[2], page)


def page_of(checkout: Path) -> Path:
    return checkout / "docs" / "compatibility.md"
