"""Declares the rules by which a visit gets its channel. schemas/channel_views.py makes the SQL of them.

The channels are those of GA4's default channel grouping as of May 2026, in the order in which their rules are tried:
the first rule that holds decides. docs/channels.md gives each rule in words, with its source. A rule looks at two things:

- the *kind* of the source (search, social, ...), which the lists of sources in ClickHouse give for a host or a word;
- the *marks* of the URL: what `utm_medium`, `utm_campaign` and a click id say by themselves.

Both are numbers, because conditions on texts, row by row, took ten times as long. A channel is its place in `CHANNELS`. So
the rule that comes first is the least number, and the order of precedence is written nowhere else. The marks are one number of
16 bits, and `TABLE` has the channel for each kind and each state of the marks:

    bits 9 to 15   the network of the click id: its place in `CLICK_IDS`, counted from 1; 0 without a click id
    bits 5 to 8    the *state*: what a kind must know of the marks (`PAID_MEDIUM` and its neighbours)
    bits 0 to 4    the first channel that the marks alone give

An example, a URL with `utm_medium=cpc` and a `gclid`, and no referrer:

- The medium matches the pattern of Paid Other, which is channel 6, and is paid: 6 + PAID_MEDIUM (32) + HAS_MEDIUM (256) = 294.
- No campaign says nothing: 18, the last channel (Direct).
- The click id is an ad's, of network 1 (Google), and gives no channel by itself: 18 + AD_CLICK (128) + 1 * 512 = 658.
- The marks are the least of the three channels, and all other bits: 6 + 32 + 256 + 128 + 512 = 934.
- As there is no source, network 1 gives it: google.com, of the kind search. The state is (934 >> 5) & 15 = 13, and
  `TABLE[1 * 16 + 13]` is 2, because search is the first kind and what is paid is Paid Search there.
- The channel is the lesser of 6 and 2: Paid Search.

Not promised: GA4's answer where GA4 knows more than the URL and the referrer, such as the type of a Google Ads campaign.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CHANNELS = (
    "Cross-network", "Paid Shopping", "Paid Search", "Paid Social", "Paid Video", "Display", "Paid Other",
    "Organic Shopping", "Organic Social", "Organic Video", "AI Assistant", "Organic Search", "Email", "Affiliates",
    "Audio", "SMS", "Mobile Push Notifications", "Referral", "Direct",
)  # fmt: skip
NUMBER = {channel: number for number, channel in enumerate(CHANNELS)}
CHANNEL_MASK = 0b11111
# The bits of a state.
STATE_SHIFT, STATES = 5, 16
PAID_MEDIUM = 1 << 5  # the medium says that somebody paid for the click
SHOP_CAMPAIGN = 1 << 6  # the campaign is a shop's
AD_CLICK = 1 << 7  # the click id stands in an address only when somebody paid for the click
HAS_MEDIUM = 1 << 8
NETWORK_SHIFT = 9


class Kind(NamedTuple):
    """Holds the channel of a source of a kind: for a click that nobody paid for, and for one that somebody paid for."""

    free: str
    paid: str = "Paid Other"


# A kind is stored as its number, counted from 1, so a new one is added at the end. `none` is for what is no source, such
# as a payment page that people come back from.
KINDS = {
    "search": Kind("Organic Search", "Paid Search"),
    "social": Kind("Organic Social", "Paid Social"),
    "video": Kind("Organic Video", "Paid Video"),
    "shopping": Kind("Organic Shopping", "Paid Shopping"),
    "ai": Kind("AI Assistant"),
    "email": Kind("Email"),
    "affiliate": Kind("Affiliates"),
    "audio": Kind("Audio"),
    "sms": Kind("SMS"),
    "push": Kind("Mobile Push Notifications"),
    "display": Kind("Display"),
    "referral": Kind("Referral"),
    "none": Kind("Direct"),
}
NO_SOURCE = list(KINDS).index("none") + 1


class ClickId(NamedTuple):
    """Holds the parameters in which one network puts its click ids, the host that stands for it, and what they mean."""

    parameters: tuple[str, ...]
    host: str
    is_ad: bool = True
    channel: str = "Direct"  # that it gives by itself


CLICK_IDS = (
    ClickId(("gclid", "gbraid", "wbraid"), "google.com"),
    ClickId(("msclkid",), "bing.com"),
    ClickId(("yclid",), "yandex.ru"),
    ClickId(("dclid",), "doubleclick.net", channel="Display"),
    ClickId(("ttclid",), "tiktok.com"),
    ClickId(("twclid",), "x.com"),
    ClickId(("li_fat_id",), "linkedin.com"),
    ClickId(("fbclid",), "facebook.com", is_ad=False),  # every link that leaves Facebook has one
)

# Values of utm_medium, in small letters, that give a channel by themselves.
MEDIA: Mapping[str, tuple[str, ...]] = {
    "Display": ("display", "banner", "expandable", "interstitial", "cpm"),
    "Organic Social": ("social", "social-network", "social-media", "sm", "social network", "social media"),
    "AI Assistant": ("ai-assistant",),
    "Organic Search": ("organic",),
    "Email": ("email", "e-mail", "e_mail", "e mail"),
    "Affiliates": ("affiliate", "affiliates"),
    "Audio": ("audio",),
    "SMS": ("sms",),
    "Referral": ("referral", "app", "link"),
}
# Patterns for other values as a whole; the first that fits counts. `N` stands for any character of a value.
MEDIUM_PATTERNS = {
    "Paid Other": "N*cp.*|ppc|retargeting|paid.*",
    "Organic Video": "N*video.*",
    "Mobile Push Notifications": "N*(?:mobile|notification).*|N*push",
}
CAMPAIGN_PATTERNS = {
    "Cross-network": "N*cross-network.*",
    "AI Assistant": "[(]ai-assistant[)]",
    "Organic Shopping": "(?:N*[^a-df-z\x01])?shop.*|N*shopping.*",
}
VERSION = 20261129  # of the shipped list: a change of schemas/sources needs a later one


def channel_of(kind: Kind | None, state: int) -> int:
    """Returns the number of the channel of a source in a state. A source of which nothing is known (None) is a referral."""
    bits = state << STATE_SHIFT
    free, paid = kind or Kind("Referral")
    is_paid = bits & PAID_MEDIUM or (bits & AD_CLICK and (not bits & HAS_MEDIUM or paid != "Paid Other"))
    if not is_paid:
        return NUMBER[free]
    found = [free, paid, "Paid Other", *(["Paid Shopping"] if bits & SHOP_CAMPAIGN else [])]
    return min(NUMBER[one] for one in found)


# By 16 times the kind's number (0 for none that is known), plus the state.
TABLE = [channel_of(kind, state) for kind in (None, *KINDS.values()) for state in range(STATES)]
