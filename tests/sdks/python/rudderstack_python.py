"""Makes a visit with rudder-sdk-python, as a server that tracks what its users do."""

from rudderstack.analytics.client import Client  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    client = Client(key, host=url, upload_interval=0.3)
    client.page("user-42", "Docs", "Pricing", {"url": page, "referrer": "http://news.test/"})
    client.track("user-42", "Order Completed", {"order_id": "o-1", "revenue": 49.9, "currency": "EUR"})
    client.identify("user-42", {"email": "a@b.test"}, anonymous_id="earlier")
    client.alias("earlier", "user-42")
    client.flush()
    client.join()
