"""Write the table in docs/methods.md, between its two markers, from the registry.

python docs/methods_table.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from avshot.registry import get_method, list_methods

PAGE = Path(__file__).resolve().parent / "methods.md"
BEGIN, END = "<!-- methods: written by docs/methods_table.py -->", "<!-- /methods -->"


def methods_table() -> str:
    """The table as Markdown: one row for each method, from its file's first line, `needs`, presets and `paper`."""
    rows = [["method", "idea", "reads", "published presets", "paper"], ["---"] * 5]
    for name in list_methods():
        cls = get_method(name)
        first = str(sys.modules[cls.__module__].__doc__).split("\n\n")[0].strip().replace("\n", " ")
        extra = {"negatives": cls.needs.negatives, "pairs": cls.needs.pairs}
        reads = ["steps" if cls.needs.temporal else "averages", *(name for name, needed in extra.items() if needed)]
        published = ", ".join(key for key, preset in cls.presets.items() if preset.published) or "none"
        link = f"[`{name}`](../src/avshot/methods/{name}.py)"
        link += f", as {', '.join(f'`{alias}`' for alias in cls.aliases)}" if cls.aliases else ""
        rows.append([link, first.partition(": ")[2].rstrip("."), " + ".join(reads), published, _linked(cls.paper)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _linked(paper: str) -> str:
    """Each `authors, title, venue, https://...` as a Markdown link; a paper without an address stays as it is."""
    parts = []
    for one in paper.split("; "):
        text, comma, address = one.rpartition(", https://")
        parts.append(f"[{text}](https://{address})" if comma else one)
    return "; ".join(parts)


def update(text: str) -> str:
    """`text` with a fresh table between the markers. Raises ValueError when a marker is missing."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"Expected the markers {BEGIN} and {END} once each in {PAGE.name}.")
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n{methods_table()}{END}", text, flags=re.S
    )


if __name__ == "__main__":
    PAGE.write_text(update(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
