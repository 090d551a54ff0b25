#!/usr/bin/env python3
"""Speaks as clickhouse-bulk does: takes INSERTs of one row, answers once it has read them, and sends them on each 0.2 s.

It is called with `-config FILE`. With FORGETS in the environment it loses every second row, as a killed one would.
"""

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

rows: list[bytes] = []
config = json.loads(Path(sys.argv[sys.argv.index("-config") + 1]).read_text("utf-8"))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        if head.startswith(b"POST"):
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            rows.append(await reader.readexactly(int(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def send(body: bytes) -> None:
    url = config["clickhouse"]["servers"][0] + "/?query=" + quote("INSERT INTO events FORMAT JSONEachRow")
    urllib.request.urlopen(url, body).close()


async def main() -> None:
    host, _, port = config["listen"].partition(":")
    async with await asyncio.start_server(serve, host, int(port)):
        while True:
            await asyncio.sleep(0.2)
            taken, rows[:] = rows[:: 2 if "FORGETS" in os.environ else 1], []
            if taken:
                await asyncio.to_thread(send, b"\n".join(taken))


asyncio.run(main())
