"""What a Run keeps of the clips of each class, so that further classes can be taught without them.

A clip is described by the method's own scores for the trained classes. Every method has such scores, whatever they
mean, they are as many as there are classes, and they hold what the method made of sound, picture and time; its inputs,
averaged over time, do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.method import Method
from avshot.training.clips import ClipSource
from avshot.training.scoring import Judged, score_clips
from avshot.types import Classes

MOST = 20_000  # clips that are scored; more of them change no mean that can be seen


def class_statistics(model: Method, source: ClipSource, classes: Classes, view: str) -> dict[str, Tensor]:
    """Per class how many clips, mean scores, and the covariance of the scores that all classes share.

    Args:
        model: The trained method.
        source: Its training clips, labelled among the trained classes.
        classes: The candidates of the Run.
        view: The modality to go by (`Selection.views`).

    Returns:
        `class/count [class]`, 0 for candidates without clips; `class/mean [trained, trained]` and
        `class/covariance [trained, trained]`, both over the classes with clips in the order of the candidates, which
        are also the classes that are scored. Empty where no class has two clips: how far clips of a class lie apart is
        not known then.
    """
    if len(source) > MOST:
        source = source.only(torch.linspace(0, len(source) - 1, MOST).long().numpy())
    place = torch.tensor([classes.index(name) for name in source.classes.names], dtype=torch.long)
    labels = place[source.labels]
    count = torch.bincount(labels, minlength=len(classes))
    if int(count.max()) < 2:
        return {}
    trained = classes.select([name for name, clips in zip(classes.names, count.tolist(), strict=True) if clips])
    scores = score_clips(model, Judged(source, trained), view).double()
    row = (count > 0).cumsum(dim=0)[labels] - 1
    clips = count[count > 0]
    mean = torch.zeros(len(trained), len(trained), dtype=scores.dtype).index_add_(0, row, scores) / clips[:, None]
    residual = scores - mean[row]
    covariance = residual.T @ residual / (len(scores) - len(trained))
    return {"class/count": count, "class/mean": mean.float(), "class/covariance": covariance.float()}
