"""Where the tracker's scripts are found."""

from ingest.http.tracker_files import DEBUG_PATH, VERCEL_PATH, tracker_scripts


def test_the_trackers_files_are_found() -> None:
    """The first under the name that the setting gives it, the second beside POST /f, and one where @vercel/analytics looks."""
    scripts = tracker_scripts("/stats.js")
    assert set(scripts) == {b"/stats.js", DEBUG_PATH.encode(), VERCEL_PATH.encode()}
    assert b"fetchLater" in scripts[b"/stats.js"].form("").body
    assert scripts[b"/stats.js"].form("br").coding == "br"
    assert b"import.meta" in scripts[DEBUG_PATH.encode()].form("").body
    vercel = scripts[VERCEL_PATH.encode()].form("").body
    assert vercel.endswith(scripts[b"/stats.js"].form("").body)
    assert b"vaq" in vercel
