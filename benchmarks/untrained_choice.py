"""The constants of `avshot.untrained.resemblance.READINGS`, chosen again on ESC-10, folds 1 to 3, alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avshot.classes.embed import create_text_encoder
from avshot.features.tagger import Tagger
from avshot.terminal.tables import markdown
from avshot.untrained.readers import LabelReader
from avshot.untrained.resemblance import READINGS, Reading, read, resemblance
from untrained import TEXTS, Described

TEMPERATURES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12)
THERE, ENOUGH = 0.3, 3  # probability from which a label counts as heard, and recordings in which it must be


def choice(some: Sequence[Described], taggers: Sequence[Tagger]) -> str:
    """Areas under the curve of all temperatures, and the constants chosen beside those in use, as Markdown."""
    areas, chosen = [], []
    for text in TEXTS:
        found = {}
        for words in (True, False):
            found[words] = [area_of_left_out(some, taggers, text, words, t) for t in TEMPERATURES]
            kind = "words" if words else "whole"
            areas.append([f"{text}, {kind}", *(f"{area:.4f}" for area in found[words])])
        words = max(found, key=lambda kind: max(found[kind]))
        best = Reading(TEMPERATURES[int(np.argmax(found[words]))], words, 1.0, 0.0)
        for title, reading in ((f"{text}, chosen here", best), (f"{text}, in use", READINGS[text])):
            slope, offset = calibrated(some, taggers, text, reading)
            chosen.append([title, f"{reading.temperature:g}", str(reading.words), f"{slope:.2f}", f"{offset:.2f}"])
        used = READINGS[text]
        chosen.append([f"{text}, stands in the code", f"{used.temperature:g}", str(used.words), f"{used.slope:.2f}",
                       f"{used.offset:.2f}"])  # fmt: skip
    head = ["mean area", *(f"t = {t:g}" for t in TEMPERATURES)]
    return f"{markdown(head, areas)}\n{markdown(['', 't', 'words', 'slope', 'offset'], chosen)}"


def area_of_left_out(some: Sequence[Described], taggers: Sequence[Tagger], text: str, words: bool, t: float) -> float:
    """How well labels that are left out of the vocabulary are told from it, as names: the mean area under the curve.

    A label is there in a recording where its mean probability is above `THERE`; those count that are there in `ENOUGH`
    recordings. The mean is over labels, then over taggers.
    """
    encoder, areas = create_text_encoder(text), []
    for number, tagger in enumerate(taggers):
        alike = resemblance(tagger.labels, tagger.labels, encoder, words=words).fill_diagonal_(-torch.inf)
        told = torch.stack([_mean(one, taggers, number) for one in some if len(one.sound.vectors)])
        scores = read(told, torch.softmax(alike / t, dim=1))
        there = told > THERE
        enough = (there.sum(dim=0) >= ENOUGH) & (~there).any(dim=0)
        areas.append(np.mean([_area(scores[:, i], there[:, i]) for i in enough.nonzero().flatten().tolist()]))
    return float(np.mean(areas))


def _mean(one: Described, taggers: Sequence[Tagger], number: int) -> Tensor:
    part = one.sound.vectors.split([len(tagger.labels) for tagger in taggers], dim=1)[number]
    return taggers[number].probabilities(part).mean(dim=0)


def _area(scores: Tensor, there: Tensor) -> float:
    """Share of pairs of a recording with and one without it that are in the right order; half for equal ones."""
    with_it, without = scores[there][:, None], scores[~there][None]
    return float(((with_it > without).float() + 0.5 * (with_it == without).float()).mean())


def calibrated(
    some: Sequence[Described], taggers: Sequence[Tagger], text: str, reading: Reading
) -> tuple[float, float]:
    """Slope and offset by logistic regression, over all steps and the ten names, of "is of this class" on the score."""
    from sklearn.linear_model import LogisticRegression

    names = tuple(sorted({one.label for one in some}))
    plain = Reading(reading.temperature, reading.words, 1.0, 0.0)  # its logit is the score
    reader = LabelReader.of(taggers, names, text, plain)
    scores = torch.cat([torch.logit(reader(one.sound.vectors).double()) for one in some]).numpy()
    true = np.concatenate([np.tile([name == one.label for name in names], (len(one.sound.time), 1)) for one in some])
    fitted = LogisticRegression(C=1e4).fit(scores.reshape(-1, 1), true.ravel())
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
