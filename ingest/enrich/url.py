"""What of a URL may wait in the buffer: nothing that its site does not keep.

The table derives path, query, utm_* and source from the URL (schemas/migrations/0001) and keeps
no parameter that nobody allowed; but entries wait in Redis, and on its disk, for the replay tail.
So what would be thrown away there is thrown away here: 0.1 us for a URL without parameters.

Not promised: anything of the path, or of a user and password before the host.
"""

from __future__ import annotations

import re

from schemas.row import KEEP_FRAGMENT, KEEP_QUERY

# As the column `query` has it. A click id is kept as its presence.
_kept = re.compile(r"(?:utm_[a-z_]+|ref|source|via)=").match
_click = re.compile(r"((?:gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid|dclid)=)").match


def trimmed(url: str, flags: int) -> str:
    """A page's URL, less the parameters its site does not keep. `flags` as row.url_flags."""
    if flags & KEEP_QUERY or ("?" not in url and "#" not in url):
        return url
    if url.count("?") > 1:
        return url  # a tool appended a second query, and ClickHouse finds its parameters: better kept whole than lost
    page, _, fragment = url.partition("#")
    head, mark, query = page.partition("?")
    left = _parameters(query) if mark else ""
    if left or (mark and "?" in fragment):  # of two "?" the first begins the query, also of nothing
        head = f"{head}?{left}"
    if fragment and not flags & KEEP_FRAGMENT:
        _, mark, query = fragment.partition("?")  # ClickHouse looks for parameters here too
        left = _parameters(query if mark else fragment)
        fragment = mark + left if left else ""
    return f"{head}#{fragment}" if fragment else head


def referring(url: str) -> str:
    """A referrer: no site keeps more of it than where it is."""
    return url.partition("?")[0].partition("#")[0]


def _parameters(query: str) -> str:
    kept = []
    for part in query.split("&"):
        if _kept(part):
            kept.append(part)
        elif click := _click(part):
            kept.append(click[1] + "1")
    return "&".join(kept)
