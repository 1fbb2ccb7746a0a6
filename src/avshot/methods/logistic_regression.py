"""Logistic regression on averaged features: what clips alone say, without any class embedding.

The reference that every few-shot table needs: multinomial logistic regression (scikit-learn) on standardised averages
of sound and picture, classes weighed alike however many clips they have. It knows the classes it has clips of, and no
others.

Paper: none. Program: Pedregosa et al., "Scikit-learn: Machine Learning in Python", JMLR 2011. Where ours differs from
its defaults: `class_weight="balanced"`, and as many steps as it takes to converge.

Missing modality: it enters as zeros, the mean of the training clips after standardisation, so the other one decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.method import VIEWS, Inputs, Method, Needs, Phase, Preset, Recipe, Selection, method
from avshot.nn.class_rows import ClassRows, only_text
from avshot.nn.standardised import Standardised
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `logistic_regression`."""

    inverse_penalty: float = 1.0  # C of scikit-learn, its default: larger trusts the clips more
    iterations: int = 1000  # at most, of L-BFGS; scikit-learn's default of 100 does not converge on a thousand channels


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class LogisticRegression(Method):
    """One linear score for each class with clips."""

    needs = Needs(temporal=False, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            Recipe(epochs=1, batches_per_epoch=1),
            "ours: scikit-learn's defaults, classes weighed alike",
            Selection(beta_grid="exact", views=VIEWS),
        ),
    }
    paper = "none: a reference of this project, see the file's first lines"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.inverse_penalty <= 0 or config.iterations < 1:
            raise BadSetting(
                f"inverse_penalty is {config.inverse_penalty} and iterations {config.iterations}; expected a number "
                "above 0 and at least 1."
            )
        self.standard = Standardised(inputs.audio, inputs.visual)
        self.classifier = ClassRows(inputs.text_dim, weight=self.standard.dim, bias=None)

    @property
    def closed(self) -> bool:
        """It scores only classes with clips."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """None: `adapt` does it all."""
        return ()

    @torch.no_grad()
    def adapt(self, support: Iterable[Batch] | None, classes: Classes) -> None:
        """Fit to the training clips `support`; the candidates do not matter. None keeps what was learnt.

        Classes with equal embeddings are one class.

        Raises:
            ValueError: The clips are of fewer than two classes.
        """
        from sklearn.linear_model import LogisticRegression as Solver

        if support is None:
            return
        self.standard.observe(support)
        batches = list(support)
        text, row = torch.unique(only_text(batches[0].classes), dim=0, return_inverse=True)
        value = torch.cat([self.standard(batch.features)[0] for batch in batches])
        labels = torch.cat([row[batch.labels] for batch in batches])
        there, labels = labels.unique(return_inverse=True)
        if len(there) < 2:
            raise BadSetting(f"logistic_regression got clips of {len(there)} classes; expected at least two.")
        solver = Solver(C=self.config.inverse_penalty, max_iter=self.config.iterations, class_weight="balanced")
        solver.fit(value.double().cpu().numpy(), labels.cpu().numpy())
        weight, bias = (torch.from_numpy(part).to(value) for part in (solver.coef_, solver.intercept_))
        if len(there) == 2:  # of two classes the solver keeps one difference
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        self.classifier.embedding, self.classifier.weight, self.classifier.bias = text[there], weight, bias

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Logits `[clip, class]`.

        Raises:
            ValueError: A class without training clips is among the candidates.
        """
        row, found = self.classifier.rows_of(only_text(classes))
        if not bool(found.all()):
            stranger = classes.names[int((~found).nonzero()[0])]
            known = len(self.classifier.embedding)
            raise BadSetting(
                f"logistic_regression knows the {known} classes it had clips of, not {stranger!r}; train it with clips "
                "of every class."
            )
        weight, bias = (self.classifier.get_buffer(name)[row] for name in ("weight", "bias"))
        return self.standard(features)[0] @ weight.T + bias
