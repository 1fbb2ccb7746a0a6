"""Candidate classes: the class embeddings that a training asks for, and those of one stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise
from avshot.classes.optimise.outcome import Outcome
from avshot.classes.wording import Wording
from avshot.registry import TEXT_ENCODERS
from avshot.types import Classes


def class_embeddings(
    names: tuple[str, ...], wording: Wording, *, words: Mapping[str, str], own: Mapping[str, Tensor]
) -> Classes:
    """Class embeddings of `names` as the text encoders, or the dataset's own vectors, give them.

    Args:
        names: Class names.
        wording: How they are embedded.
        words: `{name: what is embedded in its place}`; a class that is not in it is embedded under its own name.
        own: `{encoder: [name, dim]}`: vectors that came with the dataset. Those that `wording` names are taken, or all
            where it names none of them and no encoder with a place (`clip:...`).

    Raises:
        ValueError: A text encoder that neither exists nor came with the dataset; a class that one cannot embed.
    """
    for encoder in wording.encoders if own else ():
        kind = encoder.partition(":")[0]
        if encoder not in own and kind not in TEXT_ENCODERS.names():
            shipped = f"the dataset ships {', '.join(own)}"
            raise ValueError(f"Text encoder {encoder!r} does not exist; {shipped}; {TEXT_ENCODERS.offer(kind)}")
    named = [encoder for encoder in wording.encoders if encoder in own]
    if own and (named or not any(":" in encoder for encoder in wording.encoders)):
        unseen = torch.zeros(len(names), dtype=torch.bool)
        return wording.joined(Classes(names, {encoder: own[encoder] for encoder in named or own}, unseen))
    spoken = {name: words.get(name, name) for name in names}
    return wording.embed(spoken, wording.described(tuple(spoken.values())), wording.made())


def candidates_of_stage(
    raw: Classes, names: Sequence[str], seen: Sequence[str], settings: OptimiseConfig | None
) -> tuple[Classes, Classes, dict[str, Any]]:
    """The candidates `names` of a stage with the embeddings that are used, with the raw ones, and what moved them.

    Args:
        raw: All classes of the training.
        names: Candidates of the stage; optimisation sees only these, or the trained ones of them (`scope`).
        seen: Those of them that are trained.
        settings: Of class-embedding optimisation; None = off.
    """
    picked, trained = raw.select(names), set(seen)
    picked = Classes(
        picked.names, picked.text, torch.tensor([name in trained for name in names], dtype=torch.bool), picked.factors
    )
    if settings is None:
        return picked, picked, {}
    own = tuple(picked.seen.tolist()) if settings.scope == "seen" else ()
    moved = {
        encoder: _optimised(_Given(vectors, picked.names, settings, own)) for encoder, vectors in picked.text.items()
    }
    used = picked.with_text({encoder: vectors.clone() for encoder, (vectors, _) in moved.items()})
    return used, picked, {encoder: outcome.to_dict() for encoder, (_, outcome) in moved.items()}


@dataclass(frozen=True)
class _Given:
    """What class-embedding optimisation is given; equal where every bit is."""

    vectors: Tensor = field(compare=False)
    names: tuple[str, ...]
    settings: OptimiseConfig
    seen: tuple[bool, ...]  # empty where it makes no difference
    content: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = self.vectors.detach().cpu().numpy()
        object.__setattr__(self, "content", numbers.tobytes() + f"{numbers.dtype}{numbers.shape}".encode())


@lru_cache(maxsize=16)  # the trainings of a bench differ in method and seed, and have their classes in common
def _optimised(given: _Given) -> tuple[Tensor, Outcome]:
    seen = torch.tensor(given.seen, dtype=torch.bool) if given.seen else None
    return optimise(given.vectors, given.settings, names=given.names, seen=seen)
