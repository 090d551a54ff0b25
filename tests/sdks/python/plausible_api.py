"""Makes a visit through Plausible's events API, as its documentation tells people to do with any client of HTTP."""

import contextlib

import requests  # type: ignore[import-untyped]  # its stubs are a package of their own


def visit(url: str, site: str, key: str, page: str) -> None:
    events = (
        {"name": "pageview", "url": page, "domain": site, "referrer": "http://news.test/"},
        {"name": "Signup", "url": "app://localhost/login", "domain": site, "props": {"plan": "pro", "seats": 3}},
        {"name": "Purchase", "url": page, "domain": site, "revenue": {"amount": "12.50", "currency": "USD"}},
    )
    for event in events:
        with contextlib.suppress(requests.RequestException):
            requests.post(f"{url}/api/event", json=event, headers={"X-Forwarded-For": "203.0.113.7"}, timeout=30)
