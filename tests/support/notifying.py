"""Receives what people are told: a mail server and a webhook on loopback, which a test can make refuse, stall or break off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "forebay@example.org", "p@ss/word: ä"
PASSED = "250 taken"


class MailServer:
    """Keeps every mail that it took. `answers` are its next answers to DATA: "" breaks off, None never answers."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.to: list[str] = []
        self.tried = 0  # how often a mail was handed over, whatever it was answered
        self.answers: list[str | None] = []
        self.refused: dict[str, str] = {}  # addresses, and what they are answered
        self.were_encrypted: list[bool] = []
        self.logins: list[bytes] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None  # is called when a mail was taken
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        self.tried += 1
        assert isinstance(server.transport, asyncio.Transport)
        answer = self.answers.pop(0) if self.answers else PASSED
        if answer is None:
            await asyncio.Event().wait()
        if not answer:
            server.transport.abort()
            return PASSED
        if answer.startswith("2"):
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.to += envelope.rcpt_tos
            self.were_encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
            if self.before_answer is not None:
                await self.before_answer()
        return answer

    def login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, said: Any) -> AuthResult:
        assert isinstance(said, LoginPassword)
        self.logins.append(said.login)
        if (said.login, said.password) == (USER.encode(), PASSWORD.encode()):
            return AuthResult(success=True)
        # Some servers repeat what they were told.
        answer = f"535 5.7.8 wrong: {said.password.decode()}".encode("ascii", "replace").decode()
        return AuthResult(success=False, handled=False, message=answer)


@contextlib.asynccontextmanager
async def mail_server(
    *, tls: ssl.SSLContext | None = None, is_tls_at_once: bool = False, wants_login: bool = False
) -> AsyncIterator[MailServer]:
    """Serves SMTP: with STARTTLS if there is a context, or with TLS from the first byte."""
    kept = MailServer()
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a login without TLS is unwise, which is to be tried
            return SMTP(
                kept,
                hostname="mail.test",
                tls_context=None if is_tls_at_once else tls,
                authenticator=kept.login if wants_login else None,
                auth_required=wants_login,
                auth_require_tls=False,
                loop=loop,
            )

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls if is_tls_at_once else None)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()


class Hook:
    """Keeps every post that it got. `statuses` are its next answers, each with headers; None never answers."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.raw: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[tuple[int, dict[str, str]] | None] = []
        self.url = ""

    async def post(self, request: web.Request) -> web.Response:
        sent = await request.read()
        self.raw.append(({name.lower(): value for name, value in request.headers.items()}, sent))
        self.posts.append(json.loads(sent))
        answer = self.statuses.pop(0) if self.statuses else (200, {})
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return web.Response(status=answer[0], headers=answer[1])


@contextlib.asynccontextmanager
async def hook(tls: ssl.SSLContext | None = None) -> AsyncIterator[Hook]:
    """Serves a webhook, whose path is a secret as that of Slack's is."""
    kept = Hook()
    app = web.Application()
    app.router.add_post("/services/T0/SECRET", kept.post)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        kept.url = f"http{'s' if tls else ''}://127.0.0.1:{port}/services/T0/SECRET"
        yield kept
    finally:
        await runner.cleanup()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Makes a certificate of 127.0.0.1, and returns the context of a server with it, and the file to trust."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    named = ["-subj", "/CN=mail.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *named, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
