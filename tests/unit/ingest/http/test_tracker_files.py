"""Where the tracker's scripts are found."""

from ingest.http.tracker_files import FILES, VERCEL_PATH, tracker_scripts


def test_the_trackers_files_are_found() -> None:
    """The tracker under the name that the setting gives it, what it loads beside POST /f, and one where @vercel/analytics looks."""
    scripts = tracker_scripts("/stats.js")
    assert set(scripts) == {b"/stats.js", VERCEL_PATH.encode(), b"/f.debug.js", b"/f.queue.js", b"/f.vitals.js"}
    assert b"fetchLater" in scripts[b"/stats.js"].form("").body
    assert scripts[b"/stats.js"].form("br").coding == "br"
    assert b"import.meta" in scripts[b"/f.debug.js"].form("").body
    assert all(scripts[f"/f{name}".encode()].form("br").coding == "br" for name in FILES)
    vercel = scripts[VERCEL_PATH.encode()].form("").body
    assert vercel.endswith(scripts[b"/stats.js"].form("").body)
    assert b"vaq" in vercel
