"""Names every key of Redis, every field of its hashes, and how long what expires is kept.

`{k}` is the number of a shard: its braces make the keys of one shard share a hash slot of a Redis Cluster. docs/data-model.md
says the same for people, with what each holds.

    key                      type    written by                                       read by
    forebay:{k}:log          stream  ingest (append), flusher (trim, set_aside,       flusher, forebay, loadtest
                                     follow), forebay (retry_letter, retry_entry)
    forebay:{k}:producers    hash    ingest (append)                                  append, forebay audit
    forebay:{k}:seen         zset    ingest (append)                                  append
    forebay:{k}:accepted     hash    ingest (append); flusher forgets old minutes     flusher's ledger, forebay audit
    forebay:{k}:duplicate    hash    flusher (stored)                                 the same
    forebay:{k}:erased       hash    flusher (stored), forebay (count_erased,         the same
                                     erase_letter, accept_missing)
    forebay:{k}:leaving      hash    forebay (count_erased, erased_rows_left)         the same
    forebay:{k}:checkpoint   hash    flusher; forebay replay, settle, erase           flusher, forebay
    forebay:{k}:edges        list    flusher; forebay audit --accept                  flusher, forebay
    forebay:{k}:incarnation  string  flusher (take_lease)                             flusher, forebay
    forebay:{k}:lease        string  flusher; forebay (rewind, set_aside_by_hand,     flusher
                                     free_leases) takes it away
    forebay:{k}:dead         stream  flusher (stored); forebay takes letters out      flusher's ledger, forebay
    forebay:{k}:aside        hash    flusher (set_aside), forebay                     flusher's ledger, forebay
    forebay:{k}:aside:ID     list    the same                                         forebay (retry_entry)
    forebay:shards           string  whoever comes first                              all
    forebay:replicas         string  whoever is set to more (say_replicas)            all
    forebay:shard-key        string  ingest                                           ingest
    forebay:salt:START       string  ingest                                           ingest
    forebay:rewritten:DAY    string  ingest                                           ingest
    forebay:sites            hash    forebay site, dashboard (replace_field)          ingest, dashboard
    forebay:notes            hash    dashboard (replace_field)                        dashboard
    forebay:reports          hash    forebay report                                   dashboard
    forebay:told             hash    dashboard; forebay report forgets                dashboard
    forebay:reporter         string  dashboard                                        dashboard
    forebay:keys             hash    forebay key                                      dashboard, ingest
    forebay:rate:ID:HOUR     string  dashboard (rate)                                 dashboard
    forebay:users            hash    forebay user, dashboard (replace_field)          dashboard
    forebay:sessions:ID      hash    dashboard; forebay user takes it away            dashboard
    forebay:devices:ID       hash    dashboard; forebay user takes it away            dashboard
    forebay:signing          string  dashboard                                        dashboard
    forebay:{logins}:HASH    hash    dashboard (attempt)                              dashboard
    forebay:limit:HASH       hash    ingest (limit)                                   ingest
    forebay:rejected:N       hash    ingest (rejected)                                forebay site
    forebay:flushers         zset    flusher (enrol)                                  flusher
    forebay:{claims}         hash    flusher (claim)                                  flusher
    forebay:erasures         hash    forebay erase                                    flusher, forebay
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from schemas.row import SESSION_GAP_MS

SITES_KEY = "forebay:sites"
NOTES_KEY = "forebay:notes"
REPORTS_KEY = "forebay:reports"  # who is told what of a site
TOLD_KEY = "forebay:told"  # what they were told last
REPORTER_KEY = "forebay:reporter"  # the lease of the dashboard that tells it
KEYS_KEY = "forebay:keys"  # what the keys of API clients are known by: hashes, never the keys
USERS_KEY = "forebay:users"  # who may look, with the hashes of their passwords
LINKS_KEY = "forebay:links"  # public links, with the hashes of their tokens
SIGNING_KEY = "forebay:signing"  # what cookies of the dashboard are signed with
SHARDS_KEY = "forebay:shards"
REPLICAS_KEY = "forebay:replicas"  # how many replicas are waited for
SHARD_KEY_KEY = "forebay:shard-key"
FLUSHERS_KEY = "forebay:flushers"
CLAIMS_KEY = "forebay:{claims}"  # the shards' current blocks, in the order in which they are searched for copies
ERASURES_KEY = "forebay:erasures"

# A salt is made an hour before its local day begins at the earliest, and is gone half an hour after the day ended (I8). Until
# then an event of the next day may still join a session of this one.
SALT_AHEAD_SECONDS = 3_600
SALT_BEHIND_SECONDS = SESSION_GAP_MS // 1_000
SALT_KEYS = "forebay:salt:*"  # the pattern of all salts
REWRITTEN_KEPT_SECONDS = 2 * 86_400
REJECTED_SPAN_SECONDS = 600  # of one hash
REJECTED_KEPT_SECONDS = 7_200
RATE_SPAN_SECONDS = 3_600  # in which the requests of one key are counted
RATE_KEPT_SECONDS = 7_200
SESSION_SECONDS = 30 * 86_400  # how long somebody stays logged in
DEVICE_SECONDS = 400 * 86_400  # how long a device is known; browsers keep no cookie for longer
LIMIT_DEBT_SECONDS = 86_400  # what a bucket owes is forgiven beyond what comes in a day
# A worker's restart leaves a producer on every shard, 100 B each for good. One is forgotten a week after it was last
# seen: a spool on a machine that was off for so long is the only one that can still ask for it. When it was seen is
# noted once an hour.
PRODUCER_KEPT_SECONDS = 7 * 86_400
PRODUCER_NOTED_SECONDS = 3_600
# Redis ends a lease at a moment of its clock. When that is set back by a day, a dead holder's lease would last for a day:
# one that ends later than in so many lease times was not meant to.
LEASE_TIMES_MAX = 10


class Keys:
    """Holds the names of one shard's keys. They have one hash tag, so scripts work on a Redis Cluster."""

    __slots__ = (
        "accepted", "aside", "checkpoint", "dead", "duplicate", "edges", "erased", "incarnation", "lease", "leaving", "log",
        "producers", "seen", "shard",
    )  # fmt: skip

    def __init__(self, shard: int) -> None:
        tag = f"forebay:{{{shard}}}:"
        self.shard = shard
        self.log = tag + "log"
        self.checkpoint = tag + "checkpoint"
        self.edges = tag + "edges"
        self.producers = tag + "producers"
        self.seen = tag + "seen"
        self.accepted = tag + "accepted"
        self.incarnation = tag + "incarnation"
        self.lease = tag + "lease"
        self.dead = tag + "dead"
        self.duplicate = tag + "duplicate"
        self.erased = tag + "erased"
        self.leaving = tag + "leaving"  # of what is counted as erased, what ClickHouse may still hold
        self.aside = tag + "aside"

    def aside_entry(self, entry_id: object) -> str:
        """Returns the key of the list that keeps the fields of an entry that was set aside."""
        return f"{self.aside}:{entry_id}"


def salt_name(start: int) -> str:
    """Returns the name of the salt of the local days that begin with a unix second: the moment in UTC.

    At a midnight of UTC it is the day alone, because release 0.1.0, whose days were all of UTC, called it so. It shares
    these salts during an upgrade.
    """
    moment = datetime.fromtimestamp(start, UTC)
    if start % 86_400 == 0:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}".removesuffix(":00") + "Z"


def salt_key(start: int) -> str:
    """Returns the key of the salt of the local days that begin with a unix second."""
    return f"forebay:salt:{salt_name(start)}"


def rewritten_key(day: str) -> str:
    """Returns the key that is set once the AOF was rewritten on a UTC day; `day` as YYYY-MM-DD."""
    return f"forebay:rewritten:{day}"


def rejected_key(seconds: float) -> str:
    """Returns the key of what was rejected in the ten minutes around a moment in unix s."""
    return f"forebay:rejected:{int(seconds // REJECTED_SPAN_SECONDS)}"


def rate_key(key_id: str, seconds: float) -> str:
    """Returns the key that counts the requests of an API key in the hour around a moment in unix s."""
    return f"forebay:rate:{key_id}:{int(seconds // RATE_SPAN_SECONDS)}"


def sessions_key(user_id: str) -> str:
    """Returns the key of a user's sessions, whose fields are hashes of what their cookies have."""
    return f"forebay:sessions:{user_id}"


def devices_key(user_id: str) -> str:
    """Returns the key of the devices on which a user has logged in, whose fields are hashes of what their cookies have."""
    return f"forebay:devices:{user_id}"


def attempts_key(hashed: str) -> str:
    """Returns the key of a bucket of attempts to log in. All have one hash tag, because one script takes from several."""
    return f"forebay:{{logins}}:{hashed}"


def limit_key(number: int) -> str:
    """Returns the key of the bucket of a site, or of one of its clients, by 64 bits that are a hash of whose it is."""
    return f"forebay:limit:{number:016x}"


class CheckpointField(StrEnum):
    """Names the fields of a shard's checkpoint. Those with `of` are kept for each edge, or for each erasure."""

    STORED = "stored"  # the id up to which everything is in ClickHouse
    GENERATION = "generation"  # how often the lease was taken
    RUN = "run"  # the run id of the Redis on which the lease was last taken
    COUNTED = "counted"  # up to which edge metrics counted blocks before a replay
    COMPARED = "compared"  # the unix ms at which the ClickHouse was started that the tail was compared with
    SETTLED = "settled"  # the edge of a block of which a person said: go on with what is left of it
    VERDICT = "verdict"  # of an edge: the dead rows of its block
    DUPLICATE = "duplicate"  # of an edge: places of the copies in its block
    ERASED = "erased"  # of an edge: places of the rows that were erased from its block
    BURIED = "buried"  # of an edge: its dead, copies and erased rows were moved and counted
    ERASURE = "erasure"  # of an erasure: the shard has acknowledged it
    ERASURE_COUNTED = "erasure-counted"  # of an erasure: its stored rows were counted

    def of(self, whose: object) -> str:
        """Returns the field that this is of one edge or erasure."""
        return f"{self}:{whose}"


class ErasuresField(StrEnum):
    """Names the fields of the hash of erasures beside the erasures themselves, whose fields are their ids."""

    VERSION = ":version"  # a number that a new erasure raises
    PLANNING = ":planning"  # the erasure whose rows are being deleted
    PLAN = "plan"  # of an erasure: the plan that was chosen
    SETTLED = "settled"  # of an erasure: the unix ms at which its rows were gone
    DONE = "done"  # of an erasure: the unix ms at which all of it was done

    def of(self, erasure: str) -> str:
        """Returns the field that this is of one erasure."""
        return f"{erasure}:{self}"


LIMIT_FIELDS = ("level", "at")  # of a bucket: how many events (or attempts) it held, and when, in unix s
TURN_FIELD = "turn"  # of the claims: the last turn that was given. The other fields are shards
LEAVING_FIELD = "erasure"  # of what is leaving: whose it is. The other fields are totals
REJECTED_LAST = "last "  # of what was rejected: begins the field with the unix second of the last event of a name
