"""Why an event is not taken: the closed list of reasons to reject one, and to shed one.

A rejected event is its client's fault, and the same request would be rejected again. A shed event is right, and its
client is told to try again later.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Names why a request or an event was rejected. The list is closed: a new reason is a visible change."""

    MALFORMED_REQUEST = "malformed_request"
    MALFORMED_JSON = "malformed_json"
    INVALID_UTF8 = "invalid_utf8"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"
    INVALID_FIELD = "invalid_field"
    EMPTY_BODY = "empty_body"
    EMPTY_ARRAY = "empty_array"
    TOO_MANY_EVENTS = "too_many_events"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INCOMPLETE = "body_incomplete"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    CORRUPT_ENCODING = "corrupt_encoding"
    EVENT_TOO_LARGE = "event_too_large"
    MISSING_URL = "missing_url"
    INVALID_URL = "invalid_url"
    URL_TOO_LONG = "url_too_long"
    INVALID_NAME = "invalid_name"
    NAME_TOO_LONG = "name_too_long"
    FIELD_TOO_LONG = "field_too_long"
    INVALID_TIME = "invalid_time"
    TOO_OLD = "too_old"
    INVALID_REVENUE = "invalid_revenue"
    UNKNOWN_SITE = "unknown_site"
    PRIVACY = "privacy"
    EXCLUDED = "excluded"
    SERVER_ERROR = "server_error"


EXPLAINED: dict[Reason, str] = {
    Reason.MALFORMED_REQUEST: "The request is not valid HTTP/1.1.",
    Reason.MALFORMED_JSON: "The body is not valid JSON.",
    Reason.INVALID_UTF8: "The body is not valid UTF-8.",
    Reason.TOO_DEEP: "The JSON is nested too deeply.",
    Reason.NOT_AN_EVENT: "An event is a JSON object; a body is one object or an array of objects.",
    Reason.INVALID_FIELD: "A field has the wrong type; docs/events.md has the types.",
    Reason.EMPTY_BODY: "The body is empty.",
    Reason.EMPTY_ARRAY: "The array holds no event.",
    Reason.TOO_MANY_EVENTS: "The array holds more events than one request may carry.",
    Reason.BODY_TOO_LARGE: "The body is larger than the limit, before or after decompression.",
    Reason.BODY_INCOMPLETE: "The body ended, or its time ran out, before its declared length.",
    Reason.UNSUPPORTED_ENCODING: "Content-Encoding may be gzip, deflate or zstd.",
    Reason.UNSUPPORTED_MEDIA_TYPE: "Content-Type may be application/json or text/plain.",
    Reason.CORRUPT_ENCODING: "The body does not decompress with its Content-Encoding.",
    Reason.EVENT_TOO_LARGE: "The event is larger than one event may be.",
    Reason.MISSING_URL: "The event has neither a url nor a site.",
    Reason.INVALID_URL: "The url is not absolute (scheme://host/...), or has no host and the event no site.",
    Reason.URL_TOO_LONG: "The url is longer than the limit, without what its site does not keep of it.",
    Reason.INVALID_NAME: "The name is empty.",
    Reason.NAME_TOO_LONG: "The name is longer than the limit.",
    Reason.FIELD_TOO_LONG: "A language, id, user, visitor or session is longer than the limit.",
    Reason.INVALID_TIME: "ts is neither ISO 8601 nor milliseconds since 1970.",
    Reason.TOO_OLD: "ts is older than the oldest event accepted.",
    Reason.INVALID_REVENUE: "revenue needs a decimal number below 10^12, with a point and no other sign between its"
    " digits, and a three-letter currency.",
    Reason.UNKNOWN_SITE: "The site is not registered here: `forebay site add`.",
    Reason.PRIVACY: "The site drops events of browsers that send Sec-GPC or DNT.",
    Reason.EXCLUDED: "The site leaves this out: `forebay site list` shows its rules.",
    Reason.SERVER_ERROR: "A fault on our side; it is logged and counted.",
}

# What a site does not want although nobody did anything wrong: a page of it should log no error.
UNWANTED = frozenset((Reason.PRIVACY, Reason.EXCLUDED))


class Shed(StrEnum):
    """Names why an event was not taken although nothing is wrong with it (503, Retry-After)."""

    REDIS = "redis"
    QUEUE_FULL = "queue_full"
    DRAINING = "draining"
    SPOOL_FULL = "spool_full"
    MEMORY = "memory"
