"""What passes a batch norm while a loss is computed, and that its running mean moves by exactly that."""

from contextlib import contextmanager

import torch


@contextmanager
def passing(norm):
    """Collect the rows `[row, dim]` of every pass through `norm`; at the end compare its running mean with a loop."""
    kept, before = [], norm.running_mean.clone()
    hook = norm.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach().clone()))
    yield kept
    hook.remove()
    for rows in kept:
        before = (1 - norm.momentum) * before + norm.momentum * sum(rows) / len(rows)
    torch.testing.assert_close(norm.running_mean, before, atol=1e-5, rtol=1e-4)
