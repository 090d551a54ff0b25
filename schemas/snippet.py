"""What a page needs to be measured, to paste into its <head>."""

from __future__ import annotations

from schemas.tracker_names import EVENTS_PATH, TrackerNames, integrity_of, version_of

USUAL = TrackerNames()


def snippet(
    public_url: str,
    site: str = "",
    *,
    hash_routing: bool = False,
    names: TrackerNames = USUAL,
    script: bytes | None = None,
) -> str:
    """Returns the tag of the tracker; without a site the server takes the host of the page.

    A site that ingest knows to route by fragment (`hash_routing`) needs a tracker that does too, and the other way round.
    With the bytes of the script the tag is for this version alone, and says its hash, so that the browser runs no other one.
    """
    url = public_url.rstrip("/")
    path = names.script if script is None else names.versioned(version_of(script))
    attributes = [("src", url + path)]
    if script is not None:
        attributes += [("integrity", integrity_of(script)), ("crossorigin", "anonymous")]
    if site:
        attributes.append(("data-site", site))
    if names.events != EVENTS_PATH:  # which the script takes by itself
        attributes.append(("data-api", url + names.events))
    written = "".join(f' {name}="{value}"' for name, value in attributes)
    return f"<script defer{written}{' data-hash' if hash_routing else ''}></script>"
