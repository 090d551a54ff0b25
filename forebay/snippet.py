"""What a page needs to be measured, to paste into its <head>."""


def snippet(public_url: str, site: str = "") -> str:
    """The tag of the tracker; without a site the server takes the host of the page."""
    attribute = f' data-site="{site}"' if site else ""
    return f'<script defer src="{public_url.rstrip("/")}/f.js"{attribute}></script>'
