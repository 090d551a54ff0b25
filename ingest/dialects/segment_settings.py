"""Answers the settings that analytics-next asks for: without them it sends nothing.

They say that there is no other receiver, and where events go: to the host and by the protocol by which the browser came. The
protocol is that of `X-Forwarded-Proto`, or of the page, because a page of https can only reach a server by https.

Not promised: an installation below a path of its host. There a page gives `apiHost` itself, which comes before the settings.
"""

from __future__ import annotations

import re

import msgspec

from ingest.dialects.contract import Answer, Decoded, Endpoint, Fates
from ingest.dialects.reading import Object
from ingest.dialects.request import Head

JSON_TYPE = (b"content-type", b"application/json")
CACHED = (b"cache-control", b"private, max-age=120")
_host = re.compile(rb"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?").fullmatch
_path = re.compile(rb"/v1/projects/([^/]{1,200})/settings").fullmatch
_encode = msgspec.json.Encoder().encode


class Settings(Endpoint):
    """Answers `GET /v1/projects/KEY/settings`.

    The client loads scripts for a second receiver, whichever it is. So customer.io's, which asks for the same path and would want
    its own, has to be given its settings by the page.
    """

    name = "segment"
    route = "/v1/projects/*/settings"

    def answer(self, head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        host, asked = head.fields.get(b"host", b""), _path(head.path)
        if asked is None or not _host(host):
            return Answer(400, (), b"")
        receiver: Object = {
            "apiKey": asked[1].decode("utf-8", "replace"),
            "apiHost": host.decode("ascii") + "/v1",
            "protocol": _protocol(head),
            "unbundledIntegrations": [],
            "addBundledMetadata": True,
            "maybeBundledConfigIds": {},
            "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
        }
        settings = {
            "integrations": {"Segment.io": receiver},
            "plan": {
                "track": {"__default": {"enabled": True, "integrations": {}}},
                "identify": {"__default": {"enabled": True}},
                "group": {"__default": {"enabled": True}},
            },
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }
        return Answer(200, (JSON_TYPE, CACHED), _encode(settings))


def _protocol(head: Head) -> str:
    """Returns by which protocol the browser came."""
    forwarded = head.fields.get(b"x-forwarded-proto", b"").partition(b",")[0].strip().lower()
    if forwarded in {b"http", b"https"}:
        return forwarded.decode()
    page = head.fields.get(b"origin") or head.fields.get(b"referer", b"")
    return "https" if page.startswith(b"https:") else "http"
