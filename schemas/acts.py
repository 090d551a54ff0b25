"""Names the events that are no acts: they say how a page was read, or who somebody is, and not that somebody did something.

They make nobody a visitor, begin no visit, end no bounce and can be no goal. Every query that counts people or visits leaves them out by
NO_ACTS_SQL, letter by letter (tests/unit/schemas/test_acts.py).
"""

from __future__ import annotations

READ = ("engagement", "vitals")  # what the tracker sends by itself, whatever a visitor does
ALIAS = "alias"
PREVIOUS_ID = "previous_id"  # the property of an alias that has the user id of before
IDENTITIES = ("identify", ALIAS, "group")  # who somebody is (docs/events.md)
NO_ACTS = (*READ, *IDENTITIES)
NO_ACTS_SQL = f"({', '.join(map(repr, NO_ACTS))})"
