"""What a reader of a prediction should know of the clip: a modality that is missing, a clip unlike all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from avshot.run import Run
from avshot.types import Features

if TYPE_CHECKING:
    from avshot.features.describe import Described

WORDS = {"audio": "sound", "visual": "picture"}
EMPTY = {"audio": "silent", "visual": "black"}


def clip_notes(
    run: Run,
    read: Sequence[str],
    there: Features,
    used: Features,
    described: Described,
    strange: Mapping[str, float],
    n_classes: int,
) -> Iterator[str]:
    """Sentences about one clip.

    Args:
        run: The Run that predicts.
        read: Modalities that its model was trained to read.
        there: Features of the clip.
        used: Those of them that the prediction is from.
        described: How the file was described.
        strange: How far each modality lies from the training clips, in units of the farthest usual one.
        n_classes: Of the candidates.
    """
    for name, other in (("audio", "visual"), ("visual", "audio")):
        if name in read and not has(there, name):
            why = f"The {WORDS[name]} is {EMPTY[name]}" if name in described.empty else f"There is no {WORDS[name]}"
            yield f"{why}; the {WORDS[other]} alone decided."
        elif has(there, name) and not has(used, name):
            yield f"The {WORDS[other]} alone decided: validation went better without the {WORDS[name]}."
    if run.shown != run.experiment.modality and len(run.inputs.modalities) > 1:
        yield f"No training clip had anything but {WORDS[run.shown]}, so nothing else of this one was used."
    if described.status == "truncated":
        yield "The file ends early; only the part that is there was used."
    if n_classes == 1:
        yield "Only one class was named, so its probability is 1 whatever the video holds."
    far = [f"its {WORDS[name]} lies {factor:.1f} times" for name, factor in strange.items() if factor > 1]
    if far:
        yield (
            f"This clip is unlike anything it was trained on ({' and '.join(far)} as far out as usual clips go at "
            "most): take the ranking as a guess; its probabilities were flattened."
        )


def has(features: Features, modality: str) -> bool:
    """The first clip has a step of that modality."""
    return bool(features.has_audio[0] if modality == "audio" else features.has_visual[0])
