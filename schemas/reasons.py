"""Explains each reason for which an event is rejected: ingest answers with it, and the dashboard shows it.

The reasons themselves are declared in `ingest/fates.py`; a test holds the two together.
"""

from __future__ import annotations

EXPLAINED: dict[str, str] = {
    "malformed_request": "The request is not valid HTTP/1.1.",
    "malformed_json": "The body is not valid JSON.",
    "invalid_utf8": "The body is not valid UTF-8.",
    "too_deep": "The JSON is nested too deeply.",
    "not_an_event": "An event is a JSON object; a body is one object or an array of objects.",
    "invalid_field": "A field has the wrong type; docs/events.md has the types.",
    "empty_body": "The body is empty.",
    "empty_array": "The array holds no event.",
    "too_many_events": "The array holds more events than one request may carry.",
    "body_too_large": "The body is larger than the limit, before or after decompression.",
    "body_incomplete": "The body ended, or its time ran out, before its declared length.",
    "unsupported_encoding": "Content-Encoding may be gzip, deflate or zstd.",
    "unsupported_media_type": "Content-Type may be application/json or text/plain.",
    "corrupt_encoding": "The body does not decompress with its Content-Encoding.",
    "event_too_large": "The event is larger than one event may be.",
    "missing_url": "The event has neither a url nor a site.",
    "invalid_url": "The url is not absolute (scheme://host/...), or has no host and the event no site.",
    "url_too_long": "The url is longer than the limit, without what its site does not keep of it.",
    "invalid_name": "The name is empty.",
    "name_too_long": "The name is longer than the limit.",
    "field_too_long": "A language, id, user, visitor or session is longer than the limit.",
    "invalid_time": "ts is neither ISO 8601 nor milliseconds since 1970.",
    "too_old": "ts is older than the oldest event accepted.",
    "invalid_revenue": "revenue needs a decimal number below 10^12, with a point and no other sign between its"
    " digits, and a three-letter currency.",
    "unknown_site": "The site is not registered here: `forebay site add`.",
    "wrong_key": "The server key is not one of the site: `forebay key list` shows those with the scope write.",
    "revenue_needs_key": "The site takes revenue only with a server key: `forebay site list` shows revenue_needs_key.",
    "rate_limited": "The site, or this client of it, sends more events than it may: send them again after Retry-After.",
    "privacy": "The site drops events of browsers that send Sec-GPC or DNT.",
    "excluded": "The site leaves this out: `forebay site list` shows its rules.",
    "foreign_host": "The page is on a host that the site does not measure: `forebay site list` shows its hosts.",
    "server_error": "A fault on our side; it is logged and counted.",
}
