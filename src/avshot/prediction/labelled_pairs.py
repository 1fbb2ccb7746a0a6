"""Videos with an action and an adverb each, as somebody passes them to learn manners from, as a dataset of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from avshot.classes.names import tidy_all
from avshot.data.dataset import Dataset, FeatureSource
from avshot.data.pairs import all_pairs, by_frequency, pair_name
from avshot.errors import BadDataset, BadSetting
from avshot.experiment import Experiment
from avshot.prediction.manners import Pair
from avshot.types import Clip


def named_labels(labels: Iterable[str | Pair], experiment: Experiment) -> tuple[Iterable[str], dict[str, Pair]]:
    """The labels as class names, and which action and adverb each of these is; nothing where classes are plain."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        return labels, {}  # refused where they are counted
    given = list(labels)
    paired = [isinstance(label, tuple | list) and len(label) == 2 for label in given]
    task = experiment.task.partition("?")[0]
    if task != "adverb" and any(paired):
        raise BadDataset(
            f"Got the pair {given[paired.index(True)]!r} as a label for the task {task}; pass class names, or build "
            'Recognizer(task="adverb").'
        )
    if task != "adverb":
        return [str(label) if isinstance(label, str) else label for label in given], {}  # type: ignore[misc]
    if not all(paired):
        raise BadDataset(
            f"Got the label {given[paired.index(False)]!r} for the task adverb; pass an action and an adverb for each "
            'video: ("cutting", "slowly").'
        )
    pairs = [tidy_all(label) for label in given]
    pair_of = {pair_name(action, adverb): (action, adverb) for action, adverb in pairs}
    return [pair_name(action, adverb) for action, adverb in pairs], pair_of


def further_classes(
    classes: Iterable[str], antonyms: Mapping[str, str] | None, experiment: Experiment
) -> tuple[str, ...]:
    """Classes without clips. Raises ValueError for what the task has no use for."""
    further, of_pairs = tidy_all(classes), experiment.task.partition("?")[0] == "adverb"
    if of_pairs and further:
        raise BadSetting("In the task adverb every action with every adverb is a class; leave classes away.")
    if antonyms is not None and not of_pairs:
        raise BadSetting('Antonyms are for the task adverb: build Recognizer(task="adverb").')
    return further


def own_pairs(
    clips: list[Clip], pair_of: Mapping[str, Pair], antonyms: Mapping[str, str], features: FeatureSource
) -> Dataset:
    """All clips as training clips of a dataset of pairs; the task holds some of them out to choose by."""
    occur = [pair_of[str(clip.label)] for clip in clips]
    actions, adverbs = (by_frequency(words) for words in zip(*occur, strict=True))
    pairs = all_pairs(actions, adverbs, antonyms)
    folds = {"train": np.arange(len(clips), dtype=np.int64)}
    return Dataset("own videos", tuple(clips), tuple(pairs.actions), folds, features, pairs=pairs)
