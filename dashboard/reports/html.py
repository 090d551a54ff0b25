"""Writes the HTML of a mail: tables with their style in each element, as mail programs want it.

Programs that know dark colours take those of the one style sheet, which stands in the page itself; all others show it light.
Everything that a visitor may have sent is escaped.
"""

from __future__ import annotations

from html import escape

from dashboard.reports import words
from dashboard.reports.summary import Number

FONT = "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
INK, FAINT, LINE, PAPER, SHEET = "#1d2430", "#5b6675", "#e3e7ec", "#f4f6f8", "#ffffff"
GOOD, BAD = "#0f7a3d", "#b3261e"
DARK = """
@media (prefers-color-scheme: dark) {
  .paper { background: #12161c !important; } .sheet { background: #1b212a !important; }
  .ink { color: #e8ecf1 !important; } .faint { color: #a3aebb !important; } .line { border-color: #303844 !important; }
  .good { color: #5dd39e !important; } .bad { color: #ff9d94 !important; }
}"""
_kinds = {True: ("good", GOOD), False: ("bad", BAD), None: ("faint", FAINT)}


def page(title: str, *parts: str) -> str:
    """Returns a whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(title)}</title><style>:root {{ color-scheme: light dark; }}{DARK}</style></head>"
        f'<body class="paper" style="margin:0;padding:0;background:{PAPER}">'
        f'<table role="presentation" class="paper" width="100%" style="border-collapse:collapse;background:{PAPER}"><tr>'
        '<td align="center" style="padding:16px 8px">'
        f'<table role="presentation" class="sheet" width="100%" style="max-width:560px;border-collapse:collapse;background:{SHEET};'
        f'border-radius:8px;{FONT}"><tr><td style="padding:24px 20px">{"".join(parts)}</td></tr></table></td></tr></table></body></html>'
    )


def head(title: str, under: str) -> str:
    """Returns the title of a page, with what stands under it."""
    return (
        f'<h1 class="ink" style="margin:0 0 4px;font-size:20px;line-height:1.3;color:{INK};overflow-wrap:anywhere">{escape(title)}</h1>'
        f'<p class="faint" style="margin:0 0 20px;font-size:14px;line-height:1.5;color:{FAINT}">{escape(under)}</p>'
    )


def totals(numbers: tuple[Number, ...]) -> str:
    """Returns the totals, one in a line."""
    return _table("".join(_row(words.TITLES[number.name], number, is_large=True) for number in numbers))


def table(heading: str, rows: list[tuple[str, Number]]) -> str:
    """Returns a table under its heading."""
    return f'<h2 class="ink" style="margin:24px 0 4px;font-size:15px;color:{INK}">{escape(heading)}</h2>' + _table(
        "".join(_row(name, number) for name, number in rows)
    )


def foot(text: str, link: str) -> str:
    """Returns the end of a page: a link to the dashboard, if it is not empty, and the small print."""
    more = (
        f'<p style="margin:24px 0 0;font-size:14px"><a class="ink" style="color:{INK}" href="{escape(link)}">More on the dashboard</a></p>'
        if link
        else ""
    )
    return f'{more}<p class="faint" style="margin:28px 0 0;font-size:12px;line-height:1.5;color:{FAINT};overflow-wrap:anywhere">{escape(text)}</p>'


def _table(rows: str) -> str:
    return f'<table width="100%" style="border-collapse:collapse;table-layout:fixed">{rows}</table>'


def _row(name: str, number: Number, *, is_large: bool = False) -> str:
    kind, colour = _kinds[words.is_better(number)]
    size = 16 if is_large else 14
    cell = f"padding:7px 0;border-bottom:1px solid {LINE};font-size:{size}px;line-height:1.35;vertical-align:top"
    return (
        f'<tr><td class="ink line" style="{cell};color:{INK};overflow-wrap:anywhere">{escape(name)}</td>'
        f'<td class="ink line" align="right" width="34%" style="{cell};color:{INK};font-weight:600;white-space:nowrap">'
        f"{escape(words.value(number))}</td>"
        f'<td class="{kind} line" align="right" width="24%" style="{cell};color:{colour};white-space:nowrap">'
        f"{escape(words.change(number))}</td></tr>"
    )
