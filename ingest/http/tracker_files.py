"""Reads the tracker's files, which are served as they are built (tracker/build.mjs)."""

from __future__ import annotations

from importlib.resources import files

from runtime.coded import Coded

# The path of POST /f and one of these: where the tracker looks for the files that a page asks for (docs/tracker.md).
FILES = (".debug.js", ".queue.js", ".vitals.js")
VERCEL_PATH = "/_vercel/insights/script.js"  # where @vercel/analytics looks for its script


def tracker_scripts(tracker_path: str) -> dict[bytes, Coded]:
    """Returns the tracker, the files that it loads, and the tracker as @vercel/analytics calls it, by path."""
    built = files("tracker").joinpath("dist")

    def read(name: str) -> Coded:
        return Coded(built.joinpath(name).read_bytes(), built.joinpath(f"{name}.br").read_bytes())

    return {
        **{f"/f{name}".encode(): read(f"f{name}") for name in FILES},
        VERCEL_PATH.encode(): Coded(built.joinpath("vercel.js").read_bytes() + built.joinpath("f.js").read_bytes()),
        tracker_path.encode(): read("f.js"),
    }
