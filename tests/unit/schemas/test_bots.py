"""schemas/bots.py: reasons have bits, words and weights, and a threshold makes a verdict of them."""

from __future__ import annotations

import pytest

from schemas.bots import REASONS, THRESHOLD, BotReason, score, word


def test_every_reason_has_a_bit_a_word_and_a_weight_of_its_own() -> None:
    """Bits are those of a UInt32, and words differ, because rows hold both."""
    assert set(REASONS) == set(BotReason)
    assert [int(reason) for reason in BotReason] == [1 << at for at in range(len(BotReason))]
    assert len({weighed.word for weighed in REASONS.values()}) == len(REASONS)
    assert max(BotReason) < 1 << 32


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (0, (0, "")),
        (BotReason.CRAWLER, (100, "crawler")),
        (BotReason.HEADERS, (30, "")),
        (BotReason.HEADERS | BotReason.WINDOW, (60, "headers")),
        (BotReason.RATE, (50, "rate")),
        (BotReason.LIBRARY | BotReason.NOT_A_BROWSER, (160, "library")),
        (BotReason.CRAWLER | BotReason.LIBRARY, (200, "crawler")),
        (1 << 31, (0, "")),
        (1 << 31 | BotReason.HEADLESS, (100, "headless")),
    ],
)
def test_the_strongest_reason_gives_the_word(reasons: int, expected: tuple[int, str]) -> None:
    """Of equal ones the first; bits of a newer release weigh nothing."""
    assert (score(reasons), word(reasons, THRESHOLD)) == expected
