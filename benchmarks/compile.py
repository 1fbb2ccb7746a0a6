"""A training step plain and through `torch.compile`: where it pays, after how many steps, and where it does not."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from dataclasses import replace
from typing import Any

from measure import interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

METHODS = ("devise", "avca", "gru", "tcaf")
CLIPS = {"devise": 1000, "avca": 1000, "gru": 300, "tcaf": 300}
LIMIT = 100.0  # seconds for one method, compiling included
COMPILERS = ("g++", "clang++", "c++")
HEAD = ["method", "batch", "plain ms", "compiled ms", "ratio", "compile s", "pays after steps", "pieces"]


def run() -> None:
    """Forward and backward pass of one batch, in turn; each method in a process with a time limit."""
    if options.device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), *COMPILERS))):
        print(f"torch.compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is here: nothing measured.")
        return
    rows, record = [], {}
    for name in METHODS[:1] if options.quick else METHODS:
        try:
            found, memory = with_peak_memory(_measure, name, options.device, limit=LIMIT)
        except (RuntimeError, TimeoutError) as error:
            rows.append([name, "-", "-", "-", "-", "-", "-", "-"])
            print(error)
            continue
        record[name] = found | {"peak_mb": memory}
        rows.append(_row(name, found))
    print_table("torch.compile: forward and backward pass (simulated VGGSound-GZSL cls)", HEAD, rows)
    keep("compile", {"device": options.device, "methods": record})


def _row(name: str, found: dict[str, Any]) -> list[str]:
    plain, compiled = found["plain_s"], found["compiled_s"]
    after = math.ceil(found["compile_s"] / (plain - compiled)) if plain > compiled else None
    return [
        name,
        str(found["batch"]),
        f"{1000 * plain:.1f}",
        f"{1000 * compiled:.1f}",
        f"{plain / compiled:.2f}",
        f"{found['compile_s']:.0f}",
        "never" if after is None else str(after),
        str(found["pieces"]),
    ]


def _measure(name: str, device: str) -> dict[str, Any]:
    """Seconds of both kinds of step, of compiling, and into how many pieces the compiler had to cut the loss."""
    import torch
    from torch._inductor import config

    torch._logging.set_logs(dynamo=logging.ERROR)  # else a page about each place where it cuts
    config.compile_threads = 1  # workers would outlive a process that is ended for taking too long
    with tempfile.TemporaryDirectory() as folder:  # nothing left from earlier, so that the time to compile is honest
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        return _compared(name, device)


def _compared(name: str, device: str) -> dict[str, Any]:
    import torch
    from measure import wait_for
    from torch._dynamo.utils import counters
    from workload import workload

    from avshot.training.sampling import BalancedSampler

    torch.manual_seed(0)
    made = workload(name, CLIPS[name], device)
    generator, size = torch.Generator().manual_seed(0), made.recipe.batch_size
    sampler = BalancedSampler(made.source.labels)
    batch = made.source.batch(sampler.draw(size, generator))
    if made.model.needs.negatives:
        batch = replace(batch, negative=made.source.batch(sampler.negatives(batch.labels, generator)))
    batch = batch.to(device)
    made.model.train()

    def step(loss: Any) -> None:
        made.model.zero_grad(set_to_none=True)
        torch.stack(list(loss(batch).values())).sum().backward()
        wait_for(device)

    compiled = torch.compile(made.model.loss)
    works = {"plain_s": lambda: step(made.model.loss), "compiled_s": lambda: step(compiled)}
    works["plain_s"]()
    started = time.perf_counter()
    works["compiled_s"]()
    works["compiled_s"]()  # the second call may compile anew, for sizes that turned out to change
    spent = time.perf_counter() - started
    seconds = interleaved(works, 7)
    pieces = int(counters["stats"]["unique_graphs"])
    return seconds | {"compile_s": spent - 2 * seconds["compiled_s"], "batch": size, "pieces": pieces}
