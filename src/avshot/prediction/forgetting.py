"""How much of what a Run recognised it may forget when it is taught further classes.

A taught class that is like trained ones takes over clips of theirs. How many, the Run's own statistics say: clips are
drawn from the Gaussians of the trained classes, as scores of the method, and judged as predictions are, before and
after. If too many are lost, the log densities of all taught classes are lowered by what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from avshot.prediction.taught import Described, few_of
from avshot.run import Run

DRAWN = 4000  # clips: one in a hundred is then known within a sixth of it


def offset_of(run: Run, space: Described, kept: Mapping[str, Tensor], text: Tensor, lose: float) -> Tensor:
    """What to add to the log densities of taught classes, at most 0: a scalar in double precision.

    Args:
        run: The Run.
        space: Its trained classes.
        kept: What it will keep of clips, but for this number.
        text: Class embeddings `[class, text_dim]` of the taught classes.
        lose: The share, from 0 to 1, of all clips of trained classes that may be lost: clips that the method gave to
            their own class, and that a taught class takes over.
    """
    few, widening = few_of(space.known, kept, text)
    value, own = space.known.drawn(DRAWN, widening)
    scores = torch.linalg.solve(space.known.white.T, value.T).T
    lowered = run.task.apply(scores, space.classes.seen, run.settings)
    best, found = torch.log_softmax(lowered / run.temperature, dim=1).max(dim=1)
    before = best + space.known.log_densities(value, widening).logsumexp(dim=1)
    ahead = before - space.known.log_densities_of(few, value, widening).max(dim=1).values
    right = ahead[found == own].sort().values
    allowed = int(lose * len(value))
    return right[allowed].clamp(max=0) if allowed < len(right) else right.new_zeros(())
