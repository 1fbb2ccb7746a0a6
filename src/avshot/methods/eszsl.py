"""ESZSL: a bilinear map between features and class embeddings by ridge regression in closed form, without training.

A clip scores `x' V s` for a class with embedding s. V is the least-squares fit of those scores to 1 for the true class,
with penalties on both sides of it, and one formula gives it; the two penalties are found by cross-validation.

Paper: Romera-Paredes and Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015,
https://proceedings.mlr.press/v37/romera-paredes15.html. Code read: bernard24/Embarrassingly-simple-ZSL, 700e92b.

How ours differs: x is the averaged picture and sound side by side, each standardised (but for constant channels, see
`avshot.nn.standardised`) and brought to unit length (the authors: ready-made image kernels; ours is the linear form).
The penalties are in units of the mean eigenvalue of the matrix they are added to, so that one grid suits ten clips and
a hundred thousand, and clips are weighed so that classes count alike; `released` restores plain units and weights. The
authors hold out one random fifth of the training classes to choose the penalties; ours makes `folds` folds of the
classes and uses each once. Scores are divided by their deviation over the training classes: the penalties set the size
of V, and a calibration found under some would mean nothing under others. Ranks do not change.

Missing modality: it enters as zeros after scaling, so the other one decides alone, and stays out of means and
deviations. Features made without it and features in which it is hidden give the same map under plain penalties;
`relative` ones are in units of a mean over all dimensions, so they differ by the share of those that are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.standardised import exact, mean_and_deviation
from avshot.types import Batch, Classes, Features

CHUNK = 2048  # clips that are multiplied at once: adding to a Gram matrix of 4,224 dims moves 143 MB each time
SCALINGS = ("none", "features", "standardise", "both")


@dataclass(frozen=True)
class Config:
    """Settings of `eszsl`."""

    gamma: float | None = None  # penalty on the classifier V s of a class; paper gamma; None: by cross-validation
    lam: float | None = None  # penalty on the image x' V of a clip; paper lambda; None: by cross-validation
    grid: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)  # tried for both; authors' code
    relative: bool = True  # penalties in units of the mean eigenvalue (ours); False: as they stand (authors)
    folds: int = 3  # of training classes, each held out once to choose the penalties; ours, memory grows with it
    wrong: float = 0.0  # target of the wrong classes, 1 is that of the true one; authors' code, -1 in a comment there
    balance: bool = True  # classes count alike, whatever their clips (ours, as a class-balanced batch); False: authors
    scaling: str = "both"  # per modality: "standardise" channels, unit length "features", "both" in turn, "none"; ours


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@dataclass(frozen=True)
class _Sums:
    """What the closed form needs of the training clips, in double precision.

    `gram [fold, dim, dim]` sums x x' over the clips of the classes in a fold, `sums [class, dim]` sums x over a class,
    both with the weights of the clips; `text [class, text_dim]`; `fold [class]` is -1 for a class without clips. Where
    there are fewer clips than dimensions, x are coordinates in `basis [feature dim, dim]`, which spans all clips.
    """

    gram: Tensor
    sums: Tensor
    text: Tensor
    fold: Tensor
    basis: Tensor | None

    def targets(self, keep: Tensor, wrong: float) -> Tensor:
        """X' Y S `[dim, text_dim]` over the classes in `keep [class]`, Y being 1 for the true class, else `wrong`."""
        sums, text = self.sums[keep], self.text[keep]
        return (1 - wrong) * sums.T @ text + wrong * torch.outer(sums.sum(dim=0), text.sum(dim=0))


@method
class ESZSL(Method):
    """A bilinear map from `[audio, visual]` to the class embeddings, in closed form."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            Recipe(epochs=1, batches_per_epoch=1),
            "ours: the grid of the authors' code, penalties by cross-validation over training classes",
            Selection(beta_grid="exact", views=VIEWS),
        ),
    }
    paper = (
        "Romera-Paredes and Torr, An embarrassingly simple approach to zero-shot learning, ICML 2015, "
        "https://proceedings.mlr.press/v37/romera-paredes15.html"
    )
    released: ClassVar[Mapping[str, Any]] = {"relative": False, "balance": False}

    map: Tensor
    penalties: Tensor
    deviation: Tensor

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.scaling not in SCALINGS:
            raise ValueError(f"scaling is {config.scaling!r}; expected one of {', '.join(SCALINGS)}.")
        tried = (*config.grid, *(value for value in (config.gamma, config.lam) if value is not None))
        if not config.grid or min(tried) <= 0 or config.folds < 2:
            raise ValueError("eszsl needs positive gamma, lam and grid values, at least one of them, and 2 folds.")
        for name, width in (("audio", inputs.audio), ("visual", inputs.visual)):
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_deviation", torch.ones(width))
        self.register_buffer("map", torch.zeros(inputs.audio + inputs.visual, inputs.text_dim))
        self.register_buffer("penalties", torch.zeros(2))  # the gamma and lambda in use, for the record
        self.register_buffer("deviation", torch.tensor(1.0))

    def phases(self) -> tuple[Phase, ...]:
        """None: `adapt` does it all."""
        return ()

    def scaled(self, features: Features) -> Tensor:
        """Averaged, scaled and joined features `[clip, dim_a + dim_v]`."""
        parts = []
        for name, value in zip(("audio", "visual"), features.pooled(), strict=True):
            if self.config.scaling in ("standardise", "both"):
                value = (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")
            if self.config.scaling in ("features", "both"):
                value = F.normalize(value, dim=1)
            parts.append(torch.where(getattr(features, f"has_{name}")[:, None], value, torch.zeros_like(value)))
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def adapt(self, support: Iterable[Batch] | None, classes: Classes) -> None:
        """Solve for the map on the training clips `support`; the candidates do not matter. None keeps the map.

        Three passes: means and deviations, sums, and (unless both penalties are given) the held-out classes.

        Raises:
            ValueError: There are no training clips.
        """
        if support is None:
            return
        counts = self._standardise(support)
        sums = self._accumulate(support, counts)
        gamma, lam = self._choose(support, sums, counts)
        everything = sums.fold >= 0
        gram, text = sums.gram.sum(dim=0), sums.text[everything]
        solved = self._left(gram, sums.targets(everything, self.config.wrong), gamma) @ self._right(text, lam)
        # Mean over clips of the variance over classes of x' V s, from V' X' X V and the covariance of S.
        variance = (solved.T @ gram @ solved * torch.cov(text.T, correction=0)).sum() / counts.sum()
        self.deviation.copy_(torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance)))
        self.map.copy_(solved if sums.basis is None else sums.basis @ solved)
        self.penalties.copy_(torch.tensor([gamma, lam]))

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Scores `x' V s` `[clip, class]` in units of their deviation over the training classes; 0 before `adapt`."""
        clips, text = self.embeddings(features, classes)
        return clips @ text.T / self.deviation

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `x' V` beside the class embeddings."""
        return self.scaled(features) @ self.map, next(iter(classes.text.values()))

    def _standardise(self, support: Iterable[Batch]) -> Tensor:
        """Set means and deviations of the channels over the clips that have the modality; clips per class `[class]`."""
        counts: Tensor | int = 0
        moments: dict[str, list[Any]] = {"audio": [0, 0, 0], "visual": [0, 0, 0]}
        for batch in support:
            counts = counts + torch.bincount(batch.labels, minlength=len(batch.classes))
            for (name, sums), value in zip(moments.items(), batch.features.pooled(), strict=True):
                real = exact(value[getattr(batch.features, f"has_{name}")])
                for i, part in enumerate((len(real), real.sum(dim=0), real.square().sum(dim=0))):
                    sums[i] = sums[i] + part
        if isinstance(counts, int):
            raise ValueError("eszsl got no training clips to learn from.")
        for name, (count, total, squares) in moments.items():
            mean, deviation = mean_and_deviation(count, total, squares)
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_deviation").copy_(deviation)
        return exact(counts)

    def _rows(self, support: Iterable[Batch], basis: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Scaled features `[clip, dim]`, labels `[clip]` and class embeddings `[class, text_dim]`, in large batches."""
        waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in support:
            x, (text,) = exact(self.scaled(batch.features)), batch.classes.text.values()
            waiting.append((x if basis is None else x @ basis, batch.labels.to(x.device), exact(text)))
            if sum(len(labels) for _, labels, _ in waiting) >= CHUNK:
                yield _joined(waiting)
                waiting = []
        if waiting:
            yield _joined(waiting)

    def _basis(self, support: Iterable[Batch], clips: int) -> Tensor | None:
        """Orthonormal `[feature dim, clip]` that spans the clips; None where it would not be smaller.

        A ridge solution lies in the span of its data, so solving there is exact and takes as long as the clips are few.
        """
        if clips >= len(self.map):
            return None
        return torch.linalg.qr(torch.cat([x for x, _, _ in self._rows(support, None)]).T)[0]

    def _accumulate(self, support: Iterable[Batch], counts: Tensor) -> _Sums:
        """Sum what the closed form needs, per fold of classes."""
        config, present = self.config, counts > 0
        # One fold where there is nothing to choose, or where one would hold out a single class.
        folds = min(config.folds, int(present.sum()) // 2) if None in (config.gamma, config.lam) else 1
        fold = torch.where(present, (present.cumsum(dim=0) - 1) % max(folds, 1), -1)
        weight = counts.sum() / (present.sum() * counts.clamp(min=1)) if config.balance else torch.ones_like(counts)
        basis = self._basis(support, int(counts.sum()))
        dim = len(self.map) if basis is None else basis.shape[1]
        gram = counts.new_zeros(max(folds, 1), dim, dim)
        sums, text = counts.new_zeros(len(counts), dim), counts.new_zeros(len(counts), self.map.shape[1])
        for x, labels, vectors in self._rows(support, basis):
            text.copy_(vectors)
            weighted = weight[labels][:, None] * x
            sums.index_add_(0, labels, weighted)
            for i in range(len(gram)):
                rows = fold[labels] == i
                gram[i].addmm_(weighted[rows].T, x[rows])
        return _Sums(gram, sums, text, fold, basis)

    def _choose(self, support: Iterable[Batch], sums: _Sums, counts: Tensor) -> tuple[float, float]:
        """The penalties under which held-out training classes are best told apart; the strongest on ties.

        With fewer than four training classes there is nothing to hold out: the middle of the grid.
        """
        gammas, lams = (
            sorted(self.config.grid if value is None else (value,), reverse=True)
            for value in (self.config.gamma, self.config.lam)
        )
        if len(sums.gram) < 2:
            return gammas[len(gammas) // 2], lams[len(lams) // 2]
        solved = [self._held_out(sums, i, gammas, lams) for i in range(len(sums.gram))]
        hits = counts.new_zeros(len(gammas), len(lams), len(counts))
        for x, labels, _ in self._rows(support, sums.basis):
            for i, (left, right) in enumerate(solved):
                rows = sums.fold[labels] == i
                clips = (x[rows].float() @ left).unflatten(1, (len(gammas), -1))
                found = torch.einsum("ngt,ltc->glnc", clips, right).argmax(dim=3)
                among = (sums.fold == i).nonzero().squeeze(1)
                hits.index_add_(2, labels[rows], (among[found] == labels[rows]).to(hits))
        recall = (hits / counts.clamp(min=1))[..., counts > 0].mean(dim=2)
        best = (recall >= recall.max() - 1e-12).nonzero()[0].tolist()
        return gammas[best[0]], lams[best[1]]

    def _held_out(self, sums: _Sums, i: int, gammas: list[float], lams: list[float]) -> tuple[Tensor, Tensor]:
        """Both sides of V without the classes of fold i, the right one times those classes.

        `[dim, gamma * text_dim]` and `[lambda, text_dim, held-out class]`: every pair of penalties is a product.
        """
        keep, held = (sums.fold >= 0) & (sums.fold != i), sums.text[sums.fold == i]
        gram, targets = sums.gram.sum(dim=0) - sums.gram[i], sums.targets(keep, self.config.wrong)
        left = torch.cat([self._left(gram, targets, gamma) for gamma in gammas], dim=1)
        right = torch.stack([self._right(sums.text[keep], lam) @ held.T for lam in lams])
        return left.float(), right.float()  # scores need no double precision

    def _left(self, gram: Tensor, targets: Tensor, gamma: float) -> Tensor:
        """`(X' X + gamma I)^-1 X' Y S` `[dim, text_dim]`."""
        return torch.cholesky_solve(targets, torch.linalg.cholesky(self._penalised(gram, gamma, len(self.map))))

    def _right(self, text: Tensor, lam: float) -> Tensor:
        """`(S' S + lambda I)^-1` `[text_dim, text_dim]`."""
        return torch.linalg.inv(self._penalised(text.T @ text, lam, text.shape[1]))

    def _penalised(self, matrix: Tensor, penalty: float, dim: int) -> Tensor:
        """The matrix plus the penalty on its diagonal, in units of its mean eigenvalue over `dim` dimensions."""
        unit = (matrix.trace() / dim).clamp(min=1e-12) if self.config.relative else 1.0
        return matrix + penalty * unit * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Features and labels of several batches as one; the class embeddings are the same in all."""
    return torch.cat([x for x, _, _ in parts]), torch.cat([labels for _, labels, _ in parts]), parts[0][2]
