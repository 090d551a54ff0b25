"""Makes a visit with snowplow-tracker, as a server that sends each event by itself."""

import threading
from urllib.parse import urlsplit

from snowplow_tracker import (  # type: ignore[import-not-found]  # it is in .venv/sdks alone
    Emitter,
    PageView,
    SelfDescribing,
    SelfDescribingJson,
    StructuredEvent,
    Subject,
    Tracker,
)

EVENTS, SECONDS = 3, 40


def visit(url: str, site: str, key: str, page: str) -> None:
    where = urlsplit(url)
    sent: list[object] = []
    are_all = threading.Event()  # what was refused is sent again by a timer, which ends with the process

    def succeeded(events: list[object]) -> None:
        sent.extend(events)
        if len(sent) >= EVENTS:
            are_all.set()

    emitter = Emitter(
        where.hostname, protocol="http", port=where.port, method="post", batch_size=1, on_success=succeeded
    )
    subject = Subject()
    subject.set_user_id("user-42")
    tracker = Tracker("sp", emitters=emitter, subject=subject, app_id=key, encode_base64=False)
    tracker.track(PageView(page_url=page, page_title="Pricing", referrer="http://news.test/"))
    tracker.track(StructuredEvent("shop", "add", label="A-1", value=2))
    tracker.track(SelfDescribing(SelfDescribingJson("iglu:com.acme/sign_up/jsonschema/1-0-0", {"plan": "pro"})))
    are_all.wait(SECONDS)
