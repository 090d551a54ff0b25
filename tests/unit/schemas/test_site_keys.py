"""schemas/site_keys.py: which texts are keys of sites, and when two are the same."""

import pytest

from schemas.site_keys import FAMILIES, is_site_key, key_of, name_or_key


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_of_each_family_is_one(family: str) -> None:
    """As a dialect makes it."""
    assert is_site_key(key_of(family, " Ab_9-. "[:-3]))


@pytest.mark.parametrize(
    "text",
    [
        "posthog", "posthog:", "posthog: a", "posthog:a b", "Posthog:a", "other:a", "posthog:\x1b[1m", "posthog:" + "a" * 129,
        "posthog:a@b.example", "matomo:192.0.2.1", "example.com", "[2001:db8::1]", "",
        "segment:fbk_aB3dE6gH9j_" + "xY7" * 14 + "z", "posthog:phc_a:fbk_aB3dE6gH9j_" + "xY7" * 14 + "z",
    ],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    """Not what could be an address of somebody, or could move a cursor, and no server key, which is a secret."""
    assert not is_site_key(text)


def test_keys_have_case_where_their_family_has() -> None:
    """A UUID has none; and a key is not changed as names of sites are."""
    assert key_of("umami", "0F3C") == "umami:0f3c"
    assert key_of("segment", "WkAb") == "segment:WkAb"
    assert name_or_key("segment:WkAb") == "segment:WkAb"
    assert name_or_key("WWW.Example.com.") == "example.com"
