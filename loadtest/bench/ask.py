"""Asks over HTTP the few things that the bench needs: an answer's status, a metric's sum, a number from ClickHouse."""

from __future__ import annotations

import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_S = 0.02


class BenchError(Exception):
    """Reports that a figure can't be measured. Its text says why."""


def ask(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, timeout_s: float = 10
) -> tuple[int, bytes]:
    """Returns status and body of one request, a POST if there is a body to send. Raises BenchError without an answer."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise BenchError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()


def until_answers(url: str, status: int, *, seconds: float, alive: Callable[[], bool]) -> None:
    """Waits for an answer of that status.

    Raises BenchError if the time is up, or `alive` says that the process is gone.
    """
    deadline = time.monotonic() + seconds
    found: object = None
    while time.monotonic() < deadline and alive():
        try:
            found = ask(url, timeout_s=2)[0]
        except BenchError as error:
            found = error
        if found == status:
            return
        time.sleep(POLL_S)
    raise BenchError(f"{url} does not answer {status}: {found}")


def metric(internal_url: str, name: str) -> float:
    """Returns the sum of all samples of a counter or gauge."""
    return summed(ask(f"{internal_url}/metrics")[1].decode(), name)


def summed(exposition: str, name: str) -> float:
    """Returns the sum of a metric's samples in the text format, whatever their labels.

    Longer names that begin alike are other metrics.
    """
    lines = (line for line in exposition.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def number(clickhouse_url: str, sql: str) -> int:
    """Returns the one number that a SELECT answers. Raises BenchError if ClickHouse refuses it."""
    status, body = ask(f"{clickhouse_url}/?{urlencode({'query': sql})}")
    if status != 200:
        raise BenchError(f"ClickHouse: {body.decode('utf-8', 'replace')[:300]}")
    return int(body)
