"""Stands between the dashboard and ClickHouse, and writes down each statement: its SQL, how long it took, how many rows it read."""

from __future__ import annotations

import json
import threading
import time
from email.parser import BytesParser
from email.policy import HTTP
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

PASSED_ON = ("Content-Type", "X-ClickHouse-User", "X-ClickHouse-Key")
SECONDS_MAX = 60


class Seen(NamedTuple):
    """Holds a statement that passed."""

    sql: str
    ms: float
    rows: int


class Relay:
    """Listens on a free port of loopback until it is closed."""

    def __init__(self, clickhouse_url: str) -> None:
        self.seen: list[Seen] = []
        parts = urlsplit(clickhouse_url)
        host, port, seen = parts.hostname or "127.0.0.1", parts.port, self.seen

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Passes a request on, and the answer back."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: value for name in PASSED_ON if (value := self.headers.get(name))}
                connection = HTTPConnection(host, port, timeout=SECONDS_MAX)
                began = time.perf_counter()
                connection.request("POST", self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                took_ms = 1000 * (time.perf_counter() - began)
                connection.close()
                seen.append(Seen(_sql(headers.get("Content-Type", ""), body), took_ms, _rows(content)))
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _sql(kind: str, body: bytes) -> str:
    """Returns the field `query` of a form."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    for part in message.iter_parts():
        if part.get_param("name", header="content-disposition") == "query":
            value = part.get_payload(decode=True)
            return value.decode() if isinstance(value, bytes) else ""
    return ""


def _rows(content: bytes) -> int:
    """Returns how many rows an answer says that it read; 0 for an error."""
    try:
        return int(json.loads(content)["statistics"]["rows_read"])
    except (ValueError, LookupError, TypeError):
        return 0
