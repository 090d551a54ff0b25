"""Finds countries in what the five regional registries say of whom they gave addresses to: `iptocc`, a library with its data.

It is what is left where nobody put anything better: it comes with pip, needs no account and no network, and is as old as
the library's version. A network that was given to a company in one country and is used in another counts for the first.

Not promised: regions and cities, or that the library is there. Its wheels are for glibc on common processors alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from ingest.geography.where import NOWHERE, REGISTRIES, Unusable, Where, require_probes
from schemas.countries import country_code


class Registries:
    """Looks addresses up in the library."""

    name = REGISTRIES

    def __init__(self) -> None:
        """Raises Unusable if the library is not installed here."""
        try:
            import iptocc  # not on every platform
        except ImportError as error:
            raise Unusable("iptocc is not installed") from error
        self._code: Callable[[str], str | None] = iptocc.country_code
        self._places: dict[str, Where] = {}
        self.edition = f"iptocc {version('iptocc')}"
        require_probes(self, self.edition)

    def of(self, address: str) -> Where:
        found = self._code(address)
        if found is None:
            return NOWHERE
        place = self._places.get(found)
        if place is None:
            code = country_code(found)
            place = self._places[found] = Where(code, "", "") if code else NOWHERE
        return place
