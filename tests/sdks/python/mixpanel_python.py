"""Makes a visit with mixpanel for Python, as a server that goes on when an answer is bad."""

import contextlib
import json

from mixpanel import Consumer, Mixpanel, MixpanelException  # type: ignore[import-not-found]  # it is in .venv/sdks alone


def visit(url: str, site: str, key: str, page: str) -> None:
    paths = {"events": "/track", "people": "/engage", "groups": "/groups", "import": "/import"}
    consumer = Consumer(**{f"{name}_url": url + path for name, path in paths.items()})
    client = Mixpanel(key, consumer=consumer)
    failed = contextlib.suppress(MixpanelException)
    with failed:
        client.track("user-42", "Signup", {"plan": "pro"})
    with failed:
        client.track("user-42", "Purchase", {"revenue": 29.97, "currency": "EUR"})
    with failed:
        client.people_track_charge("user-42", 12.5)
    with failed:
        found = {"distinct_id": "visitor-1", "alias": "user-42", "token": key}  # `alias` has a consumer of its own
        consumer.send("events", json.dumps({"event": "$create_alias", "properties": found}))
