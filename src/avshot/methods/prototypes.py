"""Prototypes: a class is a Gaussian about its mean, and its name says where the mean should be.

The reference that few-shot papers of the field lack. All classes share one covariance, measured over the training
clips, so a clip scores `x' P m - m' P m / 2` for a class with mean m, P the inverse covariance: linear discriminant
analysis with equal priors, or with an isotropic covariance the nearest mean. The mean of a class with few clips is a
mix: (1 - w) times the mean of its clips, plus w times the mean that its class embedding predicts by ridge regression
over the classes with clips. Classes with a full set of clips (`Classes.seen`) are the mean of their clips, classes
without any what their name predicts.

A mean is not known exactly: a clip lies further from a mean of few clips, or from one that only a name tells, than from
one of many, also when it is of that class. With d channels and e, the error of a mean as a share of the variance within
classes (1 / n for n clips; for names, the error of predictions for classes left out), its squared distance is d (1 + e)
on average, so d e / 2 is added to the score. And the covariance is shrunk and scaled by clips left out (`left_out.py`).
Without both, scores of classes with few clips would be lower by an amount that depends on the number of clips and of
classes, and a calibration chosen on other classes would not carry over. A given `shrinkage` switches both off.

w is a setting (0 = `class_means`, the clips alone; 1 = `text_alone`, the name alone), or it is found by playing few
shots with the seen classes: each in turn gets k of its clips, k being what classes with few have, and is told by its
other clips from the rest, its name being judged by the regression without it.

Paper: none, a reference of this project whose parts are textbook. Where ours differs from Snell et al., "Prototypical
Networks for Few-shot Learning", NeurIPS 2017: features are not learnt, the covariance is Fisher's, shrunk as by
Ledoit and Wolf, and names take part. That the distance to a mean of few clips is too large on average, and the remedy:
Moran and Murphy, "A Closer Look at Two Alternative Methods of Statistical Discrimination", Applied Statistics 28, 1979.

Missing modality: a clip is scored by the marginal Gaussians over the modality that it has. It stays out of the means
and variances of the other one. Where no clip of a class has a modality, the name alone says that part of its mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.class_rows import ClassRows, only_text
from avshot.nn.few_shots import Played, best_weight
from avshot.nn.left_out import LeftOut
from avshot.nn.named_means import FEWEST, NamedMeans, fit_named_means
from avshot.nn.shared_covariance import KINDS, from_scatter, precisions, shrunk
from avshot.nn.standardised import Standardised, exact
from avshot.types import Batch, Classes, Features

SIDES = ("mean", "both", "audio", "visual")  # a mean, and what it is to a clip that has both or one modality
MOST = 50  # clips of a class that few shots are played with
TOLD = 2000  # clips, about, that are left out in turn to tell how much to shrink the covariance


@dataclass(frozen=True)
class Config:
    """Settings of `prototypes`."""

    text_weight: float | None = None  # share of the name in the mean of a class with few clips; None: by playing them
    covariance: str = "shared"  # "shared" by all classes (discriminant analysis), or "isotropic": the nearest mean wins
    shrinkage: float | None = None  # of the covariance, with plain discriminant analysis; None: by clips left out
    draws: int = 5  # of k clips of every class, that few shots are played with; ours


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@dataclass(frozen=True)
class _Known:
    """The training classes: `text [class, text_dim]`, `sums` and `counts [class, dim]`, `few [class]` bool."""

    text: Tensor
    sums: Tensor
    counts: Tensor
    few: Tensor

    @property
    def means(self) -> Tensor:
        """Means of the clips `[class, dim]`; 0 where none has the channel."""
        return self.sums / self.counts.clamp(min=1)

    def doubt(self, share: Tensor, patterns: Tensor, named: Tensor) -> Tensor:
        """Errors `[pattern, class]` of mixed means, in units of the variance within classes, mean over the channels.

        Args:
            share: `[class, dim]` of the name in each mean.
            patterns: `[pattern, dim]` bool.
            named: `[pattern]` the error of what a name predicts.
        """
        weight = patterns.to(share) / patterns.sum(dim=1, keepdim=True).clamp(min=1).to(share)
        told = weight @ ((1 - share).square() / self.counts.clamp(min=1)).T
        return told + named[:, None] * (weight @ share.square().T)


@dataclass(frozen=True)
class _Spread:
    """How clips lie about their class mean.

    Attributes:
        precision: `[pattern, dim, dim]`, inverse covariances.
        distance: `[pattern]`, the mean squared distance of a clip (channels); 0 where doubt of means shall not count.
    """

    precision: Tensor
    distance: Tensor


@method
class Prototypes(Method):
    """Gaussian classes about means that clips and names agree on."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    aliases: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "class_means": {"text_weight": 0.0},
        "text_alone": {"text_weight": 1.0},
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            Recipe(epochs=1, batches_per_epoch=1),
            "ours: discriminant analysis shrunk by clips left out, the weight of the name by playing few shots",
            Selection(beta_grid="exact", views=VIEWS),
        ),
    }
    paper = "none: a reference of this project, see the file's first lines"

    lift_named: Tensor
    weight: Tensor

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.text_weight is not None and not 0 <= config.text_weight <= 1:
            raise ValueError(f"text_weight is {config.text_weight}; expected 0 (clips alone) to 1 (the name), or none.")
        share = 1.0 if config.shrinkage is None else config.shrinkage
        if config.covariance not in KINDS or config.draws < 1 or not 0 < share <= 1:
            raise ValueError(
                f"covariance, shrinkage and draws are {config.covariance!r}, {config.shrinkage} and {config.draws}; "
                f"expected one of {', '.join(KINDS)}, above 0 to 1, and at least 1."
            )
        self.standard = Standardised(inputs.audio, inputs.visual)
        # Beside each mean m what each pattern of modalities makes of it, P m; a name gives all of them by a linear map.
        self.classifier = ClassRows(inputs.text_dim, lift=len(SIDES) - 1, **dict.fromkeys(SIDES, self.standard.dim))
        for side in SIDES:
            self.register_buffer(f"map_{side}", torch.zeros(inputs.text_dim, self.standard.dim))
            self.register_buffer(f"offset_{side}", torch.zeros(self.standard.dim))
        self.register_buffer("lift_named", torch.zeros(len(SIDES) - 1))
        self.register_buffer("weight", torch.zeros(()))  # of the name in classes with few clips, for the record

    def phases(self) -> tuple[Phase, ...]:
        """None: `adapt` does it all."""
        return ()

    @torch.no_grad()
    def adapt(self, support: Iterable[Batch] | None, classes: Classes) -> None:
        """Measure classes and covariance on the training clips `support`; the candidates do not matter.

        None keeps what was measured. Four passes: standardisation, class sums, covariance, and few shots.

        Raises:
            ValueError: There are no training clips.
        """
        if support is None:
            return
        self.standard.observe(support)
        known, patterns = self._sums(support), self._patterns()
        spread = self._spread(support, known, patterns)
        base = known.few.logical_not() if int((~known.few).sum()) >= FEWEST else torch.ones_like(known.few)
        named = [_named(known, base, block) for block in torch.arange(self.standard.dim).split(self.standard.widths)]
        slope, offset, left_out = (
            torch.cat([getattr(one, part) for one in named], dim=-1) for part in ("map", "offset", "left_out")
        )
        error = _error_of_names(known, left_out, spread, patterns)
        weight = self._weight(support, known, left_out, spread, error)
        share = torch.where(known.counts > 0, weight * known.few.to(known.sums)[:, None], 1.0)
        means = (1 - share) * known.means + share * (known.text @ slope + offset)
        self.classifier.embedding = known.text.float()
        self.classifier.lift = (spread.distance[:, None] * known.doubt(share, patterns, error) / 2).T.float()
        self.lift_named.copy_(spread.distance * error / 2)
        for side, matrix in zip(SIDES, [torch.eye(self.standard.dim).to(means), *spread.precision], strict=True):
            setattr(self.classifier, side, (means @ matrix).float())
            getattr(self, f"map_{side}").copy_(slope @ matrix)
            getattr(self, f"offset_{side}").copy_(offset @ matrix)
        self.weight.fill_(weight)

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Discriminants `x' P m - m' P m / 2 + d e / 2` `[clip, class]`; 0 before `adapt`."""
        text = only_text(classes)
        row, found = self.classifier.rows_of(text)
        told, lifts = [], cast(Tensor, self.classifier.lift)
        for side in SIDES:
            value = text @ getattr(self, f"map_{side}") + getattr(self, f"offset_{side}")
            value[found] = getattr(self.classifier, side)[row[found]]
            told.append(value)
        mean, *pulled = told
        lift = self.lift_named.repeat(len(text), 1)
        lift[found] = lifts[row[found]]
        value, real = self.standard(features)
        scores, patterns = value.new_zeros(len(value), len(text)), self._patterns().to(value.device)
        for pattern, side, added in zip(patterns, pulled, lift.T, strict=True):
            rows = (real == pattern).all(dim=1)
            scores[rows] = value[rows] @ side.T - (mean * side).sum(dim=1) / 2 + added
        return scores

    def _patterns(self) -> Tensor:
        """Channels `[pattern, dim]` bool of a clip that has both modalities, sound alone, and picture alone."""
        return self.standard.spread(torch.tensor([[True, True], [True, False], [False, True]]))

    def _clips(self, support: Iterable[Batch], known: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Standardised clips, what of them is real, and their rows of `known [class, text_dim]`, batch by batch."""
        for batch in support:
            value, real = self.standard(batch.features)
            row = torch.cdist(exact(only_text(batch.classes)), known, p=float("inf")).argmin(dim=1)
            yield exact(value), exact(real).bool(), row[batch.labels.to(row.device)]

    def _sums(self, support: Iterable[Batch]) -> _Known:
        first = next(iter(support)).classes
        text, inverse = torch.unique(exact(only_text(first)), dim=0, return_inverse=True)
        few = torch.ones(len(text), device=text.device).index_fill(0, inverse[first.seen.to(text.device)], 0).bool()
        sums = text.new_zeros(len(text), self.standard.dim)
        counts = torch.zeros_like(sums)
        for value, real, row in self._clips(support, text):
            sums.index_add_(0, row, value)
            counts.index_add_(0, row, real.to(counts))
        return _Known(text, sums, counts, few & (counts.sum(dim=1) > 0))

    def _spread(self, support: Iterable[Batch], known: _Known, patterns: Tensor) -> _Spread:
        scatter = known.sums.new_zeros(self.standard.dim, self.standard.dim)
        step = math.ceil(float(known.counts.amax(dim=1).sum()) / TOLD) or 1
        told: list[tuple[Tensor, Tensor, Tensor]] = []
        for value, real, row in self._clips(support, known.text):
            residual = torch.where(real, value - known.means[row], 0.0)
            scatter.addmm_(residual.T, residual)
            use = ~known.few[row] if bool((~known.few).any()) else torch.ones_like(known.few[row])
            told.append((value[use][::step], real[use][::step], row[use][::step]))
        covariance = from_scatter(scatter, known.counts.sum(dim=0))
        if self.config.shrinkage is not None:
            plain = precisions(shrunk(covariance, self.config.shrinkage), patterns, self.config.covariance)
            return _Spread(plain, scatter.new_zeros(len(patterns)))
        values, reals, rows = (torch.cat(part) for part in zip(*told, strict=True))
        clips = LeftOut(values, reals, rows, known.means, known.counts)
        share = 1.0 if self.config.covariance == "isotropic" else clips.share(covariance, patterns)
        found = precisions(shrunk(covariance, share), patterns)
        scales = [clips.scale(precision, there, share) for precision, there in zip(found, patterns, strict=True)]
        return _Spread(found / found.new_tensor(scales)[:, None, None], patterns.sum(dim=1).to(found))

    def _weight(
        self, support: Iterable[Batch], known: _Known, left_out: Tensor, spread: _Spread, error: Tensor
    ) -> float:
        """The share of the name in the mean of classes with few clips; 0 where there are none."""
        if not bool(known.few.any()):
            return 0.0
        if self.config.text_weight is not None:
            return self.config.text_weight
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        taken = torch.zeros(len(known.text), dtype=torch.long, device=known.text.device)
        for value, real, row in self._clips(support, known.text):
            place = taken[row] + (one_hot(row, len(taken)).cumsum(dim=0)[torch.arange(len(row)), row])
            use = (place <= MOST) & ~known.few[row]
            taken += torch.bincount(row, minlength=len(taken))
            kept.append((value[use], real[use], row[use]))
        value, real, row = (torch.cat(part) for part in zip(*kept, strict=True))
        pattern = (real[:, None] == self._patterns().to(real.device)).all(dim=2).to(torch.uint8).argmax(dim=1)
        shots = round(float(known.counts[known.few].amax(dim=1).mean()))
        means = torch.where(known.counts > 0, known.means, left_out)
        named = spread.distance * error / 2
        lift = spread.distance[:, None] * known.doubt((known.counts == 0).to(means), self._patterns(), error) / 2
        played = Played(
            value, real, pattern, row, means, left_out, spread.precision, lift, spread.distance / shots / 2, named
        )
        return best_weight(played, shots, self.config.draws)


def _error_of_names(known: _Known, left_out: Tensor, spread: _Spread, patterns: Tensor) -> Tensor:
    """How far predictions for classes left out are from the true means, squared, in units of the variance `[pattern]`.

    The means that they are compared with are of clips, whose own error is taken off.
    """
    told = ~known.few & (known.counts.amin(dim=1) > 0)
    apart = (left_out - known.means)[told]
    distance = torch.einsum("cd,pde,ce->pc", apart, spread.precision, apart).mean(dim=1)
    own = known.doubt(torch.zeros_like(known.counts), patterns, distance)[:, told].mean(dim=1)
    return (distance / patterns.sum(dim=1).clamp(min=1) - own).clamp(min=0).nan_to_num()


def _named(known: _Known, base: Tensor, block: Tensor) -> NamedMeans:
    """What the names of classes say of the channels `block`, learnt from those of `base` with clips that have them."""
    use = base & (known.counts[:, block].amin(dim=1) > 0) if len(block) else base
    if not bool(use.any()):
        zeros = known.sums.new_zeros(known.text.shape[1], len(block))
        return NamedMeans(zeros, zeros[0], zeros[0], known.sums.new_zeros(len(known.text), len(block)), 0.0)
    found = fit_named_means(known.text[use], known.means[use][:, block])
    left_out = found(known.text)
    left_out[use] = found.left_out
    return replace(found, left_out=left_out)
