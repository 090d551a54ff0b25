"""Makes the answers that several families have alike: JSON, with the moment of the next try where a client may come again."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.dialects.contract import RETRY_AFTER, Answer

JSON_TYPE = (b"content-type", b"application/json")

_encode = msgspec.json.Encoder().encode


def json_answer(status: int, said: Any) -> Answer:
    """Returns an answer in JSON. That of 503 says when its client may come again."""
    return Answer(status, (JSON_TYPE, *RETRY_AFTER) if status == 503 else (JSON_TYPE,), _encode(said))
