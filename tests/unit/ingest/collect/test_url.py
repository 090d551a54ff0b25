"""ingest/collect/url.py: a URL has one form, holds nothing that its site does not keep, and gives the table its columns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.url import _located, kept, located, referring
from schemas.host import site_name
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY

BYTES_MAX = 2_048


@pytest.mark.parametrize(
    ("url", "host", "page"),
    [
        ("https://example.com/a/b", "example.com", "https://example.com/a/b"),
        ("https://WWW.Example.COM", "example.com", "https://www.example.com/"),
        ("https://example.com:443/a", "example.com", "https://example.com/a"),
        ("http://localhost:3000/x", "localhost", "http://localhost/x"),
        ("http://intranet/x", "intranet", "http://intranet/x"),
        ("http://127.0.0.1:3000/x", "127.0.0.1", "http://127.0.0.1/x"),
        ("http://0x7f.1/x", "127.0.0.1", "http://127.0.0.1/x"),
        ("http://[::1]:8080/x", "[::1]", "http://[::1]/x"),
        ("http://[2001:DB8:0::0:1]/", "[2001:db8::1]", "http://[2001:db8::1]/"),
        ("http://user:pass@example.com:8080/", "example.com", "http://example.com/"),
        ("http://a@b@example.com/", "example.com", "http://example.com/"),
        ("https://www.shop.example./x", "shop.example", "https://www.shop.example/x"),
        ("https://müller.example/ä", "xn--mller-kva.example", "https://xn--mller-kva.example/%C3%A4"),
        ("https://XN--mller-kva.example/", "xn--mller-kva.example", "https://xn--mller-kva.example/"),
        ("https://shop。example/", "shop.example", "https://shop.example/"),
        ("https://ex%41mple.com/", "example.com", "https://example.com/"),
        ("capacitor://localhost/home", "localhost", "capacitor://localhost/home"),
        ("chrome-extension://ABCdef/popup.html", "abcdef", "chrome-extension://abcdef/popup.html"),
        ("android-app://com.example/x", "com.example", "android-app://com.example/x"),
        ("https://example.com\\@other/", "example.com", "https://example.com/@other/"),
        ("https://example.com/a/./b/../c", "example.com", "https://example.com/a/c"),
        ("https://example.com/a/%2e%2e/c", "example.com", "https://example.com/c"),
        ("https://example.com/%7euser/%c3%a4 b", "example.com", "https://example.com/~user/%C3%A4%20b"),
        ("https://example.com/100%", "example.com", "https://example.com/100%"),
        (" https://example.com/\n", "example.com", "https://example.com/"),
        ("file:///C:/Users/somebody/app/index.html", "", "file:///index.html"),
        ("file:///home/somebody/", "", "file:///"),
        ("about:srcdoc", "", ""),
        ("data:text/html,x", "", ""),
        ("blob:https://example.com/5f9c", "", ""),
    ],
)
def test_a_url_has_one_form(url: str, host: str, page: str) -> None:
    """Host, port, user and path as the URL standard and RFC 3986 have them."""
    found = located(url)
    assert found is not None
    assert found[:2] == (host, page)


@pytest.mark.parametrize(
    "url",
    [
        "", "/only/a/path?next=https://example.com/", "//example.com/", "https:///path", "https:example.com", "https://[::1",
        "https://exa mple.com/", "https://?a", "https://example.com:99999/", "localhost:3000/x", "http://./", "http://1.2.3.4.5/",
    ],
)  # fmt: skip
def test_what_is_not_absolute_is_none(url: str) -> None:
    """Nothing is guessed."""
    assert located(url) is None


@given(
    st.sampled_from(("http://", "https://", "HTTPS://")),
    st.text(alphabet="ahx019-._xn/%2efEF:?#= é~\n@[]", max_size=24),
)
def test_both_readers_agree(scheme: str, rest: str) -> None:
    """The pattern for usual URLs takes only what the standard's parser would leave as it is."""
    assert located(scheme + rest) == _located(scheme + rest)


@given(st.text(alphabet="ahtps:/@.[]?#\\ \n0é%", max_size=60))
def test_a_host_never_holds_what_ends_one(url: str) -> None:
    """Whatever the URL, its host has no blank and no delimiter, and its page no query and no user."""
    found = located(url)
    if found is not None:
        assert not set(found.host) & set("/?#@\\ \n")
        assert not set(found.page) & set("?# \n")
        assert "@" not in found.page.split("/")[2:3]


@given(st.text(max_size=200))
def test_any_text_is_a_location_or_none(said: str) -> None:
    """Nothing is raised, and what is kept is a URL in its form already."""
    found = located(said)
    if found is not None and found.host:
        again = located(found.page)
        assert again == found._replace(query="", fragment="")
    referring(said, BYTES_MAX)


ROUTED, WHOLE = KEEP_FRAGMENT, KEEP_QUERY


@pytest.mark.parametrize(
    ("rest", "flags", "left"),
    [
        ("b?token=hunter2", 0, "b"),
        ("b?token=hunter2", WHOLE, "b?token=hunter2"),
        ("b?q=1&utm_source=x&ref=y#top", 0, "b?utm_source=x&ref=y"),
        ("b?gclid=secret", 0, "b?gclid=1"),
        ("p?id=3?utm_source=x&utm_medium=y", 0, "p?utm_source=x&utm_medium=y"),
        ("p?utm_campaign=who?me", 0, "p?utm_campaign=who?me"),
        ("#/route?token=1", 0, ""),
        ("#/route?token=1", ROUTED, "#/route"),
        ("#!/route?token=1&utm_source=x", ROUTED, "?utm_source=x#!/route"),
        ("?a=1#/route?b=2", ROUTED | WHOLE, "?a=1&b=2#/route"),
        ("?x=1#/b?y=SECRET", ROUTED, "#/b"),
        ("#/a=b", ROUTED, "#/a=b"),
        ("#about", ROUTED, "#about"),
        ("#access_token=SECRET&state=1", 0, ""),
        ("#access_token=SECRET&state=1", ROUTED, ""),
        ("#access_token=SECRET&state=1", ROUTED | WHOLE, ""),
        ("#utm_source=x&token=1", 0, "?utm_source=x"),
        ("?utm_source=x#utm_source=y", 0, "?utm_source=x&utm_source=y"),
        ("?#", ROUTED, ""),
    ],
)
def test_what_a_site_does_not_keep_is_cut_off(rest: str, flags: int, left: str) -> None:
    """Parameters that are not allow-listed, wherever they stand; values of click ids; fragments that are no route."""
    found = located("https://a.example/" + rest)
    assert found is not None
    assert kept(found, flags, BYTES_MAX) == "https://a.example/" + left


@pytest.mark.parametrize(
    ("rest", "flags", "left"),
    [
        (f"p?SAMLRequest={'x' * 3_000}&utm_source=mail", 0, "p?utm_source=mail"),
        (f"p?SAMLRequest={'x' * 3_000}&utm_source=mail", WHOLE, "p?utm_source=mail"),
        (f"p#{'x' * 3_000}", 0, "p"),
        ("x" * (BYTES_MAX - 18), 0, "x" * (BYTES_MAX - 18)),
        ("x" * (BYTES_MAX - 17), 0, None),
        ("ä" * 400, 0, None),  # a character is six bytes in the form that is stored
    ],
)
def test_lengths_are_judged_after_cutting(rest: str, flags: int, left: str | None) -> None:
    """A page is lost only when what is kept of its URL is too long."""
    found = located("https://a.example/" + rest)
    assert found is not None
    assert kept(found, flags, BYTES_MAX) == (None if left is None else "https://a.example/" + left)


@pytest.mark.parametrize(
    ("said", "host", "left"),
    [
        *((f"https://b.example/c{tail}", "b.example", "https://b.example/c") for tail in ("?q=s", "#s", "?a#b", "#a?b", "")),
        ("https://user:pw@www.partner.example/x", "partner.example", "https://www.partner.example/x"),
        ("http://intranet/wiki", "intranet", "http://intranet/wiki"),
        ("www.google.com/search?q=secret", "google.com", "//www.google.com/search"),
        ("android-app://com.google.android.gm/", "com.google.android.gm", "android-app://com.google.android.gm/"),
        (f"https://b.example/{'x' * 4_000}", "b.example", "https://b.example/"),
        (f"https://b.example/?q={'x' * 4_000}", "b.example", "https://b.example/"),
        ("//b.example/c?q", "b.example", "//b.example/c"),
        ("//user:pw@intranet/c", "intranet", "//intranet/c"),
        ("newsletter", "", "newsletter"),
        ("https://b.example:99999/c", "", ""),
        ("a//b/c", "", ""),
        ("a:b@c", "", ""),
        ("x" * 4_000, "", ""),
    ],
)  # fmt: skip
def test_a_referrer_is_only_where_it_is(said: str, host: str, left: str) -> None:
    """Neither its query, its fragment nor its user is kept, and a long one is cut to its host instead of refused."""
    assert referring(said, BYTES_MAX) == (host, left)


SOURCE = re.compile(r"[a-z0-9+.:-]*//(?:www\.)?([^/]*)")  # as the column `source` takes it out of what is kept


@given(st.text(max_size=40) | st.text(alphabet="ahtps:/@.w[]?#\\0é%", max_size=40))
def test_the_host_of_a_referrer_is_decided_once(said: str) -> None:
    """The table finds the same host in what is kept, and none where ingest found none: so a site is never its own source."""
    host, left = referring(said, BYTES_MAX)
    found = SOURCE.match(left)
    assert (found[1] if found else "") == host


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (" WWW.Example.COM. ", "example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("demo", "demo"),
        ("é é", "é é"),
    ],
)
def test_a_sites_name_has_one_form(said: str, name: str) -> None:
    """As hosts have."""
    assert site_name(said) == name
