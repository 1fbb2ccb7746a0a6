"""Which epochs a training runs, in which phases, and from which of them validation chooses."""

from __future__ import annotations

from collections.abc import Sequence

from avshot.recipe import Phase, spans, stretches


class Course:
    """The epochs of a training by their place among the recipe's: all of them, a prefix, or a prefix of each stretch.

    Args:
        phases: Of the method; without any, one look is all there is.
        total: Epochs of the recipe.
        epochs: How many to run, of each stretch where there are several; None = all.

    Raises:
        ValueError: Numbers of epochs for more or fewer stretches than there are.
    """

    def __init__(self, phases: Sequence[Phase], total: int, epochs: int | Sequence[int] | None) -> None:
        self._spans, self._stretches = spans(phases, total), stretches(phases, total)
        if not phases:
            epochs = 1
        if isinstance(epochs, Sequence):
            if len(epochs) != len(self._stretches):
                raise ValueError(f"Got epochs of {len(epochs)} stretches; this training has {len(self._stretches)}.")
            parts = zip(self._stretches, epochs, strict=True)
            self._epochs = [epoch for (own, _), count in parts for epoch in own[:count]]
        else:
            self._epochs = list(range(total if epochs is None else epochs))

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, number: int) -> int:
        """The recipe's epoch that is run as number `number`."""
        return self._epochs[number]

    def phase(self, number: int) -> Phase | None:
        """Its phase; the last one beyond the recipe's epochs, None before the first."""
        if number < 0 or not self._spans:
            return None
        return next((phase for phase, own in self._spans if self[number] in own), self._spans[-1][0])

    def start(self, number: int) -> int:
        """The recipe's epoch with which its stretch begins."""
        return max(own.start for own, _ in self._stretches if own.start <= self[number])

    def by(self, number: int) -> str:
        """The metric that the best epoch of its stretch is chosen by; empty for the task's own rule."""
        return next(by for own, by in reversed(self._stretches) if own.start <= self[number])

    def begins(self, number: int) -> bool:
        """It is the first of its stretch, where there are several."""
        return len(self._stretches) > 1 and self.start(number) == self[number]
