"""Settings of one tier: a Struct filled from the environment or one TOML table, all faults at once.

A field `redis_url` of the table `ingest` is read from FOREBAY_REDIS_URL, else from
FOREBAY_REDIS_URL_FILE (a path: for secrets), else from the TOML file's top level or its
`[ingest]` table. The environment wins. Every field is described in docs/configuration.md;
a test keeps that page in step.

Pure: the caller brings the environment, the parsed TOML and a way to read a secret's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

PREFIX = "FOREBAY_"
PAGE = "docs/configuration.md"
SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsError(Exception):
    """The settings can't be used. Its text lists every fault, one a line."""


def read(
    kind: type[SettingsT],
    *,
    environment: Mapping[str, str],
    toml: Mapping[str, Any],
    table: str,
    read_file: Callable[[str], str],
) -> SettingsT:
    """The settings, or SettingsError naming every fault and where its documentation is."""
    section = toml.get(table, {})
    own = section if isinstance(section, dict) else {}
    merged = {**{k: v for k, v in toml.items() if not isinstance(v, dict)}, **own}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(kind):
        name = PREFIX + field.name.upper()
        try:
            found = _find(name, field.name, environment, merged, read_file)
            if found is None:
                continue
            if isinstance(found, str):
                found = _split(found, field.type)
            values[field.name] = msgspec.convert(found, field.type, strict=not isinstance(found, str | list))
        except (msgspec.ValidationError, OSError, UnicodeError) as error:
            faults.append(f"{name}: {error} (see {PAGE}#{field.name})")
    known = {field.name for field in msgspec.structs.fields(kind)}
    faults += [f"[{table}] {key}: no such setting (see {PAGE})" for key in own if key not in known]
    if own is not section:
        faults.append(f"[{table}]: not a table (see {PAGE})")
    if not faults:
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            faults.append(f"{error} (see {PAGE})")
    raise SettingsError("\n".join(faults))


def _find(
    name: str, field: str, environment: Mapping[str, str], toml: Mapping[str, Any], read_file: Callable[[str], str]
) -> Any:
    if name in environment:
        return environment[name]
    if name + "_FILE" in environment:
        return read_file(environment[name + "_FILE"]).strip()
    return toml.get(field)


def _split(text: str, kind: Any) -> str | list[str]:
    """A comma list where the field is a tuple or list; else the text itself."""
    if getattr(kind, "__origin__", None) in {tuple, list}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
