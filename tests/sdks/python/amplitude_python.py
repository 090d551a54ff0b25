"""Makes a visit with amplitude-analytics, and waits until each event was sent, or was given up."""

import time

from amplitude import (  # type: ignore[import-not-found]  # it is in .venv/sdks alone
    Amplitude,
    BaseEvent,
    EventOptions,
    Identify,
    Revenue,
)

# Without a word it loses a batch whose answer it can't read, so there is nothing to wait for then.
SECONDS_MAX = 40


def visit(url: str, site: str, key: str, page: str) -> None:
    ended: list[int] = []
    client = Amplitude(key)
    client.configuration.server_url = f"{url}/2/httpapi"
    client.configuration.flush_interval_millis = 200
    client.configuration.callback = lambda _event, code, _message: ended.append(code)
    who = {"user_id": "user-42", "device_id": "server-1"}
    client.track(BaseEvent("Signup", event_properties={"plan": "pro"}, **who))
    client.revenue(Revenue(price=9.99, quantity=3, currency="EUR"), EventOptions(**who))
    known = Identify()
    known.set("color", "red")
    client.identify(known, EventOptions(**who))
    client.set_group("org", "acme", EventOptions(**who))
    deadline = time.monotonic() + SECONDS_MAX
    while len(ended) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
