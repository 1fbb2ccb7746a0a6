"""From the steps of one modality to the probability of each name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.phrase import join_key, phrases
from avshot.features.joint import JointExtractor
from avshot.features.tagger import Tagger
from avshot.untrained.resemblance import Reading, read, weights, words_of

# What a name competes with where a joint encoder only tells which of several texts fits best.
BACKGROUND = ("speech", "music", "silence", "background noise", "a person", "a room", "a landscape", "text on a screen")
USUAL_SCALE = 30.0  # of a cosine, where a joint encoder states none; not calibrated


class Reader(Protocol):
    """Steps of one modality to probabilities."""

    def __call__(self, vectors: Tensor) -> Tensor:
        """Probabilities `[step, class]` of `vectors [step, dim]`, each name for itself."""


@dataclass(frozen=True)
class LabelReader:
    """Taggers side by side, whose labels the names resemble; of several the geometric mean counts.

    Attributes:
        taggers: Whose logits lie side by side in the steps.
        weights: `[class, label]` for each of them.
        reading: Slope and offset; None: the probability of the labels itself (names that are labels).
    """

    taggers: tuple[Tagger, ...]
    weights: tuple[Tensor, ...]
    reading: Reading | None

    @classmethod
    def of(cls, taggers: Sequence[Tagger], names: Sequence[str], text: str, reading: Reading) -> LabelReader:
        """Names in free text, read by what they resemble."""
        encoder = create_text_encoder(text)
        found = tuple(weights(names, tagger.labels, encoder, reading) for tagger in taggers)
        return cls(tuple(taggers), found, reading)

    @classmethod
    def of_labels(cls, taggers: Sequence[Tagger], names: Sequence[str]) -> LabelReader:
        """Names that are labels of at least one of the taggers, read as they are."""
        row = {join_key(name): i for i, name in enumerate(names)}
        found = []
        for tagger in taggers:
            weight = torch.zeros(len(names), len(tagger.labels))
            for column, label in enumerate(tagger.labels):
                if (key := join_key(first_word(label))) in row:
                    weight[row[key], column] = 1
            found.append(weight)
        return cls(tuple(taggers), tuple(found), None)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Probabilities `[step, class]` of logits `[step, label]` of all taggers side by side."""
        parts = vectors.split([len(tagger.labels) for tagger in self.taggers], dim=1)
        scores, known = vectors.new_zeros(len(vectors), len(self.weights[0])), vectors.new_zeros(len(self.weights[0]))
        for tagger, part, weight in zip(self.taggers, parts, self.weights, strict=True):
            has = (weight.sum(dim=1) > 0).to(vectors)
            scores += has * read(tagger.probabilities(part), weight)
            known += has
        scores /= known.clamp(min=1)
        if self.reading is None:
            return torch.where(known > 0, scores.exp(), 0.0).clamp(0, 1)
        return torch.sigmoid(self.reading.slope * scores + self.reading.offset)


@dataclass(frozen=True)
class JointReader:
    """An encoder in one space with texts: the cosine of a step and a name.

    Attributes:
        text: `[text, dim]` unit vectors of the names, and of what they compete with.
        count: Names among them.
        scale: Of the cosine.
        bias: Added; None: the texts compete with each other.
    """

    text: Tensor
    count: int
    scale: float
    bias: float | None

    @classmethod
    def of(cls, extractor: JointExtractor, names: Sequence[str], prompts: str = "name") -> JointReader:
        """Names as the text encoder of the same weights reads them; `prompts` as for `classes.phrase.phrases`."""
        scale, bias = extractor.scale_and_bias() or (USUAL_SCALE, 0.0)
        texts = phrases(list(names), prompts=prompts)
        own = {join_key(name) for name in names}
        rivals = [] if bias else [word for word in BACKGROUND if join_key(word) not in own]
        texts |= {word: [word] for word in rivals}
        vectors = embed_classes([*names, *rivals], [extractor.text_spec()], phrases=texts).text
        return cls(next(iter(vectors.values())), len(names), scale, bias or None)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Probabilities `[step, class]` of unit vectors `[step, dim]`."""
        logits = self.scale * vectors @ self.text.T
        if self.bias is not None:
            return torch.sigmoid(logits + self.bias)[:, : self.count]
        return logits.softmax(dim=1)[:, : self.count]


def first_word(label: str) -> str:
    """The first of the words of a label, as which it is listed: "goldfish" of "goldfish, Carassius auratus"."""
    return words_of(label)[0]
