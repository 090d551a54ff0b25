"""Answers what PostHog's clients ask for before they send events: their configuration, and feature flags.

There are none of what a project of PostHog could switch on, so both answers are constant, and say what works here: gzip.
posthog-js works without them too, but then it does not compress, and waits for flags.

Not promised: PostHog's own scripts (array.js, and what is below /static). Take posthog-js from the package.
"""

from __future__ import annotations

import re

import msgspec

from ingest.dialects.contract import Answer, Decoded, Endpoint, Fates
from ingest.dialects.request import Head

JSON_TYPE = (b"content-type", b"application/json")
SCRIPT_TYPE = (b"content-type", b"application/javascript")
CACHED = (b"cache-control", b"public, max-age=300")
CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "hasFeatureFlags": False,
    "autocapture_opt_out": False,
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "defaultIdentifiedOnly": True,
    "heatmaps": False,
    "sessionRecording": False,
    "surveys": False,
    "siteApps": [],
    "toolbarParams": {},
    "isAuthenticated": False,
    "analytics": {"endpoint": "/i/v0/e/"},
}
FLAGS = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
    "requestId": "00000000-0000-4000-8000-000000000000",
    "config": {"enable_collect_everything": True},
    "editorParams": {},
    **CONFIG,
}
_encode = msgspec.json.Encoder().encode
_token = re.compile(rb"/array/([A-Za-z0-9_.-]{1,200})/config\.js").fullmatch


class Config(Endpoint):
    """Answers `GET /array/TOKEN/config`."""

    name = "posthog"
    route = "/array/*/config"
    JSON = Answer(200, (JSON_TYPE, CACHED), _encode(CONFIG))

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self.JSON


class ConfigScript(Endpoint):
    """Answers `GET /array/TOKEN/config.js`, which leaves the same configuration where posthog-js looks for it."""

    name = "posthog"
    route = "/array/*/config.js"

    def answer(self, head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        token = _token(head.path)
        if token is None:
            return Answer(404, (), b"")
        script = b"(function(w,t){(w._POSTHOG_REMOTE_CONFIG=w._POSTHOG_REMOTE_CONFIG||{})[t]={config:%b,siteApps:[]}})(window,%b)"
        return Answer(200, (SCRIPT_TYPE, CACHED), script % (_encode(CONFIG), _encode(token[1].decode())))


class Static(Endpoint):
    """Answers `GET /static/*`: no script of PostHog's is there.

    posthog-js asks for that of surveys even where the configuration says that there are none, so it gets an empty one to keep.
    """

    name = "posthog"
    route = "/static/*"
    EMPTY = Answer(200, (SCRIPT_TYPE, (b"cache-control", b"public, max-age=86400")), b"")

    def answer(self, head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self.EMPTY if head.path.endswith(b"/surveys.js") else Answer(404, (), b"")


class Flags(Endpoint):
    """Answers `POST /flags/?v=2`, and `POST /decide/?v=3` of older clients: no flag is set."""

    name = "posthog"
    route = "/flags/"
    NONE = Answer(200, (JSON_TYPE,), _encode(FLAGS))

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self.NONE
