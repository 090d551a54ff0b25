"""Reads the tracker's files, which are served as they are built (tracker/build.mjs)."""

from __future__ import annotations

from importlib.resources import files

from runtime.coded import Coded

DEBUG_PATH = "/f.debug.js"  # the path of POST /f and `.debug.js`: where the tracker looks for its second file
VERCEL_PATH = "/_vercel/insights/script.js"  # where @vercel/analytics looks for its script


def tracker_scripts(tracker_path: str) -> dict[bytes, Coded]:
    """Returns the tracker, its second file, and the tracker as @vercel/analytics calls it, by path."""
    built = files("tracker").joinpath("dist")
    core = Coded(built.joinpath("f.js").read_bytes(), built.joinpath("f.js.br").read_bytes())
    return {
        DEBUG_PATH.encode(): Coded(built.joinpath("f.debug.js").read_bytes()),
        VERCEL_PATH.encode(): Coded(built.joinpath("vercel.js").read_bytes() + built.joinpath("f.js").read_bytes()),
        tracker_path.encode(): core,
    }
