"""Ratios and memory that benchmarks share: interleaved repeats, medians, peak memory of a child process."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def interleaved(works: Mapping[str, Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Median seconds of each piece of work, run in turn so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def _child(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    result = work(*arguments)
    pipe.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def with_peak_memory(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Result of `work(*arguments)` in a fresh process, and that process's peak resident memory in MB."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__}{arguments} died; its error stands above.") from None
    finally:
        process.join()


def machine() -> str:
    """What the numbers were measured on."""
    import torch

    cores = len(os.sched_getaffinity(0))
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, torch {torch.__version__}"


def keep(name: str, content: Any) -> Path:
    """Store the numbers as JSON beside the scripts."""
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "date": time.strftime("%Y-%m-%d"), **content}, indent=1) + "\n")
    return path
