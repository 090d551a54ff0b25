"""Makes a visit with segment-analytics-python, as a server that tracks what its users do."""

from segment.analytics.client import Client  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    client = Client(key, host=url, gzip=True, upload_interval=0.3)
    context = {"page": {"url": page, "referrer": "http://news.test/", "title": "Pricing"}, "locale": "en-GB"}
    client.page("user-42", "Docs", "Pricing", {"plan": "x", "url": page}, context=context)
    client.track("user-42", "Order Completed", {"order_id": "o-1", "revenue": 49.9, "currency": "EUR"}, context=context)
    client.track("user-42", "Order Refunded", {"total": 9.5, "currency": "EUR"})
    client.identify("user-42", {"email": "a@b.test"}, anonymous_id="earlier")
    client.group("user-42", "acme", {"size": 9})
    client.alias("earlier", "user-42")
    client.screen("user-42", "Docs", "Home", {})
    client.flush()
    client.join()
