"""`Finding`: a line of an audit, and audits as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        section: What it belongs to: "classes", "clips", "class vectors", "pairs", ...
        item: What was counted, for example "test_unseen (cls)".
        found: The count, or None where it cannot be computed.
        total: What it is a part of, where it is a part.
        note: More about it.
    """

    section: str
    item: str
    found: int | None
    total: int | None = None
    note: str = ""

    @property
    def count(self) -> str:
        """The count as text: "3 / 8"; "unknown" where it cannot be computed."""
        found = "unknown" if self.found is None else f"{self.found}"
        return found if self.total is None else f"{found} / {self.total}"


def rendered(title: str, findings: Sequence[Finding]) -> str:
    """Findings as text with aligned columns, section by section."""
    wide = max((len(f.item) for f in findings), default=0)
    far = max((len(f.count) for f in findings), default=0)
    lines, section = [title], ""
    for f in findings:
        if f.section != section:
            lines += ["", f.section]
            section = f.section
        lines.append(f"  {f.item:<{wide}}  {f.count:>{far}}  {f.note}".rstrip())
    return "\n".join(lines) + "\n"
