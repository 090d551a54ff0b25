"""What a page needs to be measured, to paste into its <head>."""


def snippet(public_url: str, site: str = "", *, hash_routing: bool = False) -> str:
    """Returns the tag of the tracker; without a site the server takes the host of the page.

    A site that ingest knows to route by fragment (`hash_routing`) needs a tracker that does too, and the other way round.
    """
    attributes = (f' data-site="{site}"' if site else "") + (" data-hash" if hash_routing else "")
    return f'<script defer src="{public_url.rstrip("/")}/f.js"{attributes}></script>'
