"""Sends one message to one address over SMTP, and says whose move it is if that fails.

    smtps://user:password@host        TLS from the first byte; port 465
    smtp://user:password@host         STARTTLS, without which nothing is sent; port 587
    smtp+plain://host                 without TLS; port 25. With a password only to this machine

Everybody gets a mail of their own, so nobody sees the addresses of others. An attempt ends after `seconds`, whatever the
server does, and is cancelled with its task.

Not promised: that a mail that a server took reaches its reader. If the connection is lost before the server's last
answer, the mail may have been taken or not; it is sent again under the same Message-ID.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as LINES_OF_SMTP
from email.utils import format_datetime, formataddr, parseaddr
from urllib.parse import unquote

import aiosmtplib

from runtime.hosts import is_loopback
from runtime.notify.message import Message, Undelivered, one_line
from runtime.notify.urls import server_of
from schemas.mail_address import mail_address

PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}
SAID_CHARS_MAX = 200  # of what a server said, in a log line
QUIT_SECONDS = 2.0
NAME_CHARS_MAX = 120
# Everything is encoded in ASCII, because not every server takes more.
_policy = LINES_OF_SMTP.clone(cte_type="7bit")


class Mail:
    """Sends messages through the server of a URL, from one address. Raises ValueError for what can't be used."""

    name = "mail"

    def __init__(self, url: str, *, sender: str, tls: ssl.SSLContext, seconds: float) -> None:
        try:
            parts, self.host, self.port = server_of(url, PORTS, has_path=False)
        except ValueError:
            raise ValueError(
                "notify_smtp_url: write smtps://, smtp:// or smtp+plain:// and a host, with user:password@ before it"
            ) from None
        self.scheme = parts.scheme
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        if self._password and parts.scheme == "smtp+plain" and not is_loopback(bracketed):
            raise ValueError(
                "notify_smtp_url: a password is sent without TLS to this machine alone: write smtp:// or smtps://"
            )
        self._display, self._sender = _sender(sender)
        self._tls = tls
        self._seconds = seconds

    async def send(self, message: Message, to: str) -> None:
        """Hands a message to the server. Raises Undelivered."""
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self._user or None,
            password=self._password or None,
            local_hostname=self._sender.rpartition("@")[2],  # or it would ask a name server for ours
            timeout=self._seconds,
            use_tls=self.scheme == "smtps",
            start_tls=self.scheme == "smtp",
            tls_context=self._tls,
        )
        try:
            async with asyncio.timeout(self._seconds):
                await client.connect()
                await client.sendmail(self._sender, [to], self.written(message, to))
            # It has been taken: whatever becomes of the farewell, nothing is sent again.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(QUIT_SECONDS):
                    await client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            raise self._undelivered(error) from None  # what it came from may hold the password
        finally:
            client.close()

    def written(self, message: Message, to: str) -> bytes:
        """Returns a message as one mail to one address."""
        mail = EmailMessage(policy=_policy)
        mail["From"] = formataddr((self._display, self._sender))
        mail["To"] = to
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
        whose = hashlib.sha256(to.encode()).hexdigest()[:16]
        mail["Message-ID"] = f"<{message.id}.{whose}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is answered to us (RFC 3834)
        mail["X-Auto-Response-Suppress"] = "All"
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        return mail.as_bytes()

    def _undelivered(self, error: Exception) -> Undelivered:
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
            error = error.recipients[0]
        said = self._said(error)
        if _is_tls(error):
            return Undelivered("tls", said)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            is_final = error.code >= 500
            if isinstance(error, aiosmtplib.SMTPAuthenticationError):
                return Undelivered("login", said, is_final=is_final)
            return Undelivered("refused" if is_final else "busy", said, is_final=is_final)
        if isinstance(error, TimeoutError):
            return Undelivered("timeout", f"no answer in {self._seconds:g} s")
        if isinstance(error, OSError):
            return Undelivered("unreachable", said)
        return Undelivered("unsupported", said, is_final=True)  # STARTTLS, or every way to log in that we know

    def _said(self, error: Exception) -> str:
        """Returns what a server said, without the secrets that it may have repeated."""
        code = f"{error.code} " if isinstance(error, aiosmtplib.SMTPResponseException) else ""
        said = code + one_line(str(getattr(error, "message", error)))
        plain = f"\0{self._user}\0{self._password}"
        for secret in (self._password, *(_base64(one) for one in (self._password, self._user, plain))):
            said = said.replace(secret, "…") if secret else said
        return said[:SAID_CHARS_MAX]


def _sender(said: str) -> tuple[str, str]:
    display, address = parseaddr(said)
    try:
        return one_line(display)[:NAME_CHARS_MAX], mail_address(address)
    except ValueError:
        raise ValueError(
            "notify_from: write an address, as forebay@example.org or Forebay <forebay@example.org>"
        ) from None


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode() if text else ""
