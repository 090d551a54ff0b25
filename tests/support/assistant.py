"""Asks the dashboard as an assistant does: by the protocol's own client, over HTTP or over a program's standard input and output."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent


class Said(NamedTuple):
    """Is the answer to a call: its text, its columns and rows where it has some, and whether it says that it can't be answered."""

    text: str
    columns: list[str]
    rows: list[list[Any]]
    is_error: bool


class Assistant:
    """Calls tools."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def tools(self) -> dict[str, Any]:
        """Returns the tools that are offered, by name."""
        return {tool.name: tool for tool in (await self.client.list_tools()).tools}

    async def call(self, tool: str, /, **arguments: Any) -> Said:
        """Returns what a tool answers."""
        answer = await self.client.call_tool(tool, arguments)
        (content,) = answer.content
        assert isinstance(content, TextContent)
        return read(content.text, is_error=answer.is_error)


def read(text: str, *, is_error: bool = False) -> Said:
    """Returns an answer of its text."""
    lines = text.splitlines()
    columns = [json.loads(line.removeprefix("columns: ")) for line in lines if line.startswith("columns: ")]
    return Said(
        text, columns[0] if columns else [], [json.loads(line) for line in lines if line.startswith("[")], is_error
    )


@asynccontextmanager
async def over_http(url: str, key: str = "") -> AsyncIterator[Assistant]:
    """Gives an assistant that speaks HTTP, with a key if there is one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield Assistant(client)
