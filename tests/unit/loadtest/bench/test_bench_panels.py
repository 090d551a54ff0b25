"""The benchmark of panels judges them by their bars, and its relay changes nothing that passes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from loadtest.bench import panels
from loadtest.bench.ask import ask
from loadtest.bench.marks import replaced
from loadtest.bench.relay import Relay

MACHINE = {"cpu": "a CPU", "cores": 2, "load_before": [1.5]}
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {p1:String}\r\n'
    b'--x\r\nContent-Disposition: form-data; name="param_p1"\r\n\r\na\r\n--x--\r\n'
)


def one(panel: str, p95_ms: float, bar_ms: int | None) -> dict[str, Any]:
    """Returns the figures of a panel."""
    statements = [{"sql": f"SELECT '{panel}'\n", "rows_read": 1_234}]
    return {
        "panel": panel,
        "bar_ms": bar_ms,
        "fault": "",
        "p50_ms": 5.0,
        "p95_ms": p95_ms,
        "cpu_ms": 4.0,
        "rows_read": 1_234,
        "statements": statements,
        "took_ms": [p95_ms],
    }


@pytest.mark.parametrize(
    ("p95_ms", "bar_ms", "said"),
    [
        (60, 150, "goal met"),
        (60.1, 150, "first bar met"),
        (150, 150, "first bar met"),
        (150.1, 150, "missed"),
        (60, 500, "first bar met"),  # the goal is for a first view alone
        (2_001, 2_000, "missed"),
        (9_999, None, ""),
    ],
)
def test_verdicts(p95_ms: float, bar_ms: int | None, said: str) -> None:
    """The 95th percentile is compared with the bar, and that of a first view's panel with the goal."""
    assert panels.verdict(one("x", p95_ms, bar_ms)) == said


def test_a_panel_without_an_answer_is_in_the_table() -> None:
    """It has no figures, and keeps no bar."""
    fault = {"panel": "sources", "bar_ms": 150, "fault": "the panel sources: 504"}
    assert panels.table([fault])[1] == ["sources", "", "", "", "", "", "150 ms", "no answer"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """Of twenty values the 95th percentile is the nineteenth."""
    values = [float(value) for value in range(20, 0, -1)]
    assert panels.at(0.95, values) == 19
    assert panels.at(0.5, values) == 10
    assert panels.at(0.95, [7.0]) == 7


def test_the_page_has_the_table_and_the_sql_of_the_first_view() -> None:
    """A panel of the first view has its SQL there, others have not; and all of it can be written between the marks."""
    found = {
        "panels": [one("totals", 10, 150), one("cities", 20, None), one("pages", 200, 150)],
        "bytes_per_event": {"events": 15.7, "copies": 9.6},
        "at_once_ms": [30.0, 50.0],
        "rows": 10_000_000,
    }
    text = panels.page_text(found | {"times": 20, "at": "2026-11-29", "revision": "abc", "machine": MACHINE})
    assert "| totals | 5 | 10 | 4 | 1,234 | 1 | 150 ms | goal met |" in text
    assert "| cities | 5 | 20 | 4 | 1,234 | 1 |  |  |" in text
    assert "1 of 2 panels that have a bar keep it. These do not: pages." in text
    assert "`events` takes 15.7 bytes an event here, and copies take 9.6." in text
    assert "30 to 50 ms until its last panel was there" in text
    assert "SELECT 'totals';" in text
    assert "SELECT 'cities'" not in text
    assert text in replaced("<!-- panels: made -->\n<!-- /panels -->", panels.MARK, text)


@pytest.fixture
def clickhouse() -> Iterator[str]:
    """Returns the URL of a server that says what it was asked."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = {"path": self.path, "user": self.headers["X-ClickHouse-User"], "body": body.decode()}
            content = json.dumps(said | {"statistics": {"rows_read": 42}}).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_relay_passes_everything_on_and_writes_down_the_sql(clickhouse: str) -> None:
    """The request and the answer are as they were; the SQL and the rows that were read are known."""
    headers = {"Content-Type": "multipart/form-data; boundary=x", "X-ClickHouse-User": "somebody"}
    with closing(Relay(clickhouse)) as relay:
        status, body = ask(f"{relay.url}/?readonly=2", FORM, headers)
        (seen,) = relay.seen
    assert status == 201
    assert json.loads(body) == {
        "path": "/?readonly=2",
        "user": "somebody",
        "body": FORM.decode(),
        "statistics": {"rows_read": 42},
    }
    assert (seen.sql, seen.rows) == ("SELECT {p1:String}", 42)
    assert seen.ms > 0
