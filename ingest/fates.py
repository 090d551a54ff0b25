"""Why an event is not taken: the closed list of reasons to reject one, and to shed one.

A rejected event is its client's fault, and the same request would be rejected again; only what was over a limit is taken later. A shed event is right, and its
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
    WRONG_KEY = "wrong_key"
    REVENUE_NEEDS_KEY = "revenue_needs_key"
    RATE_LIMITED = "rate_limited"
    PRIVACY = "privacy"
    EXCLUDED = "excluded"
    FOREIGN_HOST = "foreign_host"
    SERVER_ERROR = "server_error"


# What a site does not want although nobody did anything wrong: a page of it should log no error.
UNWANTED = frozenset((Reason.PRIVACY, Reason.EXCLUDED, Reason.FOREIGN_HOST))


class Shed(StrEnum):
    """Names why an event was not taken although nothing is wrong with it (503, Retry-After)."""

    REDIS = "redis"
    QUEUE_FULL = "queue_full"
    DRAINING = "draining"
    SPOOL_FULL = "spool_full"
    MEMORY = "memory"
