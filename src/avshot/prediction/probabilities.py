"""Clips and candidates to probabilities: the method's scores, calibrated, and beside them what the Run was taught."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avshot.method import Method
from avshot.prediction.lists import Ready
from avshot.prediction.taught import Taught
from avshot.run import Run
from avshot.training.finite import checked_scores
from avshot.types import Classes, Features


class Probabilities:
    """What a Run says of clips, as log probabilities.

    Args:
        run: A finished Run.
        model: Its method.
        device: torch device.
    """

    def __init__(self, run: Run, model: Method, device: str) -> None:
        self._run, self._device = run, device
        self._taught = Taught(run, model, device) if run.info["taught"] else None

    @torch.inference_mode()
    def log(self, features: Features, asked: Ready, names: Sequence[str], heat: float | Tensor = 1.0) -> Tensor:
        """`[clip, class]`, in double precision: a confident model's evidence is in the tail.

        Args:
            features: The clips, as the method is to see them.
            asked: The candidates.
            names: What to call each clip in an error.
            heat: By what the temperature rises; of each clip `[clip, 1]`, or of all.
        """
        taught = [False] * len(asked.classes) if self._taught is None else self._taught.among(asked.meant)
        others = [i for i, new in enumerate(taught) if not new]
        if self._taught is None or len(others) == len(taught):
            return self._of_method(features, asked.model, asked.classes, names, heat)
        found = torch.log_softmax(self._taught.log_odds(features, names, asked.classes, asked.meant) / heat, dim=1)
        if others:
            among = asked.classes.select([asked.classes.names[i] for i in others])
            alone = self._of_method(features, asked.model, among, names, heat)
            found[:, others] = alone + found[:, others].logsumexp(dim=1, keepdim=True)
        return found

    def _of_method(
        self, features: Features, model: Method, classes: Classes, names: Sequence[str], heat: float | Tensor
    ) -> Tensor:
        scores = model.score(features.to(self._device), classes.to(self._device)).cpu().double()
        scores = checked_scores(model.name, scores, features, classes, names)
        lowered = self._run.task.apply(scores, classes.seen, self._run.settings)
        return torch.log_softmax(lowered / (self._run.temperature * heat), dim=1)
