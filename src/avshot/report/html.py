"""Parts of HTML pages that fetch nothing: their style, tables and pictures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from avshot.report.pictures import inside_page
from avshot.terminal.tables import is_numeric

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1b1b; max-width: 68rem;
       margin: 2.5rem auto; padding: 0 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 2px solid #0072B2; }
h3 { margin-top: 1.8rem; } .lead { color: #555; margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; white-space: nowrap;
        overflow-wrap: normal; }
th, td { padding: .28rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
.words { text-align: left; } th { border-bottom: 2px solid #1b1b1b; }
tr.reference td { color: #666; font-style: italic; } tr.best td { font-weight: 600; }
figure { margin: 1.2rem 0; } figure img, figure svg { max-width: 100%; height: auto; }
.warn { background: #fff4e0; padding: .5rem .9rem; border-left: 4px solid #E69F00; }
code { background: #f2f2f2; padding: 0 .25rem; } details { margin: .6rem 0; }
pre { overflow-x: auto; font-size: .85rem; }
@media (max-width: 45rem) {
  body { margin: 1rem auto; padding: 0 .8rem; } h1 { font-size: 1.4rem; } h2 { font-size: 1.2rem; margin-top: 1.8rem; }
  h3 { font-size: 1rem; } th, td { padding: .25rem .45rem; font-size: .85rem; }
  td:first-child, th:first-child { min-width: 6.5rem; max-width: 9rem; overflow-wrap: break-word; }
  td:first-child, th { white-space: normal; }
  figure img, figure svg { max-width: none; width: calc(var(--inches) * 76px); }
}
"""


def page(title: str, body: str) -> str:
    """A whole page around its body."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{escape(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def image(title: str, forms: dict[str, bytes], *, inches: float, alive: bool) -> str:
    """A figure `inches` wide under its title: as PNG, or `alive` as an SVG that tells names on hover."""
    if alive:
        content = inside_page(forms[".svg"], title)
    else:
        code = base64.b64encode(forms[".png"]).decode()
        content = f'<img alt="{escape(title)}" src="data:image/png;base64,{code}">'
    return (
        f'<figure><h3>{escape(title)}</h3><div class="scroll" style="--inches: {inches:.1f}">{content}</div></figure>'
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], reference: Sequence[bool] = ()) -> str:
    """A table; columns of numbers to the right, rows of `reference` apart."""
    words = [not is_numeric(row[i] for row in rows) for i in range(len(head))]

    def line(cells: Sequence[str], tag: str, kind: str = "") -> str:
        opened = (f'<{tag} class="words">' if word else f"<{tag}>" for word in words)
        return f"<tr{kind}>" + "".join(f"{o}{escape(c)}</{tag}>" for o, c in zip(opened, cells, strict=True)) + "</tr>"

    kinds = [' class="reference"' if is_reference else "" for is_reference in reference or [False] * len(rows)]
    body = "".join(line(row, "td", kind) for row, kind in zip(rows, kinds, strict=True))
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def slug(text: str) -> str:
    """For a file name: short enough for every file system."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())[:60].strip("-")
