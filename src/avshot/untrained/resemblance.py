"""Names that an encoder was never taught, read from the labels that it was: a name is heard where its like is heard.

An encoder that names sounds or pictures answers with a probability p_l for each label l of its vocabulary. Labels and
a name c are embedded by one text encoder, and the name is given the mean probability of the labels that it resembles:

    score(c) = log sum_l w_l p_l,    w = softmax over labels of cos(l, c) / t

so that a name between labels is heard where any of them is, and one that is itself a label weighs that label most. What
resembles no label has flat weights and is never probable, which is honest. Where a label has several words ("goldfish,
Carassius auratus") its likest word counts, if the text encoder can tell words from lists of words.

Source: ours. ConSE (Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014,
eq. 2) goes the other way: it averages the embeddings of the likeliest labels and compares that with the name, so that
labels which happen at the same time (a dog, speech, music) are blurred into one point (`conse`, to compare with).

The readings below were chosen on ESC-10, folds 1 to 3, by `benchmarks/untrained.py --choose`: t by the mean area under
the curve of labels that were left out of the vocabulary and read as names; slope and offset by logistic regression of
whether a window is of a class on the score of its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.classes.embed import create_text_encoder
from avshot.classes.encoder import TextEncoder
from avshot.classes.kept import encode_kept
from avshot.classes.phrase import spoken

LEAST = 1e-12  # added to a probability before its logarithm


@dataclass(frozen=True)
class Reading:
    """How labels are read with a text encoder.

    Attributes:
        temperature: t, in units of the cosine.
        words: Whether each word of a label is compared, and the likest counts; False: the label as it is.
        slope: What the score is multiplied by ...
        offset: ... and what is added, to make the logit of a probability.
    """

    temperature: float
    words: bool
    slope: float
    offset: float


READINGS = {
    "minilm": Reading(temperature=0.06, words=True, slope=1.88, offset=7.55),
    "wordllama": Reading(temperature=0.08, words=False, slope=2.05, offset=8.23),
}
USUAL = READINGS["minilm"]  # of a text encoder that nothing was chosen for


def weights(names: Sequence[str], labels: Sequence[str], text: str | TextEncoder, reading: Reading) -> Tensor:
    """How much each label says of each name: `[class, label]` float32, rows that sum to 1.

    Args:
        names: In words, or as dataset identifiers.
        labels: The vocabulary of an encoder.
        text: A text encoder, or its spec.
        reading: Temperature, and whether the words of a label are looked at one by one.
    """
    encoder = create_text_encoder(text) if isinstance(text, str) else text
    return torch.softmax(resemblance(names, labels, encoder, words=reading.words) / reading.temperature, dim=1)


def resemblance(names: Sequence[str], labels: Sequence[str], encoder: TextEncoder, *, words: bool) -> Tensor:
    """Cosines `[class, label]` of names and labels; with `words` the largest over the words of a label."""
    wanted = encoder.encode([spoken(name) for name in names])
    parts = [words_of(label) if words else [label] for label in labels]
    found = wanted @ encode_kept(encoder, [word for part in parts for word in part]).T
    columns = [part.amax(dim=1) for part in found.split([len(part) for part in parts], dim=1)]
    return torch.stack(columns, dim=1) if columns else found


def words_of(label: str) -> list[str]:
    """The words that a label offers.

    Example:
        >>> words_of("Bark, woof (of a dog)")
        ['Bark', 'woof', 'of a dog']
    """
    return [word.strip() for word in re.split(r"[,()]", label) if word.strip()] or [label]


def read(probabilities: Tensor, weight: Tensor) -> Tensor:
    """Scores `[..., class]` of names: the logarithm of the mean probability of the labels that they resemble.

    Args:
        probabilities: `[..., label]`.
        weight: `[class, label]`, from `weights`.
    """
    return torch.log(probabilities @ weight.T + LEAST)


def conse(probabilities: Tensor, labels: Tensor, names: Tensor, likeliest: int = 10) -> Tensor:
    """ConSE's scores `[clip, class]`: cosines of names with the mean of the likeliest labels.

    Args:
        probabilities: `[clip, label]`.
        labels: `[label, dim]` unit vectors.
        names: `[class, dim]` unit vectors.
        likeliest: Labels that take part (T in the paper, 10 there).
    """
    value, index = probabilities.topk(min(likeliest, len(labels)), dim=1)
    mean = torch.einsum("nk,nkd->nd", value, labels[index])
    return torch.nn.functional.normalize(mean, dim=1) @ names.T
