"""Reads the settings of one process from its environment and a TOML file, and reports all faults at once.

A field `redis_url` of the table `ingest` is read from FOREBAY_REDIS_URL, else from FOREBAY_REDIS_URL_FILE (a path: for
secrets), else from the `[ingest]` table of the TOML file that FOREBAY_CONFIG names, else from that file's top level.
The fields are declared in schemas/settings.py.

The environment is given by the caller, because only a process's first module may read it (CONTRIBUTING.md).
"""

from __future__ import annotations

import difflib
import ssl
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.redis.address import files
from schemas.settings import NAMES, OTHER_NAMES, PAGE, PREFIX, TABLES

EXIT_SETTINGS = 2  # how a process ends whose settings can't be used: starting it again would not help
SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsError(Exception):
    """Is raised when settings can't be used. Its text lists every fault, one a line."""


def load(kind: type[SettingsT], environment: Mapping[str, str], given: Mapping[str, object] | None = None) -> SettingsT:
    """Returns the settings of a process. Raises SettingsError.

    `given` is what the command line says, by the names of fields: it wins, unless it is None. Other names are ignored.
    """
    said = {
        f"{PREFIX}{field.name.upper()}": str(given[field.name])
        for field in msgspec.structs.fields(kind)
        if given and given.get(field.name) is not None
    }
    # Said as if by the environment: so a secret's file is not asked for what the command line has said.
    return read(kind, environment={**environment, **said}, toml=_toml(environment), table=_table_of(kind))


def read(kind: type[SettingsT], *, environment: Mapping[str, str], toml: Mapping[str, Any], table: str) -> SettingsT:
    """Returns the settings that these two sources make; raises SettingsError with every fault and its documentation."""
    section = toml.get(table, {})
    own = section if isinstance(section, dict) else {}
    merged = {**{k: v for k, v in toml.items() if not isinstance(v, dict)}, **own}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in msgspec.structs.fields(kind):
        name = PREFIX + field.name.upper()
        try:
            found = _find(name, field.name, environment, merged)
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
            made = kind(**values)
            _check_files(getattr(made, "redis_url", None))
        except (TypeError, ValueError, OSError) as error:
            faults.append(f"{error} (see {PAGE})")
        else:
            return made
    raise SettingsError("\n".join(faults))


def _check_files(url: str | None) -> None:
    """Raises OSError or ValueError where the files of TLS in a URL of Redis can't be used: a client would try for ever."""
    ca, cert, key = files(url or "")
    if ca or cert:
        context = ssl.create_default_context()
        if ca:
            _check_file(ca, lambda: context.load_verify_locations(ca))
        if cert:
            _check_file(f"{cert} and {key or 'no key'}", lambda: context.load_cert_chain(cert, key or None))


def _check_file(name: str, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one, and names no file
        raise ValueError(f"{PREFIX}REDIS_URL: {name}: {error.strerror or error}") from error


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Returns a line for each variable with our prefix that no process reads, with the nearest name that one does."""
    lines = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name.removesuffix("_file") not in NAMES and name not in NAMES | OTHER_NAMES:
            near = difflib.get_close_matches(name.removesuffix("_file"), NAMES, 1)
            hint = f"; {PREFIX}{near[0].upper()}?" if near else ""
            lines.append(f"{variable}: no such setting{hint} (see {PAGE})")
    return lines


def _toml(environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the file says that FOREBAY_CONFIG names; {} without one. Raises SettingsError."""
    name = f"{PREFIX}CONFIG"
    if not (path := environment.get(name)):
        return {}
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}: {error} (see {PAGE})") from error


def _table_of(kind: type[msgspec.Struct]) -> str:
    return next(table for table, one in TABLES.items() if one is kind)


def _find(name: str, field: str, environment: Mapping[str, str], toml: Mapping[str, Any]) -> Any:
    if name in environment:
        return environment[name]
    if name + "_FILE" in environment:
        return Path(environment[name + "_FILE"]).read_text("utf-8").strip()
    return toml.get(field)


def _split(text: str, kind: Any) -> str | list[str]:
    """Returns the parts of a comma list where the field is a tuple or list; else the text itself."""
    if getattr(kind, "__origin__", None) in {tuple, list}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
