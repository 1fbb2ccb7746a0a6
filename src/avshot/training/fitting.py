"""Fitting a method to one stage of a task: what it reads, how it is built, and whether it can be trained at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from avshot.classes.candidates import class_embeddings
from avshot.classes.factors import with_factors
from avshot.data.dataset import Dataset
from avshot.errors import BadSetting
from avshot.experiment import Parts
from avshot.machine.memory import memory
from avshot.method import Inputs, Method, build_method, check_modalities
from avshot.task import Stage
from avshot.training.checkpoint import History
from avshot.training.clips import ClipSource, modalities_of
from avshot.training.loop import train
from avshot.types import Classes

_COPIES = 4  # weights, their gradients, and two averages of Adam
_BYTES = 4  # of a number


def embedded(parts: Parts, dataset: Dataset, names: tuple[str, ...] | None = None) -> Classes:
    """Class embeddings of `names`, or of all candidates of the task, as asked for; before any optimisation."""
    names = parts.task.candidates(dataset) if names is None else names
    found = class_embeddings(names, parts.wording, words=dataset.phrases, own=dataset.text_of(names))
    pairs = dataset.pairs
    if pairs is None:
        return found
    opposites = {"adverb": pairs.opposites} if pairs.antonyms else {}
    return with_factors(found, pairs.of_class, pairs.words, parts.wording, own=pairs.text, opposites=opposites)


def reads_averages(parts: Parts) -> bool:
    """Whether features are averaged once for all epochs; noise must be added to what was not averaged yet."""
    return not parts.method.needs.temporal and not parts.audio_noise


def as_read(parts: Parts, dataset: Dataset) -> Dataset:
    """The dataset as the method reads it. Raises ValueError where its features lack a modality that is needed."""
    if dataset.features is not None:  # by its sizes alone: nothing is read yet
        check_modalities(parts.method, Inputs(*dataset.features.dims, {}).modalities, parts.modality)
    return dataset.averaged if reads_averages(parts) else dataset


def shown(parts: Parts, dataset: Dataset, stage: Stage) -> str:
    """What a method sees: what is asked for, or the only modality that the training clips have.

    Another one, in a clip to be scored, would pass through layers that nothing trained, and have a say.
    """
    there = modalities_of(dataset, stage.train)
    return there[0] if parts.modality == "both" and len(there) == 1 else parts.modality


def fit(parts: Parts, dataset: Dataset, stage: Stage, classes: Classes, **options: Any) -> tuple[Method, History]:
    """Build and train a method on one stage; labels refer to the trained classes only (`learnt`).

    Args:
        parts: What is asked.
        dataset: As the method reads it.
        stage: Whose training clips are learnt from.
        classes: Its candidates with the embeddings to use.
        options: Further arguments of `avshot.training.loop.train`.

    Raises:
        ValueError: The method does not suit the clips or the task.
    """
    model = _built(parts, dataset, stage, classes)
    check_modalities(model, modalities_of(dataset, stage.train), parts.modality)  # a width alone is no features
    trained, sees = learnt(parts.method, stage, classes), shown(parts, dataset, stage)
    apart = stage.aside if parts.method.needs.pairs else {}  # others are not told of classes without training clips
    aside = {name: ClipSource(dataset, clips, trained, sees) for name, clips in apart.items()}
    source = ClipSource(dataset, stage.train, trained, sees, _positions(stage), aside)
    number = int(stage.name.removeprefix("stage"))
    seed = int(np.random.SeedSequence([parts.seed, number]).generate_state(1)[0])
    return model, train(model, source, parts.recipe, seed=seed, candidates=classes, **options)


def _built(parts: Parts, dataset: Dataset, stage: Stage, classes: Classes) -> Method:
    torch.manual_seed(parts.seed)
    inputs = Inputs.of(dataset.gather(stage.train[:1]), classes, learnt(parts.method, stage, classes).names)
    made = build_method(parts.method, parts.config, inputs, parts.modality).to(parts.device)
    _check_candidates(made, stage, parts, dataset)
    return made


def learnt(method: type[Method], stage: Stage, classes: Classes) -> Classes:
    """The classes that a method is trained among.

    Those with training clips; for a method of pairs (`Needs.pairs`) all candidates, of which `seen` tells those with
    training clips: it composes all of them.
    """
    return classes if method.needs.pairs else classes.select(stage.trained)


def _check_candidates(method: Method, stage: Stage, parts: Parts, dataset: Dataset) -> None:
    """Refuse to train what could not score a candidate. Raises ValueError."""
    if method.needs.pairs and dataset.pairs is None:
        raise BadSetting(
            f"Method {method.name!r} composes an action and an adverb, and the classes of {dataset.name!r} are not "
            "such pairs; declare it with `avshot dataset --pairs`, or choose another method (`avshot methods`)."
        )
    bare = [] if method.needs.pairs else [name for name in stage.candidates if name not in set(stage.trained)]
    if method.closed and bare:
        raise BadSetting(
            f"Method {method.name!r} with these settings scores only classes that have training clips, and the task "
            f"{parts.task.name} asks for {len(bare)} others, for example {bare[0]!r}; train it for gfsl, or choose "
            "another method (`avshot methods` lists them)."
        )


def _positions(stage: Stage) -> dict[str, torch.Tensor]:
    """Where the clips of each pool stand among the training clips."""
    ends = np.cumsum([len(clips) for clips in stage.pools.values()]).tolist()
    return {
        name: torch.arange(end - len(clips), end) for (name, clips), end in zip(stage.pools.items(), ends, strict=True)
    }


def why_not(parts: Parts, dataset: Dataset, classes: Classes | None = None) -> str | None:
    """Why a method cannot be trained on a dataset, or None when its inputs fit.

    Only sizes, modalities and memory are looked at: the method is built without memory for its weights.

    Args:
        parts: What is asked.
        dataset: Has features and training clips.
        classes: Some embedded classes; None embeds one.
    """
    try:
        classes = embedded(parts, dataset, dataset.names[:1]) if classes is None else classes
        stage = parts.task.stages(dataset)[0]
        names = stage.candidates if parts.method.needs.pairs else stage.trained
        inputs = Inputs.of(dataset.gather(stage.train[:1]), classes, names)
        with torch.device("meta"):
            model = build_method(parts.method, parts.config, inputs, parts.modality)
        _check_candidates(model, stage, parts, dataset)
    except ValueError as error:
        return str(error)
    except (RuntimeError, OverflowError, MemoryError) as error:  # sizes beyond all bounds
        return f"Method {parts.method.name!r} cannot be built with these settings: {_first_line(error)}."
    needed = _COPIES * _BYTES * sum(parameter.numel() for parameter in model.parameters())
    if parts.device == "cpu" and needed > (there := memory()):
        return (
            f"Method {parts.method.name!r} with these settings needs {needed / 1e9:.0f} GB of memory to train; this "
            f"machine has {there / 1e9:.0f} GB. Choose smaller sizes."
        )
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
