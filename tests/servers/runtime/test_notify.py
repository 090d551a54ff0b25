"""What people are told arrives, by real SMTP and by a real webhook, and what does not arrive is tried again, counted and said."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from runtime.notify.message import Message, Undelivered
from runtime.notify.notifier import Notifier, channels_of, notifier_of
from schemas.settings import DashboardSettings
from tests.support.notifying import PASSWORD, USER, Hook, certificate, hook, mail_server
from tests.support.waiting import until

ANN, BOB = "ann@example.org", "bob@example.com"
FROM = "Forebay <forebay@example.org>"


class Counted:
    """Counts as the dashboard's metrics do."""

    def __init__(self) -> None:
        self.fates: Counter[tuple[str, ...]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()

    def fate(self, kind: str, channel: str, fate: str, reason: str) -> None:
        self.fates[kind, channel, fate, reason] += 1

    def attempt_failed(self, channel: str, reason: str) -> None:
        self.failed[channel, reason] += 1


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """Makes the certificate of both servers."""
    return certificate(tmp_path_factory.mktemp("tls"))


def notifier(
    counted: Counted, *, pauses: tuple[float, ...] = (0.01, 0.01), seconds: float = 60, **said: Any
) -> Notifier:
    mail, webhook = channels_of(DashboardSettings(notify_from=FROM, **said), seconds=seconds)
    return Notifier(mail=mail, webhook=webhook, count=counted, pauses=pauses)


def message(**said: Any) -> Message:
    return Message(**{"kind": "report", "site": "example.org", "subject": "A week", "text": "12 visitors\n", **said})


async def told(one: Notifier, *messages: Message, to: tuple[str, ...] | None = (ANN,)) -> None:
    """Tells messages, and waits until each has its fate."""
    for each in messages:
        one.tell(each, to=to)
    await until(lambda: not one._tasks)
    await one.aclose()


@pytest.mark.parametrize("scheme", ["smtp", "smtps", "smtp+plain"])
async def test_a_mail_arrives(tls: tuple[ssl.SSLContext, Path], scheme: str) -> None:
    """Each address gets a mail of its own, with a login, and encrypted as the URL says."""
    counted = Counted()
    context = None if scheme == "smtp+plain" else tls[0]
    async with mail_server(tls=context, is_tls_at_once=scheme == "smtps", wants_login=True) as server:
        url = f"{scheme}://{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}"
        one = notifier(counted, notify_smtp_url=url, notify_ca=str(tls[1]))
        await told(one, message(html="<p>12 visitors</p>", subject="Woche für \u65e5\u672c"), to=(ANN, BOB, ANN))
    assert sorted(server.to) == [ANN, BOB]
    assert sorted(str(mail["To"]) for mail in server.mails) == [ANN, BOB]
    assert server.were_encrypted == [scheme != "smtp+plain"] * 2
    mail = server.mails[0]
    assert (mail["From"], mail["Subject"], mail["Auto-Submitted"]) == (FROM, "Woche für \u65e5\u672c", "auto-generated")
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert counted.fates == {("report", "mail", "sent", ""): 2}
    assert not counted.failed


async def test_nothing_is_sent_without_the_tls_that_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """A server in between that hides STARTTLS gets neither the password nor the mail."""
    counted = Counted()
    async with mail_server(wants_login=True) as server:
        url = f"smtp://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}"
        await told(notifier(counted, notify_smtp_url=url), message())
    assert (server.mails, server.logins) == ([], [])
    assert counted.fates == {("report", "mail", "failed", "unsupported"): 1}


async def test_a_certificate_of_somebody_else_is_not_believed(tls: tuple[ssl.SSLContext, Path]) -> None:
    """The system does not trust it, so nothing is sent, by either channel."""
    counted = Counted()
    async with mail_server(tls=tls[0], is_tls_at_once=True) as server, hook(tls[0]) as received:
        url = f"smtps://127.0.0.1:{server.port}"
        await told(notifier(counted, notify_smtp_url=url, notify_webhook_url=received.url), message())
    assert (server.tried, received.posts) == (0, [])
    assert counted.fates == {("report", "mail", "failed", "tls"): 1, ("report", "webhook", "failed", "tls"): 1}


async def test_a_wrong_password_is_not_tried_again_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """An account that is locked after three attempts stays open; the server repeats the password, the log does not."""
    counted, wrong = Counted(), "my-wrong-secret"
    async with mail_server(wants_login=True) as server:
        url = f"smtp+plain://{quote(USER, safe='')}:{wrong}@127.0.0.1:{server.port}"
        await told(notifier(counted, notify_smtp_url=url), message())
    assert counted.fates == {("report", "mail", "failed", "login"): 1}
    assert counted.failed == {("mail", "login"): 1}
    assert "535" in caplog.text
    for secret in (wrong, base64.b64encode(wrong.encode()).decode()):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("answers", "attempts", "fate", "reason"),
    [
        (["451 later", "452 full"], 3, "sent", ""),
        ([""], 2, "sent", ""),
        (["451 later"] * 9, 3, "failed", "busy"),
        (["554 spam"], 1, "failed", "refused"),
        ([None, None, None], 3, "failed", "timeout"),
    ],
)
async def test_what_may_pass_is_tried_again(answers: list[str | None], attempts: int, fate: str, reason: str) -> None:
    """A busy server and a broken connection are tried again, so many times; a refusal is not."""
    counted = Counted()
    async with mail_server() as server:
        server.answers = answers
        seconds = 0.3 if reason == "timeout" else 60.0
        one = notifier(counted, notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}", seconds=seconds)
        await told(one, message())
    if reason != "timeout":  # an attempt of 0.3 s may end before it came so far
        assert server.tried == attempts
    assert counted.fates == {("report", "mail", fate, reason): 1}
    assert counted.failed.total() == attempts - (fate == "sent")


async def test_every_attempt_has_the_same_message_id() -> None:
    """A server that took a mail and lost the answer gets it again; mail programs drop the second one by its id."""
    async with mail_server() as server:
        one = notifier(Counted(), notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}")
        same = message()
        await told(one, same, same, message())
    ids = [mail["Message-ID"] for mail in server.mails]
    assert len(ids) == 3
    assert len(set(ids)) == 2


async def test_one_refused_address_costs_nobody_else_theirs() -> None:
    """Each address has an envelope of its own."""
    counted = Counted()
    async with mail_server() as server:
        server.refused = {ANN: "550 nobody here"}
        await told(notifier(counted, notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}"), message(), to=(ANN, BOB))
    assert server.to == [BOB]
    assert counted.fates == {("report", "mail", "failed", "refused"): 1, ("report", "mail", "sent", ""): 1}


@pytest.mark.parametrize(
    "said",
    [
        "A\r\nBcc: eve@example.net\r\n\r\nspam",
        "A\nBcc: eve@example.net",
        "A\u2028B\x00\x0b\x85C",
        "A\ud800B",
        "A\rX: y",
    ],
)
async def test_no_stranger_adds_a_header(said: str) -> None:
    """What a visitor can put into a path or the name of a site stays in its line and its part of the mail."""
    async with mail_server() as server:
        one = notifier(Counted(), notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}")
        await told(one, message(subject=said, site=said, text=said + "\n.\nQUIT\n", html=said))
    (mail,) = server.mails
    assert sorted(mail.keys()) == sorted(
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "MIME-Version",
            "Content-Type",
        ]
    )
    assert server.to == [ANN]
    assert "\n" not in str(mail["Subject"])
    body = mail.get_body(("plain",))
    assert body is not None
    assert "\n.\nQUIT\n" in body.get_content().replace("\r\n", "\n")


async def test_a_post_arrives_and_is_signed() -> None:
    """The receiver can compute the signature of Standard Webhooks with the secret, and Slack finds `text`."""
    counted, key = Counted(), b"0123456789abcdef"
    async with hook() as received:
        secret = f"whsec_{base64.b64encode(key).decode()}"
        one = notifier(counted, notify_webhook_url=received.url, notify_webhook_secret=secret)
        await told(one, message(facts={"visitors": 12}, id="week-1", at=1_700_000_000))
    ((headers, sent),) = received.raw
    signed = f"week-1.{headers['webhook-timestamp']}.".encode() + sent
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert (headers["webhook-signature"], headers["webhook-id"]) == (f"v1,{expected}", "week-1")
    assert headers["content-type"] == "application/json"
    assert received.posts == [
        {
            "text": "*A week*\n12 visitors\n",
            "id": "week-1",
            "kind": "report",
            "site": "example.org",
            "subject": "A week",
            "at": 1_700_000_000,
            "facts": {"visitors": 12},
        }
    ]
    assert counted.fates == {("report", "webhook", "sent", ""): 1}


async def test_a_visitor_calls_nobody() -> None:
    """A path such as `/<!channel>` or `/@here` does not ring everybody's telephone."""
    async with hook() as received:
        await told(
            notifier(Counted(), notify_webhook_url=received.url), message(text="/<!channel> @here @Everyone <@U1>")
        )
    text = received.posts[0]["text"]
    assert not any(call in text for call in ("<", ">", "@here", "@Everyone"))
    assert "&lt;!" in text


@pytest.mark.parametrize(
    ("statuses", "posts", "fate", "reason"),
    [
        ([(503, {}), (429, {"Retry-After": "0"})], 3, "sent", ""),
        ([(500, {})] * 9, 3, "failed", "busy"),
        ([(404, {})], 1, "failed", "refused"),
        ([(302, {"Location": "http://127.0.0.1:1/"})], 1, "failed", "refused"),
    ],
)
async def test_a_webhook_that_fails(
    statuses: list[Any], posts: int, fate: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What may pass is tried again; a refusal and a redirection are not. The URL is in no log."""
    counted = Counted()
    async with hook() as received:
        received.statuses = statuses
        await told(notifier(counted, notify_webhook_url=received.url), message())
    assert len(received.posts) == posts
    assert counted.fates == {("report", "webhook", fate, reason): 1}
    assert "SECRET" not in caplog.text


async def test_a_receiver_that_asks_to_wait_is_left_alone() -> None:
    """429 with Retry-After, as Slack answers: no second attempt before that."""
    counted = Counted()
    async with hook() as received:
        received.statuses = [(429, {"Retry-After": "600"})]
        one = notifier(counted, notify_webhook_url=received.url, pauses=(0.0,))
        one.tell(message())
        await until(lambda: counted.failed)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(received.posts) == 1
        await one.aclose()
    assert counted.fates == {("report", "webhook", "failed", "stopped"): 1}


def of_hook(url: str) -> dict[str, str]:
    return {"notify_webhook_url": url}


def of_mail(url: str) -> dict[str, str]:
    return {"notify_smtp_url": url.replace("http://", "smtp+plain://").partition("/services")[0]}


@pytest.mark.parametrize("setting", [of_hook, of_mail])
async def test_nobody_listens(setting: Callable[[str], dict[str, str]], caplog: pytest.LogCaptureFixture) -> None:
    """The caller goes on at once; the failure is counted, and said without a secret."""
    counted = Counted()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # ours, so that nobody else listens there
        said: dict[str, Any] = {**setting(f"http://127.0.0.1:{nobody.getsockname()[1]}/services/T0/SECRET")}
        await told(notifier(counted, **said), message())
    ((_, channel, *fate),) = counted.fates
    assert fate == ["failed", "unreachable"]
    assert counted.failed == {(channel, "unreachable"): 3}
    assert "SECRET" not in caplog.text


async def test_a_flood_is_bounded() -> None:
    """What finds the line full is counted and dropped, and the caller hears nothing of it."""
    counted = Counted()
    async with mail_server() as server:
        server.answers = [None] * 10
        mail, _ = channels_of(
            DashboardSettings(notify_from=FROM, notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}")
        )
        one = Notifier(mail=mail, webhook=None, count=counted, waiting_max=3)
        for _ in range(10):
            one.tell(message(kind="login"), to=(ANN,))
        assert counted.fates == {("login", "mail", "failed", "full"): 7}
        for task in one._tasks:
            task.cancel()
        await asyncio.sleep(0)


async def test_what_waits_at_the_end_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing fails silently: a message that was to be tried again, and never will be, is named."""
    counted = Counted()
    async with mail_server() as server:
        server.answers = ["451 later"]
        one = notifier(counted, notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}", pauses=(3_600.0,))
        one.tell(message(), to=(ANN,))
        await until(lambda: counted.failed)
        await one.aclose()
    assert counted.fates == {("report", "mail", "failed", "stopped"): 1}
    assert "451 later" in caplog.text


async def test_without_a_channel_it_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    """A login from a new device that nobody can be told about is a failure, and the login goes on."""
    counted = Counted()
    notifier_of(DashboardSettings(), counted).tell(message(kind="login"))
    assert counted.fates == {("login", "", "failed", "nowhere"): 1}


async def test_a_fault_of_ours_costs_one_message(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is counted; its text, in which a secret may be, is not in the log."""

    class Broken(Hook):
        name, host, port = "webhook", "example.org", 443

        async def send(self, message: Message, to: str) -> None:
            raise RuntimeError(secret)

    counted, secret = Counted(), "https://hooks.example/" + "secret".upper()
    with caplog.at_level(logging.DEBUG):
        await told(Notifier(mail=None, webhook=Broken(), count=counted), message())
    assert counted.fates == {("report", "webhook", "failed", "fault"): 1}
    assert "RuntimeError" in caplog.text
    assert "SECRET" not in caplog.text


async def test_an_attempt_says_what_failed() -> None:
    """Whoever keeps count elsewhere tries again in their own time."""
    counted = Counted()
    async with mail_server() as server:
        server.answers = ["451 later"]
        one = notifier(counted, notify_smtp_url=f"smtp+plain://127.0.0.1:{server.port}")
        (where,) = one.destinations([ANN])
        with pytest.raises(Undelivered, match="451 later") as found:
            await one.attempt(message(), where)
        assert (found.value.reason, found.value.is_final) == ("busy", False)
        await one.attempt(message(), where)
    assert counted.fates == {("report", "mail", "sent", ""): 1}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"notify_smtp_url": "mail.example.org"}, "notify_smtp_url"),
        ({"notify_smtp_url": "https://u:SECRET@mail.example.org"}, "notify_smtp_url"),
        ({"notify_smtp_url": "smtp://u:SECRET@mail.example.org:x"}, "notify_smtp_url"),
        ({"notify_smtp_url": "smtp://u:SEC/RET@mail.example.org"}, "notify_smtp_url"),
        ({"notify_smtp_url": "smtp+plain://u:SECRET@mail.example.org"}, "notify_smtp_url"),
        ({"notify_smtp_url": "smtp://mail.example.org", "notify_from": "nobody"}, "notify_from"),
        ({"notify_smtp_url": "smtp://mail.example.org", "notify_from": ""}, "notify_from"),
        ({"notify_to": ("ann@example.org",)}, "notify_to"),
        ({"notify_smtp_url": "smtp://mail.example.org", "notify_to": ("ann",)}, "notify_to"),
        ({"notify_webhook_url": "hooks.example/SECRET"}, "notify_webhook_url"),
        ({"notify_webhook_url": "https://[hooks/SECRET"}, "notify_webhook_url"),
        (
            {"notify_webhook_url": "https://h.example/", "notify_webhook_secret": "whsec_SECRET!"},
            "notify_webhook_secret",
        ),
        ({"notify_ca": "/nowhere.pem"}, "notify_ca"),
    ],
)
def test_settings_that_cannot_be_used_are_named(said: dict[str, Any], name: str) -> None:
    """The process refuses to start with the name of the setting, and shows no secret."""
    with pytest.raises(ValueError, match=f"^{name}: ") as found:
        channels_of(DashboardSettings(**{"notify_from": FROM, **said}))
    assert "SEC" not in str(found.value)
