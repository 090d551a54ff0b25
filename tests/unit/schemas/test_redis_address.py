"""schemas/redis/address.py: what a URL of Redis says, and what is refused at the start."""

from __future__ import annotations

import pytest

from schemas.redis.address import Address, Kind, Node, files, with_files

SEEDS = (Node("a", 7000), Node("b", 7001))


@pytest.mark.parametrize(
    ("url", "kind", "seeds", "master", "db"),
    [
        ("redis://127.0.0.1:6379/0", Kind.ONE, (), "", 0),
        ("redis://:secret@a:1/3?db=4", Kind.ONE, (), "", 0),
        ("rediss://a", Kind.ONE, (), "", 0),
        ("unix:///run/redis.sock?db=2", Kind.ONE, (), "", 0),
        ("redis+cluster://a:7000,b:7001", Kind.CLUSTER, SEEDS, "", 0),
        ("redis+cluster://u:p%40%2C@a:7000,b:7001/0", Kind.CLUSTER, SEEDS, "", 0),
        ("rediss+cluster://[::1]:1,b", Kind.CLUSTER, (Node("::1", 1), Node("b", 6379)), "", 0),
        ("redis+sentinel://a:7000,b:7001/mymaster", Kind.SENTINEL, SEEDS, "mymaster", 0),
        ("redis+sentinel://:p@a,[::1]/m/2?sentinel_password=s", Kind.SENTINEL, (Node("a", 26379), Node("::1", 26379)), "m", 2),
    ],
)  # fmt: skip
def test_what_a_url_says(url: str, kind: Kind, seeds: tuple[Node, ...], master: str, db: int) -> None:
    """Several hosts, default ports, IPv6 in brackets, a password with commas."""
    assert Address.parse(url) == Address(kind, url, seeds, master, db)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no scheme"),
        ("localhost:6379", "localhost: a URL of Redis is"),
        ("http://a", "http"),
        ("redis+clusters://a", "redis\\+clusters"),
        ("redis+://a", "redis\\+"),
        ("unix+cluster:///a", "unix\\+cluster"),
        ("unix://", "path of a socket"),
        ("redis://a,b", "several are redis\\+cluster"),
        ("redis://a:port", "a:port is no host:port"),
        ("redis://a:70000", "a:70000"),
        ("redis://a/zero", "zero is no number"),
        ("redis://a/0#b", "%23"),
        ("redis+cluster://", "nothing is no host:port"),
        ("redis+cluster://a:1,,b:1", "nothing is no host:port"),
        ("redis+cluster://[::1:1", "is no host:port"),
        ("redis+cluster://a/1", "database 0 alone"),
        ("redis+sentinel://a:1", "the name of the master"),
        ("redis+sentinel://a:1/m/x", "x is no number"),
        ("redis://a?ssl_ca_certs=/ca", "begin with rediss"),
        ("redis://a?ssl_ca_cert=/ca", "no parameter ssl_ca_cert"),
        ("redis://a?sentinel_password=x", "is for redis\\+sentinel"),
    ],
)
def test_what_is_refused(url: str, said: str) -> None:
    """Each fault by its name."""
    with pytest.raises(ValueError, match=said):
        Address.parse(url)


def test_no_password_is_said() -> None:
    """What is refused is logged."""
    for url in ("redis+cluster://user:secret@a:x", "redis://user:secret@a,b", "redis+sentinel://:secret@a"):
        with pytest.raises(ValueError, match=r"redis|host:port") as fault:
            Address.parse(url)
        assert "secret" not in str(fault.value)


def test_urls_of_servers() -> None:
    """User, TLS, database and files go to every server; Sentinels have users of their own."""
    address = Address.parse(
        "rediss+sentinel://u:p%40@a:1/m/2?ssl_ca_certs=/ca&sentinel_username=s&sentinel_password=%23"
    )
    assert address.at(Node("::1", 7)) == "rediss://u:p%40@[::1]:7/2?ssl_ca_certs=%2Fca"
    assert address.at_sentinel(Node("a", 1)) == "rediss://s:%23@a:1/0?ssl_ca_certs=%2Fca"
    assert Address.parse("redis+cluster://a:1").at(Node("b", 2)) == "redis://b:2/0"


def test_files_of_tls() -> None:
    """Settings become a part of the URL, so that one text is all that is handed on."""
    url = with_files("rediss+cluster://a:1?ssl_check_hostname=false", ca="/a b", cert="/c", key="/k")
    assert files(url) == ("/a b", "/c", "/k")
    assert Address.parse(url).is_tls
    assert with_files("redis://a", ca="", cert="", key="") == "redis://a"


@pytest.mark.parametrize(
    ("url", "given", "said"),
    [
        ("redis://a", {"ca": "/ca"}, "rediss"),
        ("rediss://a", {"key": "/k"}, "redis_cert has to name"),
        ("rediss://a", {"ca": "-----BEGIN CERTIFICATE-----"}, "paths"),
    ],
)
def test_files_that_cannot_be_used(url: str, given: dict[str, str], said: str) -> None:
    """Without TLS, a key without its certificate, and a certificate itself where its path belongs."""
    with pytest.raises(ValueError, match=said):
        with_files(url, **{"ca": "", "cert": "", "key": "", **given})
