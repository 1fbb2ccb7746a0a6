"""`Classes`: candidates with their embeddings, joined by name; `Factor`: one part of classes that are combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from avshot.errors import BadClassName


@dataclass(frozen=True)
class Factor:
    """One part of classes that are combinations: the action, or the adverb, of pairs such as "cut slowly".

    Attributes:
        index: `[class]` long: which value each class has.
        names: `[value]` the words of the values, unique; values that no class has may be among them.
        text: `{encoder: [value, dim]}` embeddings of the values, by the encoders of `Classes.text`.
        opposite: `[value]` long, the antonym of each value, -1 where none is known; None where the factor has none.
    """

    index: Tensor
    names: tuple[str, ...]
    text: Mapping[str, Tensor] = field(default_factory=dict)
    opposite: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(set(self.names)) != count:
            raise BadClassName(f"The values of a factor must be unique; got {', '.join(self.names)}.")
        if self.index.ndim != 1 or self.index.dtype != torch.long or not _within(self.index, 0, count):
            raise ValueError(
                f"The index of a factor has shape {tuple(self.index.shape)} and type {self.index.dtype}; expected "
                f"[class] long, each from 0 to {count - 1}."
            )
        for encoder, vectors in self.text.items():
            if vectors.ndim != 2 or len(vectors) != count:
                raise ValueError(
                    f"Embeddings {encoder!r} of a factor have shape {tuple(vectors.shape)}; expected [{count}, dim]."
                )
        if self.opposite is not None and (
            self.opposite.shape != (count,)
            or self.opposite.dtype != torch.long
            or not _within(self.opposite, -1, count)
        ):
            raise ValueError(
                f"The opposites of a factor have shape {tuple(self.opposite.shape)} and type {self.opposite.dtype}; "
                f"expected [{count}] long, each from -1 (none) to {count - 1}."
            )

    def __len__(self) -> int:
        return len(self.names)

    def select(self, rows: Tensor) -> Factor:
        """The factor of the classes `rows` (`[row]` long), in that order; the values stay."""
        return replace(self, index=self.index[rows.to(self.index.device)])

    def to(self, device: torch.device | str) -> Factor:
        """Move every tensor to `device`."""
        opposite = None if self.opposite is None else self.opposite.to(device)
        return Factor(self.index.to(device), self.names, {k: v.to(device) for k, v in self.text.items()}, opposite)


def _within(values: Tensor, low: int, end: int) -> bool:
    if values.is_meta or not values.numel():
        return True
    return low <= int(values.min()) and int(values.max()) < end


@dataclass(frozen=True)
class Classes:
    """Candidate classes. Column j of every score is `names[j]`; text is joined to classes by name, never by position.

    Attributes:
        names: Class names, unique.
        text: `{encoder: [class, dim]}` class embeddings; row j belongs to `names[j]`.
        seen: `[class]` bool, True where the class has a full set of training clips (seen, base).
        factors: The parts of classes that are combinations: "action" and "adverb" of pairs. Empty where classes are
            plain.
    """

    names: tuple[str, ...]
    text: Mapping[str, Tensor]
    seen: Tensor
    factors: Mapping[str, Factor] = field(default_factory=dict)
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.names)}
        if len(index) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise BadClassName(f"Class names must be unique; repeated: {', '.join(twice)}.")
        for encoder, vectors in self.text.items():
            if vectors.ndim != 2 or len(vectors) != len(self.names):
                raise ValueError(
                    f"Class embeddings {encoder!r} have shape {tuple(vectors.shape)}; "
                    f"expected [{len(self.names)}, dim], one row per class name."
                )
        if self.seen.shape != (len(self.names),) or self.seen.dtype != torch.bool:
            raise ValueError(
                f"seen has shape {tuple(self.seen.shape)} and type {self.seen.dtype}; expected [class] bool."
            )
        for name, factor in self.factors.items():
            if len(factor.index) != len(self.names):
                raise ValueError(
                    f"Factor {name!r} has values for {len(factor.index)} classes; expected {len(self.names)}."
                )
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dims(self) -> dict[str, int]:
        """Width of each class embedding: `{encoder: dim}`."""
        return {encoder: vectors.shape[1] for encoder, vectors in self.text.items()}

    def index(self, name: str) -> int:
        """Column of class `name`. Raises ValueError naming the nearest known classes."""
        if name not in self._index:
            from difflib import get_close_matches

            near = get_close_matches(name, self.names, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise BadClassName(f"Class {name!r} is not among the {len(self)} candidate classes.{hint}")
        return self._index[name]

    def select(self, names: Sequence[str]) -> Classes:
        """The classes `names`, in that order. Raises ValueError for an unknown name."""
        rows = torch.tensor([self.index(name) for name in names], dtype=torch.long, device=self.seen.device)
        text = {encoder: vectors[rows.to(vectors.device)] for encoder, vectors in self.text.items()}
        factors = {name: factor.select(rows) for name, factor in self.factors.items()}
        return Classes(tuple(names), text, self.seen[rows], factors)

    def with_text(self, text: Mapping[str, Tensor]) -> Classes:
        """The same classes with other embeddings (what class-embedding optimisation returns)."""
        return Classes(self.names, text, self.seen, self.factors)

    def to(self, device: torch.device | str) -> Classes:
        """Move every tensor to `device`."""
        text = {encoder: vectors.to(device) for encoder, vectors in self.text.items()}
        factors = {name: factor.to(device) for name, factor in self.factors.items()}
        return Classes(self.names, text, self.seen.to(device), factors)
