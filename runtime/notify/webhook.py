"""Posts a message to a URL as JSON, signed if there is a secret.

The body has `text`, which is all that Slack, Mattermost, Rocket.Chat and Discord (at its `/slack` address) read, and
beside it what programs want: `id`, `kind`, `site`, `subject`, `at` and `facts` (docs/reports.md has an example).

The signature is that of Standard Webhooks, for which there are libraries: `webhook-signature` is `v1,` and the base64 of
the HMAC-SHA256 of `ID.TIMESTAMP.BODY`. So a receiver knows who sent a body and when, and can drop a second one.

The URL may be a secret, as Slack's are: nothing but its host is ever shown.

Not promised: that redirections are followed; a body is for one address.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import ssl
import time

import aiohttp
import msgspec

from runtime.notify.message import Message, Undelivered
from runtime.notify.urls import server_of

PORTS = {"https": 443, "http": 80}
TEXT_CHARS_MAX = 16_000  # Slack cuts at 40,000, Mattermost refuses more than 16,383
WAIT_SECONDS_MAX = 3_600.0
AGAIN = frozenset((408, 425, 429))
# In these texts `<!channel>` and `@channel` would call everybody; a visitor can put them into the address of a page.
_calls = re.compile(r"@(?=channel|all|here|everyone)", re.IGNORECASE)
_marks = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Webhook:
    """Posts messages to one URL. Raises ValueError for what can't be used."""

    name = "webhook"

    def __init__(self, url: str, *, secret: str, tls: ssl.SSLContext, seconds: float) -> None:
        try:
            _, self.host, self.port = server_of(url, PORTS, has_path=True)
        except ValueError:
            raise ValueError("notify_webhook_url: write a URL of http or https") from None
        self._url = url
        self._key = key_of(secret)
        self._tls = tls
        self._seconds = seconds

    async def send(self, message: Message, to: str = "") -> None:
        """Posts a message. Raises Undelivered."""
        sent = body(message)
        headers = {"Content-Type": "application/json", "User-Agent": "Forebay", **self._signed(message.id, sent)}
        try:
            async with (
                asyncio.timeout(self._seconds),
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls, force_close=True)) as session,
                session.post(self._url, data=sent, headers=headers, allow_redirects=False) as answer,
            ):
                status, wait = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise Undelivered("tls", type(error).__name__) from None  # the text of an error of aiohttp may have the URL
        except TimeoutError:
            raise Undelivered("timeout", f"no answer in {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Undelivered("unreachable", type(error).__name__) from None
        if 200 <= status < 300:
            return
        is_final = status < 500 and status not in AGAIN
        seconds = min(float(wait), WAIT_SECONDS_MAX) if re.fullmatch(r"\d{1,9}", wait, re.ASCII) else 0.0
        raise Undelivered(
            "refused" if is_final else "busy", f"it answered {status}", is_final=is_final, seconds=seconds
        )

    def _signed(self, message_id: str, sent: bytes) -> dict[str, str]:
        now = int(time.time())
        headers = {"webhook-id": message_id, "webhook-timestamp": str(now)}
        if self._key:
            headers["webhook-signature"] = signature(self._key, message_id, now, sent)
        return headers


def body(message: Message) -> bytes:
    """Returns the JSON that is posted."""
    text = re.sub("[&<>]", lambda found: _marks[found[0]], f"*{message.subject}*\n{message.text}")
    return msgspec.json.encode(
        {
            "text": _calls.sub("@\u200b", text[:TEXT_CHARS_MAX]),
            "id": message.id,
            "kind": message.kind,
            "site": message.site,
            "subject": message.subject,
            "at": message.at,
            "facts": message.facts,
        }
    )


def signature(key: bytes, message_id: str, timestamp: int, sent: bytes) -> str:
    """Returns the signature of a body, as Standard Webhooks writes it."""
    signed = hmac.new(key, b"%b.%d.%b" % (message_id.encode(), timestamp, sent), hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def key_of(secret: str) -> bytes:
    """Returns the key of a secret: what stands in base64 behind `whsec_`, or else its own bytes; b"" without one."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("notify_webhook_secret: base64 is expected behind whsec_") from None
    return secret.encode()
