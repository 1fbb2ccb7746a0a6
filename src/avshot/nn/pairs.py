"""Classes that are pairs of an action and an adverb, as methods read them: through their factors, never their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.errors import BadClassName, BadSetting
from avshot.types import Classes, Factor

PARTS = ("action", "adverb")


def factor(classes: Classes, part: str) -> Factor:
    """The "action" or "adverb" of classes that are pairs. Raises ValueError where they are plain."""
    if part not in classes.factors:
        raise BadSetting(f"The classes have no {part}: they are plain, and this method scores pairs ('cut slowly').")
    return classes.factors[part]


def word_vectors(classes: Classes, part: str) -> Tensor:
    """Embeddings `[value, dim]` of all actions or all adverbs. Raises ValueError where there is not just one encoder's.

    Values that no class has are among them: a method may know more actions than it is asked about.
    """
    found = factor(classes, part).text
    if len(found) != 1:
        known = ", ".join(found) or "none"
        raise BadSetting(f"The {part}s must be embedded by one text encoder; got {len(found)}: {known}.")
    return next(iter(found.values()))


def parts_of(classes: Classes, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which action and which adverb: two `[clip]` long of `labels [clip]`, or `[class]` of the classes themselves."""
    action, adverb = (factor(classes, part).index for part in PARTS)
    return (action, adverb) if labels is None else (action[labels], adverb[labels])


def class_of_pair(classes: Classes) -> Tensor:
    """`[action, adverb]` long: which class a pair is, -1 where it is none of them."""
    action, adverb = parts_of(classes)
    found = action.new_full((len(factor(classes, "action")), len(factor(classes, "adverb"))), -1)
    found[action, adverb] = torch.arange(len(classes), device=found.device)
    return found


def trained_pairs(classes: Classes) -> Tensor:
    """`[action, adverb]` bool: pairs among the classes that have training clips (`Classes.seen`)."""
    rows = class_of_pair(classes)
    return (rows >= 0) & classes.seen[rows.clamp(min=0)]


def rows_of(values: Factor, known: Sequence[str], what: str) -> Tensor:
    """Where the values of a factor stand in the list that a method has weights for: `[value]` long.

    Args:
        values: The factor of the classes at hand.
        known: Names that have a row, in order (`avshot.method.Inputs.factors`).
        what: What a value is called in the message: "adverb".

    Raises:
        ValueError: A class has a value that is not known. One that no class has may be unknown; its row is -1.
    """
    row: Mapping[str, int] = {name: i for i, name in enumerate(known)}
    found = torch.tensor([row.get(name, -1) for name in values.names], dtype=torch.long, device=values.index.device)
    strange = found[values.index] < 0
    if bool(strange.any()):
        name = values.names[int(values.index[strange][0])]
        raise BadClassName(
            f"There are no weights for the {what} {name!r}: this method has its own for each {what} and learnt "
            f"{len(known)} of them; ask for one of {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}."
        )
    return found


@dataclass(frozen=True)
class ActionGroups:
    """Candidate pairs sorted by action, so that each clip is looked at once for each action and not for each pair.

    Attributes:
        actions: `[group]` long: the distinct actions of the candidates.
        group: `[class]` long: the group of each pair.
        place: `[class]` long: where a pair stands in `[group, most]`, flattened.
        most: Pairs of the largest group.
    """

    actions: Tensor
    group: Tensor
    place: Tensor
    most: int

    @classmethod
    def of(cls, classes: Classes) -> ActionGroups:
        """Sort the candidates."""
        actions, group, counts = torch.unique(parts_of(classes)[0], return_inverse=True, return_counts=True)
        order = group.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[group[order]]
        most = int(counts.max()) if len(counts) else 0
        return cls(actions, group, group * most + rank, most)

    def table(self, rows: Tensor) -> Tensor:
        """Rows of the candidates `[class, dim]` as `[group, most, dim]`, zeros where a group is smaller."""
        flat = rows.new_zeros(len(self.actions) * self.most, rows.shape[1])
        return flat.index_copy(0, self.place, rows).unflatten(0, (len(self.actions), self.most))

    def back(self, scores: Tensor) -> Tensor:
        """`[clip, group, most]` as `[clip, class]`, in the order of the candidates."""
        return scores.flatten(1).index_select(1, self.place)

    def dots(self, clips: Tensor, rows: Tensor) -> Tensor:
        """Dot products of clips, as each looks for each action `[clip, group, dim]`, and pairs `[class, dim]`."""
        return self.back(torch.einsum("cgd,gmd->cgm", clips, self.table(rows)))

    def distances(self, clips: Tensor, rows: Tensor) -> Tensor:
        """Euclidean distances of clips `[clip, group, dim]` and pairs `[class, dim]`: `[clip, class]`."""
        # Not as |x|^2 - 2 xy + |y|^2, whose rounding may change who is nearer.
        mode = "donot_use_mm_for_euclid_dist"
        found = torch.cdist(clips.transpose(0, 1).contiguous(), self.table(rows), compute_mode=mode)
        return self.back(found.transpose(0, 1))
