"""What class-embedding optimisation did, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from avshot.classes.optimise.outcome import NEAR, Outcome

LISTED = 20  # classes, where none are asked for


def report(outcome: Outcome, classes: Sequence[str] | None = None) -> str:
    """An aligned text table: a summary, then nearest neighbours before and after.

    Args:
        outcome: What happened.
        classes: Names to list, in that order; None lists the `LISTED` ones with the nearest neighbours before.

    Raises:
        ValueError: A name that is not among the classes.
    """
    if classes is None:
        order = sorted(range(len(outcome.names)), key=lambda i: outcome.nearest_before[i])[:LISTED]
    else:
        unknown = [name for name in classes if name not in outcome.names]
        if unknown:
            raise ValueError(f"No class {unknown[0]!r} among the {len(outcome.names)} optimised classes.")
        order = [outcome.names.index(name) for name in classes]
    rows = [("class", "nearest before", "distance", "nearest after", "distance")]
    for i in order:
        row = [outcome.names[i]]
        for which, distance in (
            (outcome.neighbour_before[i], outcome.nearest_before[i]),
            (outcome.neighbour_after[i], outcome.nearest_after[i]),
        ):
            row += ["-" if which < 0 else outcome.names[which], f"{distance:.3f}"]
        rows.append((row[0], row[1], row[2], row[3], row[4]))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    return f"{summary(outcome)}\n\n{table}"


def summary(outcome: Outcome) -> str:
    """The outcome in four lines."""
    lines = [
        f"{len(outcome.names)} classes, {outcome.steps} steps, stopped by: {outcome.stopped}",
        f"nearest-neighbour cosine distance: mean {outcome.mean_before:.3f} -> {outcome.mean_after:.3f} "
        f"(x{outcome.growth:.2f}), least {min(outcome.nearest_before):.3f} -> {min(outcome.nearest_after):.3f}",
        f"rank correlation with before: {outcome.correlation:.3f}",
        f"nearest neighbour kept: {outcome.kept:.0%}; among the {NEAR} nearest before: {outcome.kept_near:.0%}",
    ]
    if outcome.duplicates:
        same = ", ".join(outcome.names[i] for i in outcome.duplicates)
        lines.append(f"same vector as another class, left together: {same}")
    return "\n".join(lines)
