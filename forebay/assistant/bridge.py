"""Hands what an assistant says on standard input to the dashboard over HTTP, and the answers back, by the protocol's official library.

Not promised: that what the dashboard says when it begins stays so. An assistant asks again for the tools when it wants to know.
"""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from runtime.version import build

SECONDS = 60.0
Context = ServerRequestContext[Any, Any]


class Unreachable(Exception):
    """Says in one sentence why the dashboard can't be asked."""


async def bridge(url: str, key: str) -> None:
    """Answers on standard output what is asked on standard input, until that ends. Raises Unreachable."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http:
        await _check(http, url)
        async with Client(streamable_http_client(url, http_client=http)) as remote:
            server = _server(remote)
            async with stdio_server() as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())


async def _check(http: httpx2.AsyncClient, url: str) -> None:
    """Raises Unreachable where a first request, which any MCP server knows, is not answered 200."""
    ping = {"jsonrpc": "2.0", "id": 0, "method": "ping"}
    accept = {"Accept": "application/json, text/event-stream"}
    try:
        answer = await http.post(url, json=ping, headers=accept)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unreachable(f"the dashboard at {url} does not answer: {error}") from error
    if answer.status_code != 200:
        raise Unreachable(f"the dashboard at {url} says {answer.status_code}: {answer.text.strip()[:300]}")


def _server(remote: Client) -> Server[Any]:
    async def listed(_: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return await remote.list_tools(cursor=params.cursor if params is not None else None)

    async def called(_: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            return await remote.call_tool(params.name, params.arguments or {})
        except (MCPError, httpx2.HTTPError, anyio.BrokenResourceError) as error:
            text = f"The dashboard does not answer: {error}"
            return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)

    return Server(
        "forebay",
        version=build()["version"],
        instructions=remote.instructions,
        on_list_tools=listed,
        on_call_tool=called,
    )
