"""Tools say what the headers of the catalogue's files say, and ask for nothing that follows from something else."""

from __future__ import annotations

import pytest

from dashboard.ask.files import catalogue, query_of
from dashboard.mcp.arguments import FILTERS, PERIOD_PARAMETERS, SHARED, own, tools

TOOLS = {tool.name: tool for tool in tools(catalogue())}


@pytest.mark.parametrize("name", catalogue())
def test_a_tool_is_what_its_file_says(name: str) -> None:
    """Its title, what it answers and leaves out, and every column with its type."""
    query, tool = query_of(name), TOOLS[name]
    assert tool.title == query.title
    for said in (query.answers, query.leaves_out, *(f"{column} {kind}" for column, kind in query.columns.items())):
        assert said in tool.description
    properties = tool.schema["properties"]
    if not tool.is_of_all:
        assert not PERIOD_PARAMETERS & set(properties)
    assert {"numbers", "now"}.isdisjoint(properties)
    assert set(own(query)) <= set(properties) & set(tool.schema["required"])
    assert ("period" in properties) == (bool(PERIOD_PARAMETERS & set(query.parameters)) and not tool.is_of_all)
    assert ("filters" in properties) == (query.filters != "none")
    assert tool.is_of_all == ("site" not in query.parameters)


def test_types_are_those_of_the_headers() -> None:
    """A whole number, a date and a text, each as JSON schema has it."""
    assert TOOLS["funnel"].schema["properties"]["window_ms"] == {"type": "integer", "minimum": 0}
    assert TOOLS["retention"].schema["properties"]["unit"] == {"type": "string"}
    assert TOOLS["sites"].schema["properties"]["since"] == {"type": "string", "format": "date"}
    assert TOOLS["funnel"].schema["properties"]["steps"]["minItems"] == 2


def test_nothing_is_described_twice() -> None:
    """What every question has is one description, wherever it stands."""
    for tool in TOOLS.values():
        for name, schema in tool.schema["properties"].items():
            if name in SHARED:
                assert schema in (SHARED[name], FILTERS), (tool.name, name)
    assert sum(SHARED["filters"]["description"] in str(tool.schema) for tool in TOOLS.values()) == 1
