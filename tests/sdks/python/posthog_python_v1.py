"""Makes the visit of posthog_python.py in Capture V1, which posthog speaks where it is told to."""

import posthog  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    client = posthog.Posthog(key, host=url, flush_interval=0.3, capture_mode="v1", capture_compression="gzip")
    client.capture(
        "$pageview",
        distinct_id="user-42",
        properties={"$current_url": page, "$referrer": "http://news.test/", "$session_id": "s-1"},
    )
    client.capture("purchase", distinct_id="user-42", properties={"revenue": 49.9, "currency": "EUR"})
    client.capture("seen", distinct_id="somebody", properties={"$process_person_profile": False})
    client.shutdown()
