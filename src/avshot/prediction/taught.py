"""Classes that a Run was taught from a few clips after its training: how they and the trained ones share a clip.

A clip is described by the method's scores for the trained classes (`avshot.training.class_statistics`), in which every
class is a Gaussian (`avshot.nn.gaussian_classes`). These say how probable each taught class is, and how probable it is
that the clip is of another candidate; which of those, the method alone decides, calibrated as before:

```
log P(taught class n) = log G(n) + o    log P(other class c) = log P_method(c) + log sum over others G(c')
```

up to what all share. So the other classes keep their odds among each other, and lose no more than what the Gaussians
give to taught ones; o, which is 0 or less, keeps that within what they may lose (`avshot.prediction.forgetting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avshot.errors import WrongRun
from avshot.method import Method
from avshot.nn.gaussian_classes import Few, Known, widening_of
from avshot.run import Run
from avshot.training.finite import checked_scores
from avshot.types import Classes, Features


class Described:
    """The trained classes of a Run as Gaussians, and clips in their space.

    Args:
        run: A finished Run that keeps statistics of its classes.
        model: Its method.
        device: torch device.

    Raises:
        ValueError: It keeps none.
    """

    def __init__(self, run: Run, model: Method, device: str) -> None:
        kept = check_described(run)
        classes, count = run.classes(), kept["class/count"]
        has = [name for name, clips in zip(classes.names, count.tolist(), strict=False) if clips]
        self.classes, self.model, self._view, self._device = classes.select(has), model, run.view, device
        self.known = Known.of(kept["class/mean"].double(), kept["class/covariance"].double(), text_of(self.classes))

    @torch.inference_mode()
    def values(self, features: Features, names: Sequence[str]) -> Tensor:
        """Clips (`names` for messages) in white coordinates, `[clip, dim]`, in double precision on the CPU."""
        scores = self.model.score(features.to(self._device), self.classes.to(self._device)).cpu().double()
        return checked_scores(self.model.name, scores, features, self.classes, names) @ self.known.white


def check_described(run: Run) -> dict[str, Tensor]:
    """What a Run keeps of clips. Raises ValueError where that does not describe its classes."""
    kept = run.familiar()
    if "class/mean" not in kept:
        raise WrongRun(
            f"The Run in {run.path} cannot be taught, for it keeps no statistics of its classes: it is of an older "
            f"avshot, no class had two training clips, or its task ({run.experiment.task}) scores clips among "
            "different classes; train again, with the clips of the new classes among the others."
        )
    return kept


class Taught:
    """The taught classes of a Run.

    Args:
        run: A Run that was taught some.
        model: Its method.
        device: torch device.
    """

    def __init__(self, run: Run, model: Method, device: str) -> None:
        self.space, kept = Described(run, model, device), run.familiar()
        self.names = tuple(one["name"] for one in run.info["taught"])
        self._few, self._widening = few_of(self.space.known, kept, text_of(run.classes().select(self.names)))
        self._offset = float(kept["taught/offset"])

    def among(self, meant: Sequence[str]) -> list[bool]:
        """Which of some candidates, by their names in the Run, are taught ones."""
        return [name in self.names for name in meant]

    def log_odds(self, features: Features, names: Sequence[str], asked: Classes, meant: Sequence[str]) -> Tensor:
        """Log densities `[clip, class]` of all candidates, up to what they share.

        Args:
            features: The clips.
            names: What to call them.
            asked: The candidates.
            meant: What each of them is called in the Run.
        """
        known, value = self.space.known, self.space.values(features, names)
        trained = {name: i for i, name in enumerate(self.space.classes.names)}
        taught = {name: i for i, name in enumerate(self.names)}
        from_clips = torch.tensor([name in trained for name in meant])
        found = value.new_zeros(len(value), len(meant))
        rows = [trained[name] for name in meant if name in trained]
        found[:, from_clips] = known.log_densities(value, self._widening)[:, rows]
        mean, count = value.new_zeros(len(meant), value.shape[1]), torch.zeros(len(meant), dtype=torch.long)
        for i, name in enumerate(meant):
            if name in taught:
                mean[i], count[i] = self._few.mean[taught[name]], self._few.count[taught[name]]
        rest = ~from_clips
        few = Few(mean[rest], count[rest], text_of(asked)[rest])
        found[:, rest] = known.log_densities_of(few, value, self._widening) + self._offset * (count[rest] > 0)
        return found


def few_of(known: Known, kept: Mapping[str, Tensor], text: Tensor) -> tuple[Few, float]:
    """The taught classes of a Run in white coordinates, in their order, and the widening.

    Args:
        known: The trained ones.
        kept: What the Run keeps of clips.
        text: Class embeddings `[class, text_dim]` of the taught classes.
    """
    mean, count = kept["taught/mean"].double() @ known.white, kept["taught/count"]
    return Few(mean, count, text), widening_of(kept["taught/scatter"].double(), count, mean.shape[1])


def text_of(classes: Classes) -> Tensor:
    """All class embeddings side by side, `[class, dim]`, in double precision on the CPU."""
    return torch.cat(list(classes.text.values()), dim=1).cpu().double()
