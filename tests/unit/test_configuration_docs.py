"""docs/configuration.md says what the code does: every setting, its type, default and range, and nothing else."""

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import pytest
from msgspec.structs import FieldInfo

from schemas import settings

TYPES = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
ROW = re.compile(r"^\| (?:<a id=\"(?P<anchor>\w+)\"></a>`(?P<first>\w+)`|\[`(?P<again>\w+)`\]\(#(?P<link>\w+)\)) \|")


# Under which heading the page has the settings of each table.
HEADINGS = {"ingest": "Ingest", "flusher": "Flusher", "dashboard": "Dashboard", "up": "forebay up", "tools": "Tools"}


class Line(NamedTuple):
    """A row of a table, as the page has it."""

    anchor: str | None
    name: str
    environment: str
    type: str
    default: str
    range: str
    text: str


def fields_of(table: str) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(settings.TABLES[table])


def described(field: FieldInfo) -> tuple[str, str, str]:
    """Type, default and range of a setting, in the page's words."""
    kind, bounds, is_optional = field.type, "", False
    if get_origin(kind) in {Union, types.UnionType}:
        kind, is_optional = next(part for part in get_args(kind) if part is not types.NoneType), True
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)
        bounds = range_of(meta)
    if get_origin(kind) is Literal:
        word = ", ".join(get_args(kind))
    else:
        word = "list of text" if get_origin(kind) is tuple else TYPES[kind]
    return word + (", or unset" if is_optional else ""), written(field.default), bounds


def range_of(meta: msgspec.Meta) -> str:
    lower = f"{meta.ge}" if meta.ge is not None else None
    if meta.gt is not None:
        return f"> {meta.gt}, ≤ {meta.le}" if meta.le is not None else f"> {meta.gt}"
    if lower is not None and meta.le is not None:
        return f"{lower} to {meta.le}"
    return f"≥ {lower}" if lower is not None else ""


def written(default: Any) -> str:
    """A default as it would be written in the environment; an empty one as two quotes."""
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    return (",".join(default) if isinstance(default, tuple) else str(default)) or '""'


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lines_of(section: str) -> Iterator[Line]:
    for line in section.splitlines():
        if found := ROW.match(line):
            _, environment, kind, default, _, bounds, text = (cell.strip() for cell in line[1:-1].split(" | "))
            name = found["first"] or found["again"]
            assert found["anchor"] in {None, name}
            assert found["link"] in {None, name}
            yield Line(found["anchor"], name, environment.strip("`"), kind, default.strip("`"), bounds, text)


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    """The page's text."""
    return (checkout / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize("table", HEADINGS)
def test_every_setting_is_described_as_it_is(page: str, table: str) -> None:
    """The table has the fields of the Struct, in its order, with their type, default and range."""
    said = [
        (line.name, line.environment, line.type, line.default, line.range)
        for line in lines_of(sections(page)[HEADINGS[table]])
    ]
    true = [(field.name, f"FOREBAY_{field.name.upper()}", *described(field)) for field in fields_of(table)]
    assert said == true


def test_every_setting_has_one_anchor(page: str) -> None:
    """An error's link leads to one place: the setting's first row."""
    anchors = re.findall(r'<a id="(\w+)">', page)
    names = {field.name for table in HEADINGS for field in fields_of(table)}
    assert sorted(anchors) == sorted(names)


def test_every_first_row_explains(page: str) -> None:
    """A row with the anchor stands first, and says something of its own."""
    seen: set[str] = set()
    for table in HEADINGS:
        for line in lines_of(sections(page)[HEADINGS[table]]):
            assert (line.anchor is not None) == (line.name not in seen), line.name
            assert line.text != "As above." or line.anchor is None, line.name
            seen.add(line.name)


def test_every_settings_struct_has_a_table() -> None:
    """A process that gets settings gets a table of the TOML file, and one of the page."""
    declared = [one for one in vars(settings).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    assert declared == list(settings.TABLES.values())
    assert list(HEADINGS) == list(settings.TABLES)


def test_every_mentioned_variable_exists(page: str) -> None:
    """A FOREBAY_ name anywhere on the page is a setting, its file, or the file of settings."""
    names = {f"FOREBAY_{field.name.upper()}" for table in HEADINGS for field in fields_of(table)}
    allowed = names | {f"{name}_FILE" for name in names} | {"FOREBAY_CONFIG"}
    assert set(re.findall(r"FOREBAY_[A-Z_]*[A-Z]", page)) <= allowed
