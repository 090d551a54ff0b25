"""What people want to be told of a site, as `forebay report set` writes it into Redis and the dashboard reads it.

    forebay:reports   hash: site → {"wishes": [{"to": "ann@example.org", "what": "weekly", "since": N}, ...],
                                    "spike_times": 3, ...}
    forebay:told      hash: "WHAT SITE TO" → what was told last: of a report the first day of its period, as YYYY-MM-DD;
                      of an alarm the unix second

They are beside the sites' own records, because ingest reads those again after each change and needs none of this. A newer
release adds fields and changes none. What is not understood is passed over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

What = Literal["weekly", "daily", "spike", "drop"]
REPORTS: tuple[What, ...] = ("weekly", "daily")
ALARMS: tuple[What, ...] = ("spike", "drop")
WEBHOOK = "webhook"  # stands in the place of an address
WISHES_MAX = 100  # of one site


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Holds that somebody wants to be told something: `to` is a mail address or WEBHOOK. `since` is a unix second.

    Of reports they get those of periods that ended after it.
    """

    to: str
    what: What
    since: int = 0

    @property
    def address(self) -> str:
        """Returns the mail address; that of the webhook is empty."""
        return "" if self.to == WEBHOOK else self.to


class Wishes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds who is told what of a site, and what counts as a spike or a drop there.

    `spike_times`: people in the last hour, as a multiple of what is usual. `spike_visitors`: the least number of people in
    a spike. `drop_percent`: people in the last hour, of what is usual. `drop_usual`: how many have to be usual at least.
    `pause_hours`: for so long the same is not told again.
    """

    wishes: tuple[Wish, ...] = ()
    spike_times: Annotated[float, Meta(gt=1, le=1_000)] = 3.0
    spike_visitors: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 30
    drop_percent: Annotated[int, Meta(ge=0, le=99)] = 20
    drop_usual: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 30
    pause_hours: Annotated[int, Meta(ge=1, le=720)] = 12

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> Wishes:
        """Returns the wishes in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)


def told_field(what: What, site: str, to: str) -> str:
    """Returns the field of what somebody was told last. No name of a site and no address has a blank."""
    return f"{what} {site} {to}"
