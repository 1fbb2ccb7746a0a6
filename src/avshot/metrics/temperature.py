"""The temperature that makes softmax probabilities honest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Temperature that makes softmax probabilities of scores honest on these clips.

    Minimises the class-balanced negative log-likelihood of `softmax(scores / T)` over T > 0 on a logarithmic grid
    followed by a refinement (the function is smooth with one minimum in log T in practice).
    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. Ours differs: of n clips the
    target of the true class is (n + 1) / (n + 2), the rest is spread over the others (Platt, "Probabilistic Outputs for
    Support Vector Machines", 1999, section 2.2). Otherwise three clips that happen to be right would make T vanish and
    every probability 1; with it, n clips never vouch for more than about (n + 1) / (n + 2).

    Args:
        scores: `[clip, class]` as predictions rank them; -inf where a class is not among the candidates of a clip.
        labels: `[clip]` index into the classes.

    Returns:
        T; 1.0 when there are no clips.
    """
    if len(scores) == 0:
        return 1.0
    calibrated = scores.double()
    counts = torch.bincount(labels, minlength=scores.shape[1])
    weight = 1.0 / counts[labels].double()
    doubt = 1 / (len(scores) + 2)
    among = calibrated.isfinite()
    whole = bool(among.all())
    others = (among.sum(dim=1, keepdim=True) - 1).clamp(min=1)
    target = torch.where(among, doubt / others.double(), 0.0)
    target[torch.arange(len(labels)), labels] = 1 - doubt
    if not whole:  # thousands of classes, of which a clip may have a few: only these are gone through
        most = int(among.sum(dim=1).max())
        columns = among.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        calibrated, target, among = (part.gather(1, columns) for part in (calibrated, target, among))

    def loss(temperature: float) -> float:
        logs = torch.log_softmax(calibrated / temperature, dim=1)
        likelihood = (target * (logs if whole else torch.where(among, logs, 0.0))).sum(dim=1)
        return float(-(weight * likelihood).sum() / weight.sum())

    spread = max(float((calibrated if whole else calibrated[among]).std()), 1e-8)
    centre, width = np.log(spread), 6.0
    for _ in range(4):
        grid = np.exp(np.linspace(centre - width, centre + width, 25))
        centre = float(np.log(grid[int(np.argmin([loss(float(t)) for t in grid]))]))
        width /= 6
    return float(np.exp(centre))
