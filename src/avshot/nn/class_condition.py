"""What stands for a class when features of it are made: its embedding, another class's, its number, its average clip.

Source: AV-Diff (Mercea, thesis, section 4.5.3, Table 4.6) tells its diffusion model word vectors, or "av_prot", the
averages of a class's audio and of its visual features side by side. The others are ours: they show whether the meaning
of the vectors matters at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.class_means import ClassMeans
from avshot.types import Classes, Features

CONDITIONS = ("text", "shuffled", "one_hot", "prototypes", "set_order")


class ClassCondition(nn.Module):
    """One vector for each class.

    Args:
        kind: "text": the embedding of the class; "shuffled": that of another class, in a fixed order where no class
            keeps its own; "one_hot": a 1 in the row of the class; "prototypes": the averages of its audio and of its
            visual features, each of length 1; "set_order": the embedding that the authors' program gives it, see
            `in_set_order`.
        names: The classes that are trained.
        text: Width of class embeddings.
        audio: Width of audio features.
        visual: Width of visual features.

    Raises:
        ValueError: Unknown kind.
    """

    def __init__(self, kind: str, names: Sequence[str], *, text: int, audio: int, visual: int) -> None:
        super().__init__()
        if kind not in CONDITIONS:
            raise ValueError(f"condition is {kind!r}; expected one of {', '.join(CONDITIONS)}.")
        self.kind, self.widths = kind, (audio, visual)
        self.row = {name: row for row, name in enumerate(names)}
        self.dim = {"one_hot": len(self.row), "prototypes": audio + visual}.get(kind, text)
        self.means = ClassMeans(names, audio + visual) if kind == "prototypes" else None

    def forward(self, classes: Classes) -> Tensor:
        """Vectors `[class, dim]`; a prototype of a class whose clips were not seen yet is zero.

        Raises:
            ValueError: A class is none of those that are trained, and the kind has a row for each of these.
        """
        (text,) = classes.text.values()
        if self.kind == "one_hot":
            return F.one_hot(self._rows(classes), len(self.row)).to(text.dtype)
        if self.means is not None:
            halves = self.means(classes).split(self.widths, dim=1)
            return torch.cat([F.normalize(half, dim=1) for half in halves], dim=1)
        if self.kind == "shuffled":
            return text[list(of_another(len(classes)))]
        if self.kind == "set_order":
            return text[list(in_set_order(classes.names, tuple(classes.seen.tolist())))]
        return text

    def see(self, features: Features, labels: Tensor, classes: Classes) -> None:
        """Let the clips of a batch, labelled `[clip]` among `classes`, enter their prototypes; else nothing."""
        if self.means is None:
            return
        there = [
            has[:, None].expand(-1, width)
            for has, width in zip((features.has_audio, features.has_visual), self.widths, strict=True)
        ]
        self.means.add(torch.cat(features.pooled(), dim=1), torch.cat(there, dim=1), labels, classes)

    def _rows(self, classes: Classes) -> Tensor:
        """Row of each class. Raises ValueError for one without."""
        strange = [name for name in classes.names if name not in self.row]
        if strange:
            raise ValueError(f"Class {strange[0]!r} is none of the {len(self.row)} trained classes.")
        return torch.tensor([self.row[name] for name in classes.names], device=classes.seen.device)


@cache
def of_another(count: int) -> tuple[int, ...]:
    """For each of `count` classes, one whose vector it gets: never its own (with two or more), the same each time."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0), device="cpu").tolist()
    given = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return tuple(given[i] for i in range(count))


@cache
def in_set_order(names: tuple[str, ...], seen: tuple[bool, ...]) -> tuple[int, ...]:
    """For each class, the class whose vector the program of AV-Diff gives it.

    The program keeps the vectors of a set of clips in the order of class numbers, and looks up that of class y at the
    place of y in `list(set(numbers))`: Python sets of integers are in the order of hashes, so the place is right only
    where numbers lie dense. Base and novel clips are sets of their own; those of novel classes are nearly always
    mixed up. Class numbers are ranks of the sorted names, here among the trained classes; in the program among all
    classes of the dataset, which are the same in stage 2.

    Args:
        names: Names of the trained classes.
        seen: Which are base.
    """
    number = {name: i for i, name in enumerate(sorted(names))}
    at = {number[name]: i for i, name in enumerate(names)}
    given = list(range(len(names)))
    for kind in (True, False):
        own = sorted(number[name] for name, base in zip(names, seen, strict=True) if base is kind)
        for place, found in enumerate(list(set(own))):
            given[at[found]] = at[own[place]]
    return tuple(given)
