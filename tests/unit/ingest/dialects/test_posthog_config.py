"""ingest/dialects/posthog_config.py: what PostHog's clients ask for before they send events."""

from __future__ import annotations

import msgspec
import pytest

from ingest.dialects.contract import Answer, Decoded
from ingest.dialects.event import Limits
from ingest.dialects.posthog_config import Config, ConfigScript, Flags, Static
from ingest.dialects.request import FieldReader

NOTHING = Decoded([], False, 0)


def answered(dialect: type[Config | ConfigScript | Flags | Static], target: bytes, method: str = "GET") -> Answer:
    return dialect(Limits()).answer(FieldReader().head(method, target, ()), NOTHING, [])


def test_the_configuration_lets_a_browser_compress_and_ask_for_no_flags() -> None:
    """It names gzip, and says that there are neither flags nor recordings."""
    answer = answered(Config, b"/array/phc_w1/config")
    said = msgspec.json.decode(answer.body)
    assert answer.status == 200
    assert "gzip-js" in said["supportedCompression"]
    assert (said["hasFeatureFlags"], said["sessionRecording"]) == (False, False)


def test_the_script_leaves_the_same_configuration_under_the_key() -> None:
    """posthog-js looks for it there when the script was loaded."""
    answer = answered(ConfigScript, b"/array/phc_w1/config.js")
    plain = msgspec.json.decode(answered(Config, b"/array/phc_w1/config").body)
    begin, end = b"[t]={config:", b",siteApps:[]}})(window,"
    config = answer.body.partition(begin)[2].partition(end)[0]
    assert msgspec.json.decode(config) == plain
    assert answer.body.endswith(b'(window,"phc_w1")')
    assert answer.headers[0] == (b"content-type", b"application/javascript")


@pytest.mark.parametrize("path", [b"/array/a'b/config.js", b"/array//config.js", b"/array/%22/config.js"])
def test_a_key_that_is_none_gets_no_script(path: bytes) -> None:
    """Nothing that a client wrote stands in a script, unless it is a key."""
    assert answered(ConfigScript, path).status == 404


def test_no_flag_is_set_for_new_and_old_clients() -> None:
    """/decide of older ones has the configuration in the same answer."""
    said = msgspec.json.decode(answered(Flags, b"/decide/?v=3", "POST").body)
    assert (said["flags"], said["featureFlags"], said["errorsWhileComputingFlags"]) == ({}, {}, False)
    assert said["supportedCompression"] == ["gzip", "gzip-js"]


def test_no_script_of_posthogs_is_there() -> None:
    """Only that of surveys is, and empty, so that a page has no error for it."""
    assert answered(Static, b"/static/array.js").status == 404
    empty = answered(Static, b"/static/1.449.2/surveys.js")
    assert (empty.status, empty.body) == (200, b"")
