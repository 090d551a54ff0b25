"""Makes a visit with umami-analytics, as a server that goes on when an answer is bad."""

import contextlib

import httpx2
import umami  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    umami.set_url_base(url)
    umami.set_website_id(key)
    umami.set_hostname(site)
    failed = contextlib.suppress(httpx2.HTTPError, ValueError)
    with failed:
        umami.new_page_view(
            "Pricing", url="/pricing?utm_source=letter", referrer="http://news.test/", distinct_id="user-42"
        )
    with failed:
        umami.new_event("signup", url="/checkout", custom_data={"plan": "pro", "seats": 3}, ip_address="203.0.113.7")
    with failed:
        umami.new_revenue_event(
            49.9, currency="EUR", event_name="purchase", url="/checkout", custom_data={"sku": "A-1"}
        )
