"""Tells apart the families whose clients send to the same path, by the head of a request and by what its body begins with.

    /batch, /batch/             Amplitude calls the array of its events `events`, PostHog `batch`
    /track, /engage, also with a slash at the end    PostHog says something that Mixpanel's clients never say: a project key
                                (phc_…), `api_key`, `batch`, `$lib`, `$session_id` or `$window_id` beside no `mp_lib`; or a
                                query with `ver`, `compression`, `retry_count` or `sent_at`. One with `verbose` is Mixpanel's
    /track, /api/track          OpenPanel's clients send the header `openpanel-client-id`; else /api/track is Rybbit's

A request that fits neither rule goes to the first dialect of its row in table.py. Forms are decoded, and base64 within them.

Not promised: that a body without a sign of its family finds it. It is refused then, whichever of the two answers.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

from ingest.dialects.request import Head

_base64 = re.compile(rb"[A-Za-z0-9+/_-]+").match
_posthog = re.compile(rb'"phc_|"(?:api_key|\$lib|\$session_id|\$window_id|batch)" ?:').search
_posthog_query = re.compile(rb"(?:^|&)(?:compression|ver|retry_count|sent_at)=").search
_data = re.compile(rb"(?:^|&)data=([^&]*)").search


def is_amplitude(_head: Head, begins: bytes) -> bool:
    """Tells Amplitude's batches from PostHog's."""
    events, batch = begins.find(b'"events"'), begins.find(b'"batch"')
    return events >= 0 and (batch < 0 or events < batch)


def is_openpanel(head: Head, _begins: bytes) -> bool:
    """Tells requests of OpenPanel from those of Mixpanel, PostHog and Rybbit."""
    return b"openpanel-client-id" in head.fields


def is_posthog(head: Head, begins: bytes) -> bool:
    """Tells events and profiles of PostHog from those of Mixpanel."""
    if head.query:
        if b"verbose=" in head.query:
            return False
        if _posthog_query(head.query):
            return True
    if begins[:1] not in {b"{", b"["}:
        found = _data(begins) or _data(head.query)
        begins = _plain(found[1] if found else begins)
    return b'"mp_lib"' not in begins and _posthog(begins) is not None


def _plain(data: bytes) -> bytes:
    """Returns the beginning of JSON, out of base64 if it is in it."""
    said = unquote_to_bytes(data.replace(b"+", b"%2B")).strip()
    if said[:1] in {b"{", b"["}:
        return said
    coded = _base64(said)
    if coded is None:
        return b""
    whole = coded[0][: len(coded[0]) // 4 * 4].replace(b"-", b"+").replace(b"_", b"/")
    try:
        return binascii.a2b_base64(whole)
    except binascii.Error:
        return b""
