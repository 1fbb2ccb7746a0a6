"""One item ahead: the next batch is gathered while the present one is learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from avshot.machine.cores import cores

T = TypeVar("T")


def pays(waits: str, device: torch.device) -> bool:
    """Whether a thread that gathers ahead is worth having.

    Args:
        waits: What gathering waits for: "network", "disk" (a memory map, mostly served from memory) or "" (memory).
        device: Where the method learns. For a disk a thread pays where the processor has time, because a GPU computes
            or torch leaves a core idle: two that compute on one core only get in each other's way.
    """
    idle = device.type != "cpu" or torch.get_num_threads() < cores()
    return waits == "network" or (waits == "disk" and idle)


@contextmanager
def one_ahead(items: Iterator[T], active: bool = True) -> Iterator[Iterator[T]]:
    """The same items in the same order; while one is in use a thread makes the next one.

    Inside the `with` block nobody else may use what `items` uses (its random generator, its files). An error in making
    an item is raised where that item is asked for. Leaving the block ends the thread, also after an error.

    Args:
        items: What to make.
        active: False makes each item when it is asked for, without a thread.
    """
    if not active:
        yield items
        return
    with ThreadPoolExecutor(1, thread_name_prefix="avshot-ahead") as pool:
        yield _ahead(items, pool)


def _ahead(items: Iterator[T], pool: ThreadPoolExecutor) -> Iterator[T]:
    waiting = pool.submit(_next, items)
    while (found := waiting.result()) is not None:
        waiting = pool.submit(_next, items)
        yield found[0]


def _next(items: Iterator[T]) -> tuple[T] | None:
    """The next item in a tuple, or None at the end: StopIteration cannot travel through a future."""
    for item in items:
        return (item,)
    return None
