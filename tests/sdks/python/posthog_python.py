"""Makes a visit with posthog, as a server that captures what its users do."""

import posthog  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    client = posthog.Posthog(key, host=url, flush_interval=0.3)
    client.capture(
        "$pageview", distinct_id="user-42", properties={"$current_url": page, "$referrer": "http://news.test/"}
    )
    client.capture(
        "purchase",
        distinct_id="user-42",
        properties={"$current_url": page, "sku": "A-1", "revenue": 49.9, "currency": "EUR"},
        groups={"company": "acme"},
    )
    client.set(distinct_id="user-42", properties={"email": "a@b.test"})
    client.alias(previous_id="earlier", distinct_id="user-42")
    client.group_identify("company", "acme", {"size": 9})
    client.shutdown()
