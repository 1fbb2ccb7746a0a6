"""Torch's global random generator as something that one thread at a time may use, and that is left as it was found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE = threading.RLock()  # the generator is one for all threads of the process


@contextmanager
def sole_draws() -> Iterator[None]:
    """Draw from torch's global generator, and seed it, without others noticing.

    Threads that draw inside such a block wait for each other, so that each draws what it would draw alone; afterwards
    the generator is where it was. A thread that draws without such a block is not held up.
    """
    import torch

    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _ONE, torch.random.fork_rng(devices=cards):
        yield
