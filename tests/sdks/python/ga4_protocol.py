"""Makes a visit by the Measurement Protocol, as a server that goes on when an answer is bad."""

import contextlib
import time

import requests  # type: ignore[import-untyped]  # this one is in .venv/sdks, without types


def visit(url: str, site: str, key: str, page: str) -> None:
    started = int(time.time())
    sold = {"transaction_id": "T-1", "currency": "EUR", "session_id": started}
    batches = (
        [
            {"name": "page_view", "params": {"page_location": page, "page_title": "Pricing", "session_id": started}},
            {"name": "session_start", "params": {}},
        ],
        [{"name": "sign_up", "params": {"method": "mail", "session_id": str(started)}}],
        [
            {"name": "purchase", "params": {**sold, "value": 29.97}},
            {"name": "refund", "params": {**sold, "value": 9.99}},
        ],
    )
    for events in batches:
        said = {
            "client_id": "123.456",
            "user_id": "user-42",
            "timestamp_micros": time.time_ns() // 1000,
            "events": events,
        }
        with contextlib.suppress(requests.RequestException):
            requests.post(f"{url}/mp/collect?measurement_id={key}&api_secret=s", json=said, timeout=10)
