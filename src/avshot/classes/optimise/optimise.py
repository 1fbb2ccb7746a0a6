"""Class-embedding optimisation: classes farther apart, their relations kept (EZ-AVGZL, section 3.2).

Paper: Mo and Morgado, "Audio-visual Generalized Zero-shot Learning the Easy Way" (EZ-AVGZL), ECCV 2024. No code was
released. New embeddings w start at the text embeddings t and descend (1 - alpha) L_sem + alpha L_sep (eq. 4), their
rows scaled to length 1 after every step.

How ours differs: the paper says neither how long it descends nor with which step, and run to convergence the loss
forgets what the names mean. So **when to stop** is a setting, stated in terms of the result and not as a number of
steps: as soon as the mean nearest-neighbour distance has grown by the factor `growth`, which the last step meets
exactly. `docs/class-embedding-optimisation.md` has the reasons and the numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.optimise.config import DEFAULTS, OptimiseConfig
from avshot.classes.optimise.descent import descend
from avshot.classes.optimise.losses import own_entries, pairwise_distance, row_chunks, widest
from avshot.classes.optimise.newcomers import place
from avshot.classes.optimise.outcome import SAME, Outcome, measure
from avshot.classes.optimise.text import report, summary
from avshot.types import Classes

__all__ = ["OptimiseConfig", "Outcome", "optimise", "optimise_classes", "report", "summary"]


def optimise(
    vectors: Tensor,
    config: OptimiseConfig = DEFAULTS,
    *,
    names: Sequence[str] | None = None,
    seen: Tensor | None = None,
) -> tuple[Tensor, Outcome]:
    """Move class vectors apart, keeping each class's order of the others (EZ-AVGZL, section 3.2).

    Deterministic, and blind to the order of the classes. Classes with the same vector count once and stay the same: no
    text tells them apart. One class is only scaled to length 1. Classes already at right angles on average (few names,
    or very different ones) stay where they are: `growth` aims at a mean distance of 1 at most.

    Args:
        vectors: Class embeddings `[class, dim]`, no zero rows; not changed.
        config: Settings.
        names: Class names for the outcome.
        seen: `[class]` bool: classes that are trained, for `scope="seen"`, which moves these alone together; None, or
            none of them, moves all.

    Returns:
        New embeddings `[class, dim]` with unit rows, of the given type and device, and what happened.

    Raises:
        ValueError: Vectors that are not a matrix, hold a zero row or a value that is not finite.
    """
    _check(vectors)
    # Double precision: Adam's first steps follow the sign of the gradient, where rounding would show.
    start = F.normalize(vectors.detach().to(widest(vectors.device)), dim=1)
    first, copy_of = _without_copies(start)
    with torch.enable_grad():
        settled = _settled(first, copy_of, seen if config.scope == "seen" else None)
        descended, steps, stopped, history = _descended(start[first], settled, config)
    result = descended[copy_of]
    outcome = Outcome(
        settings=dataclasses.asdict(config),
        names=tuple(map(str, range(len(start)))) if names is None else tuple(names),
        duplicates=tuple(sorted(set(range(len(start))) - set(first.tolist()))),
        steps=steps,
        stopped=stopped,
        history=history,
        **measure(start, result),
    )
    return result.to(vectors.dtype), outcome


def optimise_classes(classes: Classes, config: OptimiseConfig = DEFAULTS) -> tuple[Classes, dict[str, Outcome]]:
    """Optimise every class embedding of `classes`: `(new classes, {encoder: outcome})`; see `optimise`.

    The classes move jointly: pass exactly the candidate classes of the stage, for no other name may act on them. With
    `scope="seen"` only those of `classes.seen` do.
    """
    results = {
        encoder: optimise(vectors, config, names=classes.names, seen=classes.seen)
        for encoder, vectors in classes.text.items()
    }
    text = {encoder: vectors for encoder, (vectors, _) in results.items()}
    return classes.with_text(text), {encoder: outcome for encoder, (_, outcome) in results.items()}


def _settled(first: Tensor, copy_of: Tensor, seen: Tensor | None) -> Tensor:
    """Which groups of equal classes move together: those with a seen class, or all where there is none."""
    found = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    if seen is not None:
        found[copy_of[seen.to(first.device)]] = True
    return found if bool(found.any()) else ~found


def _descended(
    start: Tensor, settled: Tensor, config: OptimiseConfig
) -> tuple[Tensor, int, str, tuple[dict[str, float], ...]]:
    """`descend` the settled classes; the others then take their place among them."""
    moved, steps, stopped, history = descend(start[settled], config)
    result = start.clone()
    result[settled] = moved
    if not bool(settled.all()):
        result[~settled] = place(start[~settled], start[settled], moved, config, steps)
    return result, steps, stopped, history


def _without_copies(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the first of each group of equal rows, and for each row the place of its group in that list."""
    first = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    for rows in row_chunks(len(vectors), len(vectors)):
        same = pairwise_distance(vectors[rows], vectors) < SAME
        own_entries(same, rows).fill_(True)
        first[rows] = same.to(torch.uint8).argmax(dim=1)
    places: Any = torch.unique(first, return_inverse=True)
    return places[0], places[1]


def _check(vectors: Tensor) -> None:
    if vectors.ndim != 2 or len(vectors) == 0:
        raise ValueError(f"Class vectors have shape {tuple(vectors.shape)}; expected [class, dim], one class at least.")
    if not bool(torch.isfinite(vectors).all()):
        raise ValueError("Class vectors hold values that are not finite; check the text encoder.")
    empty = (vectors == 0).all(dim=1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"Class vectors {empty} are zero; every class needs a vector with a direction.")
