"""Judges regular expressions before they are sent to ClickHouse, whose `match` compiles them with RE2 as well.

RE2 never takes exponential time, but a short pattern may need much memory: `match` was seen to take all that a server had. So each
pattern is first compiled here with little memory, and a pattern that needs more is refused.

Not promised: that ClickHouse accepts every pattern that is accepted here. It may have another version of RE2.
"""

from __future__ import annotations

import re2

PATTERN_BYTES_MAX = (
    1 << 20
)  # `.{1,1000}` fits into a quarter of it; `\pL{1,300}`, letters of all scripts, needs eight times as much


def fault(pattern: str) -> str | None:
    """Returns in RE2's own words why a pattern is not taken, or None if it is."""
    if "\0" in pattern:
        return "a pattern can't contain a zero byte"
    options = re2.Options()
    options.max_mem = PATTERN_BYTES_MAX
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    finally:
        re2.purge()  # or it keeps the last 128, which may have any size up to this
    return None
