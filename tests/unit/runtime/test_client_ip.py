"""runtime/client_ip.py: whose address a request came from."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.request import FieldReader, Headers
from runtime.client_ip import HOPS_MAX, Address, ClientAddresses, parsed

PROXY = "10.0.0.1"
TRUSTED = ("10.0.0.0/8", "fd00::/8")
CF = b"CF-Connecting-IP"
XFF = b"X-Forwarded-For"


def client_of(headers: Headers, peer: str = PROXY, trusted: tuple[str, ...] = TRUSTED) -> str:
    return ClientAddresses(trusted).client(peer, FieldReader().fields(headers)).address.text


@pytest.mark.parametrize(
    ("said", "text", "hashed"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:4711 ", "203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("[::ffff:cb00:7107]:80", "203.0.113.7", "203.0.113.7"),
        ("2001:DB8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::1]:4711", "2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("[fe80::1%eth0]:80", "fe80::1", "fe80::/64"),
        ("::1", "::1", "::/64"),
    ],
)
def test_an_address_has_one_form(said: str, text: str, hashed: str) -> None:
    """Ports, zones and IPv4 in IPv6 go; IPv6 is hashed by its /64."""
    assert parsed(said) == (text, hashed)


@pytest.mark.parametrize(
    "said", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.4, 5.6.7.8", "::g", "[", "%", ":", "01.2.3.4"]
)
def test_what_is_no_address_is_none(said: str) -> None:
    """Nothing is guessed."""
    assert parsed(said) is None


ADDRESSES = 20_000


def test_an_address_is_read_as_the_standard_library_reads_it() -> None:
    """Random addresses of both kinds with runs of zeros, their spellings, and texts that a digit or a sign apart are none."""
    rng = random.Random(1)
    said = [_address(rng) for _ in range(ADDRESSES)]
    said += [_spoilt(rng, text) for text in said]
    wrong = [text for text in said if parsed.__wrapped__(text) != _by_the_book(text)]
    assert wrong == []
    assert 0.3 < sum(parsed.__wrapped__(text) is not None for text in said) / len(said) < 0.95


def _by_the_book(said: str) -> Address | None:
    text = said.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return Address(str(address), f"{IPv6Address(int(address) >> 64 << 64)}/64")
        address = address.ipv4_mapped
    return Address(str(address), str(address))


def _address(rng: random.Random) -> str:
    four = ".".join(str(rng.randrange(256)) for _ in range(4))
    if rng.random() < 0.4:
        return rng.choice((four, f" {four}", f"{four}:80"))
    words = [rng.choice(("0", "0", f"{rng.randrange(1 << 16):x}", f"{rng.randrange(1 << 16):04X}")) for _ in range(8)]
    begin = rng.choice(("", "", "::", "::ffff:"))
    text = ":".join(words)
    if begin:
        text = begin + rng.choice((four, ":".join(words[-rng.randrange(1, 4) :])))
    elif rng.random() < 0.5:
        text = str(IPv6Address(text))
    elif rng.random() < 0.5:
        text = ":".join(words[:6]) + ":" + four
    return rng.choice((text, text, f"[{text}]:80", f"{text}%eth0"))


def _spoilt(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return (
        text[:at]
        + rng.choice(("", "0", ":", ".", "g", "-", " ", "\0", "%", "٣", "/", "1"))
        + text[at + rng.randrange(2) :]
    )


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(said: str) -> None:
    """Parsing raises nothing."""
    found = parsed(said)
    assert found is None or parsed(found.text) == found


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([], PROXY),
        ([(CF, b"203.0.113.7")], "203.0.113.7"),
        ([(CF, b"203.0.113.7"), (XFF, b"198.51.100.1")], "203.0.113.7"),
        ([(XFF, b"203.0.113.7")], "203.0.113.7"),
        ([(XFF, b"6.6.6.6, 203.0.113.7, 10.1.1.1")], "203.0.113.7"),
        ([(XFF, b"6.6.6.6, 203.0.113.7, fd00::1, 10.1.1.1")], "203.0.113.7"),
        ([(XFF, b"6.6.6.6"), (XFF, b"203.0.113.7"), (b"x-forwarded-for", b"10.1.1.1")], "203.0.113.7"),
        ([(XFF, b"203.0.113.7:1234,[fd00::1]:80")], "203.0.113.7"),
        ([(XFF, b"10.2.2.2, 10.1.1.1")], "10.2.2.2"),
        ([(b"Forwarded", b"for=203.0.113.7;proto=https;by=10.0.0.1")], "203.0.113.7"),
        ([(b"Forwarded", b'For="[2001:db8::1]:4711", for=10.1.1.1')], "2001:db8::1"),
        ([(b"Forwarded", b'proto=http; for="203.0.113.7:80"')], "203.0.113.7"),
        ([(XFF, b"203.0.113.7"), (b"Forwarded", b"for=198.51.100.1")], "203.0.113.7"),
        ([(b"Forwarded", b'for=203.0.113.7;host="a,b;for=6.6.6.6",for=10.1.1.1')], "203.0.113.7"),
        ([(b"Forwarded", b'for="203\\.0.113.7"')], "203.0.113.7"),
        ([(b"Forwarded", b"FOR = 203.0.113.7 ; proto=https , for=10.1.1.1")], "203.0.113.7"),
        ([(b"Forwarded", b"for=6.6.6.6"), (b"Forwarded", b"for=203.0.113.7")], "203.0.113.7"),
        ([(b"Forwarded", b"for=6.6.6.6, for=unknown")], PROXY),
        ([(b"Forwarded", b"for=6.6.6.6, for=_hidden, for=10.1.1.1")], PROXY),
        ([(b"Forwarded", b'for=6.6.6.6, for="203.0.113.7')], PROXY),
        ([(b"Forwarded", b"for=6.6.6.6, proto=https")], PROXY),
        ([(b"Forwarded", b"")], PROXY),
        ([(XFF, b"6.6.6.6,, 203.0.113.7 , ,10.1.1.1,")], "203.0.113.7"),
        ([(b"Forwarded", b",for=6.6.6.6,, for=203.0.113.7;proto=https , ,for=10.1.1.1,")], "203.0.113.7"),
        ([(b"Forwarded", b",,")], PROXY),
    ],
)
def test_a_trusted_proxy_is_believed(headers: Headers, text: str) -> None:
    """In the order of the module's head, lists from the right past every trusted hop."""
    assert client_of(headers) == text


@pytest.mark.parametrize(
    "headers",
    [
        [(CF, b"nonsense"), (XFF, b"203.0.113.7")],
        [(CF, b"203.0.113.7"), (CF, b"198.51.100.1")],
        [(XFF, b"203.0.113.7, nonsense, 10.1.1.1")],
        [(XFF, b"")],
        [(XFF, b" , ,")],
        [(b"Forwarded", b"for=203.0.113.7, ;")],
        [(b"Forwarded", b"for=203.0.113.7, nonsense")],
        [(XFF, b"203.0.113.7" + b", 10.1.1.1" * HOPS_MAX)],
        [(b"Forwarded", b"for=unknown")],
        [(b"Forwarded", b"proto=https")],
        [(b"Forwarded", b'for="203.0.113.7')],
        [(XFF, "203.0.113.7\xa0é".encode("latin-1"))],
    ],
)
def test_nonsense_falls_back_to_the_peer(headers: Headers) -> None:
    """An address is never made up from half a header."""
    assert client_of(headers) == PROXY


@pytest.mark.parametrize("name", [CF, XFF, b"Forwarded"])
def test_an_untrusted_peer_is_not_believed(name: bytes) -> None:
    """Anyone can send a header."""
    said = [(name, b"for=1.2.3.4" if name == b"Forwarded" else b"1.2.3.4")]
    assert client_of(said, peer="203.0.113.7") == "203.0.113.7"
    assert client_of(said, trusted=()) == PROXY
    assert client_of(said, peer="") == ""


@pytest.mark.parametrize(("peer", "lines"), [("127.0.0.1", 1), ("::ffff:10.0.0.1", 1), ("8.8.8.8", 0), ("", 0)])
def test_a_proxy_that_is_not_trusted_is_noticed(peer: str, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and without any address: nothing else would say why there is only one visitor."""
    addresses = ClientAddresses(())
    for _ in range(3):
        addresses.client(peer, {b"x-forwarded-for": b"203.0.113.7"})
        addresses.client(peer, {})
    assert len(caplog.records) == lines
    assert "203.0.113.7" not in caplog.text
    assert not peer or peer not in caplog.text


def test_a_server_that_says_whose_visitor_it_speaks_of_is_no_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """Plausible's API takes the visitor's address in this field, with a key."""
    ClientAddresses(()).client("10.0.0.1", {b"x-forwarded-for": b"203.0.113.7", b"authorization": b"Bearer fbk_x"})
    assert not caplog.records


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "fd00::1%eth0"])
def test_a_proxy_is_known_by_every_form_of_its_address(peer: str) -> None:
    """A dual-stack socket says ::ffff:10.0.0.1 for 10.0.0.1."""
    assert client_of([(XFF, b"203.0.113.7")], peer=peer) == "203.0.113.7"


def test_a_network_that_is_none_is_refused() -> None:
    """A slip in a setting must not trust, or distrust, in silence."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.300"):
        ClientAddresses(["10.0.0.300"])
