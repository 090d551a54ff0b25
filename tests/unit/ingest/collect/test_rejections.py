"""What was rejected lately: which names are kept, how many, and what of it reaches a terminal."""

import pytest

from ingest.collect.rejections import NAMES_MAX, Rejections
from schemas import rejected
from schemas.redis.keys import rejected_key
from schemas.rejected import ADDRESS, NO_NAME, NONE, OTHER, SERVER_KEY, added_up, keys_shown, shown
from tests.support.collecting import Bench

SECRET = f"fbk_aB3dE6gH9j_{'xY7' * 14}z"  # as a server key is written


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("shop.example", "shop.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("posthog:phc_aB3-x", "posthog:phc_aB3-x"),
        ("posthog:fbk_aB3-x", "posthog:fbk_aB3-x"),
        ("posthog:192.0.2.7", ADDRESS),
        ("posthog:somebody@example.com", ADDRESS),
        ("nobody:phc_x", ADDRESS),
        ("", NONE),
        ("192.0.2.7", ADDRESS),
        ("192.0.2.7:8080", ADDRESS),
        ("[2001:db8::1]", ADDRESS),
        ("2001:db8::1", ADDRESS),
        ("\x1b[31mevil", NO_NAME),
        ("a b", NO_NAME),
        (SECRET, SERVER_KEY),
        (SECRET.lower(), SERVER_KEY),
        (f"segment:{SECRET}", SERVER_KEY),
        (f"posthog:phc_x:{SECRET[:-3]}", SERVER_KEY),
        ("a\nb", NO_NAME),
        ("\u202egnp.exe", NO_NAME),
        ("a" * 300, NO_NAME),
    ],
)
def test_what_is_kept_of_a_name(said: str, found: str) -> None:
    """A plausible name, and nothing that could be an address or move a cursor."""
    assert shown(said) == found


def test_a_worker_keeps_a_bounded_number() -> None:
    """What strangers invent beyond it is counted together; what is known goes on."""
    noted = Rejections()
    for at in range(NAMES_MAX + 50):
        noted.note(f"site{at}", "unknown_site")
    noted.note("site0", "unknown_site", 4)
    taken = noted.take()
    assert len(taken) == NAMES_MAX + 1
    assert (taken["unknown_site", "site0"], taken["unknown_site", OTHER]) == (5, 50)
    assert noted.take() == {}
    noted.give_back(taken)
    assert sum(noted.take().values()) == NAMES_MAX + 54


def test_what_a_stranger_wrote_into_redis_is_not_shown() -> None:
    """Only what a worker could have noted is; spans of the last hour are added up."""
    spans = [{"unknown_site a.example": "2", "last unknown_site a.example": "70"}, {"unknown_site a.example": "3"}]
    assert added_up([*spans, {"unknown_site \x1b[2J": "9", "x": "y", "unknown_site b": "-1"}]) == [
        ("unknown_site", "a.example", 5, 70)
    ]
    assert keys_shown(6_000_000.0)[0] == rejected_key(6_000_599.0)
    assert len(set(keys_shown(6_000_000.0))) == rejected.SPANS_SHOWN


async def test_each_rejected_event_is_noted_under_what_it_says() -> None:
    """Its site, or the host of its url; a known one by its own name; a body that is none says no site."""
    bench = await Bench().ready()
    for body in (
        {"url": "https://WWW.Shop.example/x"},
        {"url": "https://x.example/", "site": "Shop.Example."},
        {"url": "https://192.0.2.7/"},
        {"url": "https://example.com/", "name": "n" * 5_000},
    ):
        bench.post(body)
    bench.post(b"no json")
    assert bench.rejections.take() == {
        ("unknown_site", "shop.example"): 2,
        ("unknown_site", ADDRESS): 1,
        ("name_too_long", "example.com"): 1,
        ("malformed_json", NONE): 1,
    }
