"""Candidate classes: the embeddings that an experiment asks for, and which of them a stage may choose from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.embed import embed_classes
from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import Outcome, optimise
from avshot.classes.phrase import phrases, read_descriptions
from avshot.data.dataset import Dataset
from avshot.data.official.benchmark import released_descriptions
from avshot.experiment import Experiment
from avshot.task import Stage
from avshot.types import Classes


def class_embeddings(dataset: Dataset, experiment: Experiment, names: tuple[str, ...]) -> Classes:
    """Class embeddings of `names` as the text encoders (or the dataset's own vectors) give them."""
    return joined(_embedded(dataset, experiment, names), experiment)


def joined(classes: Classes, experiment: Experiment) -> Classes:
    """Several class embeddings end to end, each at unit length, where the experiment asks for that (`join_text`)."""
    if not experiment.join_text:
        return classes
    side_by_side = torch.cat([F.normalize(vectors, dim=1) for vectors in classes.text.values()], dim=1)
    return classes.with_text({"+".join(classes.text): side_by_side})


def _embedded(dataset: Dataset, experiment: Experiment, names: tuple[str, ...]) -> Classes:
    own = [name for name in experiment.text if name in dataset.text]
    if dataset.text and (own or not any(":" in name for name in experiment.text)):  # "clip:<model>" asks for an encoder
        place = {name: i for i, name in enumerate(dataset.names)}
        rows = torch.tensor([place[name] for name in names])
        text = {encoder: dataset.text[encoder][rows] for encoder in own or dataset.text}
        return Classes(names, text, torch.zeros(len(names), dtype=torch.bool))
    spoken = {name: dataset.phrases.get(name, name) for name in names}
    texts = phrases(tuple(spoken.values()), prompts=experiment.prompts, descriptions=_description_file(experiment))
    return embed_classes(names, experiment.text, phrases={name: texts[spoken[name]] for name in names})


def descriptions_of(experiment: Experiment) -> dict[str, list[str]] | None:
    """All descriptions that an experiment's file holds, by `join_key` of the class; None where it names no file.

    A Run keeps them, so that it does not depend on the file staying where and what it is.
    """
    file = _description_file(experiment)
    return None if file is None else read_descriptions(file)


def _description_file(experiment: Experiment) -> str | None:
    if experiment.descriptions == "released":
        return str(released_descriptions(experiment.dataset))
    return experiment.descriptions


def stage_candidates(experiment: Experiment, stage: Stage, raw: Classes) -> tuple[Classes, Classes, dict[str, Any]]:
    """Candidate classes of a stage with (used, raw) embeddings; optimisation sees only this stage's names."""
    picked = raw.select(stage.candidates)
    seen = torch.tensor([name in set(stage.seen) for name in stage.candidates], dtype=torch.bool)
    picked = Classes(picked.names, picked.text, seen)
    settings = experiment.resolved_optimise()
    if settings is None:
        return picked, picked, {}
    moved = {encoder: _optimised(_Given(vectors, picked.names, settings)) for encoder, vectors in picked.text.items()}
    used = picked.with_text({encoder: vectors.clone() for encoder, (vectors, _) in moved.items()})
    return used, picked, {encoder: outcome.to_dict() for encoder, (_, outcome) in moved.items()}


@dataclass(frozen=True)
class _Given:
    """What class-embedding optimisation is given; equal where every bit is."""

    vectors: Tensor = field(compare=False)
    names: tuple[str, ...]
    settings: OptimiseConfig
    content: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = self.vectors.detach().cpu().numpy()
        object.__setattr__(self, "content", numbers.tobytes() + f"{numbers.dtype}{numbers.shape}".encode())


@lru_cache(maxsize=16)  # the trainings of a bench differ in method and seed, and have their classes in common
def _optimised(given: _Given) -> tuple[Tensor, Outcome]:
    return optimise(given.vectors, given.settings, names=given.names)
