"""runtime/hosts.py: whose Host is answered, and that no rebound name is."""

from __future__ import annotations

import pytest

from runtime.hosts import Hosts, public_origin

LOOPBACK = ["localhost", "LOCALHOST:8001", "127.0.0.1", "127.0.0.1:8001", "127.9.9.9:1", "[::1]", "[::1]:8001"]
ADDRESSES = ["10.1.2.3", "172.18.0.5:8001", "[fd00::5]:8001", "[2001:db8::1]"]
FOREIGN = [
    "evil.example",
    "evil.example:8001",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io:8001",
    "localhost@evil.example",
    "evil.example#localhost",
    "",
    "1.2.3",
    "[::1].evil.example",
    "localhost:port",
]
ON_LOOPBACK = ["127.0.0.1", "localhost", "::1", "127.0.0.2"]
ELSEWHERE = ["0.0.0.0", "::", "", "10.0.0.1", "ingest"]


@pytest.mark.parametrize("listening", ON_LOOPBACK)
def test_on_loopback_only_its_own_names_count(listening: str) -> None:
    """A page whose name was pointed at 127.0.0.1 has that name in Host."""
    hosts = Hosts(listening, ())
    assert [hosts.refusal([host]) for host in LOOPBACK] == [None] * len(LOOPBACK)
    assert all(hosts.refusal([host]) for host in (*FOREIGN, *ADDRESSES, "ingest:8001"))


@pytest.mark.parametrize("listening", ELSEWHERE)
def test_elsewhere_addresses_count_and_names_that_are_listed(listening: str) -> None:
    """Prometheus and probes ask by address; a page that rebinds has a name."""
    hosts = Hosts(listening, ("Ingest", "metrics.internal"))
    known = (*LOOPBACK, *ADDRESSES, "ingest", "INGEST:8001", "metrics.internal:8001")
    assert [hosts.refusal([host]) for host in known] == [None] * len(known)
    assert all(hosts.refusal([host]) for host in (*FOREIGN, "flusher:8002"))


def test_names_count_on_loopback_too() -> None:
    """Behind a proxy on the same machine that passes its Host on."""
    assert Hosts("127.0.0.1", ("metrics.internal",)).refusal(["metrics.internal"]) is None


def test_any_is_any() -> None:
    """Where something else keeps pages away."""
    assert Hosts("0.0.0.0", ("*",)).refusal(["evil.example"]) is None


def test_no_host_comes_from_no_browser() -> None:
    """HTTP/1.0 checks of load balancers have none; two are nobody's."""
    hosts = Hosts("127.0.0.1", ())
    assert hosts.refusal([]) is None
    assert hosts.refusal(["localhost", "evil.example"]) is not None


def test_the_refusal_names_the_setting_and_not_all_that_was_sent() -> None:
    """It is shown to whoever asked."""
    said = Hosts("0.0.0.0", ()).refusal(["x" * 5_000])
    assert said is not None
    assert "internal_hosts" in said
    assert len(said) < 250


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://stats.example.com", "https://stats.example.com"),
        ("https://Stats.Example.com:443/", "https://stats.example.com"),
        ("http://stats.example.com:8080", "http://stats.example.com:8080"),
        ("http://[2001:db8::1]:8003", "http://[2001:db8::1]:8003"),
        ("https://st\u00e4tte.example", "https://xn--sttte-hra.example"),
    ],
)
def test_a_public_url_is_an_origin(url: str, origin: str) -> None:
    """As browsers write it."""
    assert public_origin(url)[0] == origin


@pytest.mark.parametrize(
    "url",
    [
        "stats.example.com",
        "https://",
        "ftp://stats.example.com",
        "https://a.example/below",
        "https://a.example/?x",
        "https://u:p@a.example",
        "https://a.example:x",
    ],
)
def test_what_is_no_public_url_is_refused(url: str) -> None:
    """A path, a password, or no host at all."""
    with pytest.raises(ValueError, match=r".+"):
        public_origin(url)
