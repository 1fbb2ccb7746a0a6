"""One vector for a pair of action and adverb: a residual gate over the two words (thesis eq. 6.1).

The authors embed all V x A pairs in every step and pick rows. `avshot.nn.pair_table` gives the same rows without the
others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.nn.pair_table import Form, PairNetwork, Table
from avshot.nn.pairs import PARTS, class_of_pair, parts_of, trained_pairs, word_vectors
from avshot.types import Classes

MAINS = (*PARTS, "pair")
NORMS = ("all", "seen")


@dataclass(frozen=True)
class TextConfig:
    """Settings of `PairText`; defaults: ReGaDa's on VATEX, ActivityNet and MSR-VTT."""

    dim: int = 400  # width of the space of clips and pairs; thesis d_dim
    main: str = "adverb"  # what is gated: "adverb", "action", or "pair", the text of both words (Table 6.3)
    aux: str = "action"  # what else the gate and the residual see: "action" or "adverb", not the main one
    gate_layers: int = 2  # thesis N_g
    residual_layers: int = 2  # thesis N_r
    dropout_gate: float = 0.6  # in both; thesis drop_g
    sigmoid: bool = True  # False: the gate is not held between 0 and 1 (Table 6.5)
    residual: bool = True  # False: the gated words alone (Table 6.5)
    share_weights: bool = False  # one network is gate and residual, of `gate_layers` layers (Table 6.5)
    norm_over: str = "all"  # batch norm over "all" pairs, also those that do not exist (authors), or the "seen" ones


class PairText(nn.Module):
    """Embeds pairs: `w_g * sigmoid(gate(main, aux)) * main + w_r * residual(main, aux)` of projected word vectors.

    Args:
        config: The settings.
        text_dim: Width of word vectors.
        form: See `Form`.

    Raises:
        ValueError: A setting does not exist, or the main words are the others, too.
    """

    def __init__(self, config: TextConfig, text_dim: int, form: Form | None = None) -> None:
        super().__init__()
        form = Form() if form is None else form
        if config.main not in MAINS or config.aux not in PARTS or config.main == config.aux:
            raise BadSetting(
                f"main is {config.main!r} and aux {config.aux!r}; expected main adverb, action or pair, and another "
                "one of adverb and action as aux."
            )
        if config.norm_over not in NORMS:
            raise BadSetting(f"norm_over is {config.norm_over!r}; expected one of {', '.join(NORMS)}.")
        self.config, dim = config, config.dim
        self.project = nn.ModuleDict({part: nn.Linear(text_dim, dim) for part in (config.main, config.aux)})
        self.weights = nn.Parameter(torch.tensor(form.weights))
        self.gate = PairNetwork(dim, config.gate_layers, dropout=config.dropout_gate, form=form)
        own = config.residual and not config.share_weights
        layers = config.residual_layers
        self.residual = PairNetwork(dim, layers, dropout=config.dropout_gate, form=form) if own else None

    def known(self, classes: Classes) -> Tensor:
        """`[action, adverb]` bool: the pairs that can be embedded: all, or with the text of pairs the classes."""
        rows = class_of_pair(classes)
        return rows >= 0 if self.config.main == "pair" else torch.ones_like(rows, dtype=torch.bool)

    def of_classes(self, classes: Classes) -> Tensor:
        """Embeddings of the classes, `[class, dim]`."""
        return self(classes, *parts_of(classes))

    def forward(self, classes: Classes, action: Tensor, adverb: Tensor) -> Tensor:
        """Embed pairs, each of them once: one that is asked for twice has the same dropout, as in a table.

        Args:
            classes: They hold the word vectors, and say which pairs are seen.
            action: `[row]` long.
            adverb: `[row]` long; with the text of pairs, these must be `known`.

        Returns:
            `[row, dim]`.
        """
        count = len(word_vectors(classes, "adverb"))
        unique, back = torch.unique(action * count + adverb, return_inverse=True)
        pairs = {"action": unique // count, "adverb": unique % count}
        table = self._table(classes, pairs)
        main, aux = (self.project[part](self._words(classes, part)) for part in (self.config.main, self.config.aux))
        gate = self.gate(main, aux, table)
        kept = self.weights[0] * (gate.sigmoid() if self.config.sigmoid else gate) * main[table.main]
        if not self.config.residual:
            return kept[back]
        rest = gate if self.residual is None else self.residual(main, aux, table)
        return (kept + self.weights[1] * rest)[back]

    def _words(self, classes: Classes, part: str) -> Tensor:
        if part != "pair":
            return word_vectors(classes, part)
        (text,) = classes.text.values()
        return text

    def _table(self, classes: Classes, pairs: dict[str, Tensor]) -> Table:
        """The rows wanted, and how often each half stands in the table that the batch norm runs over."""
        main, aux = self.config.main, self.config.aux
        seen = self.config.norm_over == "seen" and bool(classes.seen.any())
        if main == "pair":
            own, counted = class_of_pair(classes)[pairs["action"], pairs["adverb"]], classes.seen
            counted = counted if seen else torch.ones_like(counted)
            others = parts_of(classes)[PARTS.index(aux)]
            size = len(word_vectors(classes, aux))
            return Table(own, pairs[aux], counted.long(), torch.bincount(others[counted], minlength=size))
        there = trained_pairs(classes) if seen else torch.ones_like(trained_pairs(classes))
        counts = {"action": there.sum(dim=1), "adverb": there.sum(dim=0)}
        return Table(pairs[main], pairs[aux], counts[main], counts[aux])
