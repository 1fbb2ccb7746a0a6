"""Numbers that are not finite (NaN, infinity): found where they enter, so that a message names a clip or a class.

One NaN in one clip makes every weight that learns from it NaN, and then every score. What comes out says nothing about
where it came from, so whoever finds such a number in a loss, a weight or a score asks here which input held one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from avshot.types import MODALITIES, Classes, Features

LARGE = 1e6  # numbers above it may overflow in products and squares; features of known extractors are far below
Part = tuple[Sequence[str], Features]  # clips, with what to call each


def checked_scores(method: str, scores: Tensor, features: Features, classes: Classes, ids: Sequence[str]) -> Tensor:
    """The scores, if all of them are finite: a ranking by NaN is an order of columns and no answer.

    Args:
        method: Name of the method that gave them.
        scores: What the method returned; `[clip, class]`, both of any number.
        features: The clips that were scored.
        classes: The classes that were scored.
        ids: What to call each clip.

    Raises:
        ValueError: There is not one score for each clip and class, or one is NaN or infinite; the sentence names the
            method, and the clip or class whose input is at fault, or else the first clip with such a score.
    """
    if tuple(scores.shape) != (len(features), len(classes)):
        raise ValueError(
            f"Method {method!r} gives scores of shape {list(scores.shape)} for {len(features)} clips and "
            f"{len(classes)} classes; expected [{len(features)}, {len(classes)}]."
        )
    wrong = ~scores.isfinite().all(dim=1)
    if not bool(wrong.any()):
        return scores
    first = ids[int(wrong.nonzero()[0])]
    what = f"Method {method!r} gives clip {first!r} scores that are not finite"
    cure = "its weights or a setting are at fault: train it again"
    raise ValueError(why_not_finite(what, classes, [(ids, features)], cure))


def why_not_finite(what: str, classes: Classes, parts: Iterable[Part], cure: str) -> str:
    """A sentence about something that is not finite: which input is at fault, or what to change where none is.

    Args:
        what: How the sentence begins: what is not finite, and where.
        classes: Their embeddings are looked at first.
        parts: Clips, read one part after the other until one is at fault. Values under a False mask do not count.
        cure: What to do where all inputs are finite and of a sensible size.
    """
    cause, largest = _class_at_fault(classes), 0.0
    for ids, features in () if cause else parts:
        cause = _clip_at_fault(ids, features)
        if cause:
            break
        largest = max(largest, _largest(features))
    if cause:
        return f"{what}, because {cause}."
    if largest > LARGE:
        return f"{what}, because the features are too large (up to {largest:.3g}); scale them to a size near 1."
    return f"{what}, although the inputs are (up to {largest:.3g}); {cure}."


def _class_at_fault(classes: Classes) -> str:
    for encoder, vectors in classes.text.items():
        wrong = ~vectors.isfinite().all(dim=1)
        if bool(wrong.any()):
            name = classes.names[int(wrong.nonzero()[0])]
            return f"the class embedding {encoder!r} of {name!r} holds {_first(vectors[wrong])}; embed it again"
    return ""


def _clip_at_fault(ids: Sequence[str], features: Features) -> str:
    for modality in MODALITIES:
        value, mask = getattr(features, modality), getattr(features, f"{modality}_mask")
        wrong = (~value.isfinite()).any(dim=2) & mask
        if bool(wrong.any()):
            clip = ids[int(wrong.any(dim=1).nonzero()[0])]
            return f"the {modality} features of clip {clip!r} hold {_first(value[wrong])}; mend them or leave it out"
    return ""


def _first(values: Tensor) -> str:
    """The first number that is not finite: "nan", "inf" or "-inf"."""
    return str(float(values[~values.isfinite()][0]))


def _largest(features: Features) -> float:
    """The largest absolute value among the real steps; 0 where there is none."""
    values = (getattr(features, name)[getattr(features, f"{name}_mask")] for name in MODALITIES)
    return max(float(value.abs().max()) if value.numel() else 0.0 for value in values)
