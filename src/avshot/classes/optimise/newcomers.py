"""Classes that come after an optimisation: each finds its own place among the others, which stay where they are.

The inductive form of EZ-AVGZL's section 3.2, ours. The paper's sums run over all classes, seen and unseen (section 3.1:
T is the union of T_s and T_u), so the names of test classes move those of training; its Table 8 is about training
classes alone. Here a newcomer u descends the terms of eq. 4 in which it is the anchor, with eq. 1 and 3 over the
settled classes k, i, j:

    (1 - alpha) L_sem(u) + alpha L_sep(u),    L_sep(u) = -min_k d(w_u, w_k)
    L_sem(u) = mean over i, j of max(0, m - sign(dt_ui - dt_uj) (dw_ui - dw_uj)),  or  d(w_u, t_u)

No newcomer sees another, so where one goes does not depend on which others are asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.optimise.descent import UNRELATED, mean_nearest
from avshot.classes.optimise.losses import pairwise_distance, row_chunks, rowwise_distance
from avshot.classes.optimise.outcome import SAME

if TYPE_CHECKING:
    from avshot.classes.optimise.config import OptimiseConfig


def place(new: Tensor, before: Tensor, after: Tensor, config: OptimiseConfig, steps: int) -> Tensor:
    """Embeddings of newcomers beside those of settled classes.

    A newcomer stops when its distance to the nearest settled class has grown as much as theirs to each other has on
    average, at right angles, or after as many steps as they took. One that has the vector of a settled class goes
    where that class went: no text tells them apart.

    Args:
        new: `[newcomer, dim]` unit rows.
        before: `[class, dim]` unit rows of the settled classes before they moved, at least one.
        after: The same classes after.
        config: Of the settled classes' optimisation.
        steps: They took; 0 leaves the newcomers where they are.

    Returns:
        `[newcomer, dim]` unit rows.
    """
    apart = pairwise_distance(new, before)
    distance, nearest = apart.min(dim=1)
    goal = (distance * _growth(before, after)).clamp(max=UNRELATED)
    w = new.clone()
    adam = torch.optim.Adam([w], lr=math.radians(config.turn) / math.sqrt(new.shape[1]))
    order = pairwise_distance(new, before, config.ordering)
    for _ in range(steps):
        moving = pairwise_distance(w, after).amin(dim=1) < goal
        if not bool(moving.any()):
            break
        last = w.clone()
        w.grad = _gradient(w, new, after, order, config)
        adam.step()
        w.copy_(torch.where(moving[:, None], F.normalize(w, dim=1), last))
    return torch.where((distance < SAME)[:, None], after[nearest], w)


def _growth(before: Tensor, after: Tensor) -> float:
    """Of the mean nearest-neighbour distance of the settled classes; 1 for a single one."""
    return mean_nearest(after) / max(mean_nearest(before), SAME) if len(before) > 1 else 1.0


def _gradient(w: Tensor, start: Tensor, after: Tensor, order: Tensor, config: OptimiseConfig) -> Tensor:
    """Of every newcomer's own loss with respect to its own row: a sum of separate losses."""
    weight = len(after) if config.semantic_weight == "classes" else config.semantic_weight
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        loss = -config.alpha * pairwise_distance(w, after, config.distance).amin(dim=1).sum()
        if config.semantic == "ranking":
            loss = loss + (1 - config.alpha) * weight * _ranking(w, after, order, config)
        elif config.semantic == "proximity":
            loss = loss + (1 - config.alpha) * weight * rowwise_distance(w, start, config.ordering).sum()
        return torch.autograd.grad(loss, w)[0]


def _ranking(w: Tensor, after: Tensor, order: Tensor, config: OptimiseConfig) -> Tensor:
    """Eq. 3 with newcomers as anchors: each a mean over pairs of settled classes, added up; 0 for a single class."""
    count, total = len(after), w.sum() * 0
    between = pairwise_distance(w, after, config.ordering)
    tie = 8 * torch.finfo(order.dtype).eps * order.amax(dim=1).clamp(min=1)
    for rows in row_chunks(len(w), count * count) if count > 1 else ():
        old, now = order[rows], between[rows]
        farther = old[:, :, None] - old[:, None] > tie[rows, None, None]  # each pair once
        hinge = (config.margin - (now[:, :, None] - now[:, None])).clamp(min=0)
        total = total + 2 * hinge[farther].sum() / (count * (count - 1))
    return total
