"""What benchmark sections share: interleaved ratios, peak memory, the machine's limit, fits, flop counts, targets."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES_PER_GB = 2**30
PRELOADED = ["torch", "torch._dynamo"]  # the second is what an optimiser loads when it is made


@dataclass
class Options:
    """What the command line asked of all sections. `run.py` sets it; a child process gets what it needs as arguments.

    Attributes:
        quick: Smaller sizes and fewer repeats, to see that everything runs; such figures are not kept.
        device: Where sections that can use a GPU run.
        results: Folder for JSON and pictures.
    """

    quick: bool = False
    device: str = "cpu"
    results: Path = Path(__file__).parent / "results"


options = Options()


# --- targets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A figure that has to reach a value. `run()` of a section returns a list of them, for the summary at the end.

    Attributes:
        what: What was measured, in a few words.
        got: The figure; NaN where it could not be measured, which counts as not reached.
        wanted: What it has to reach.
        unit: "x" for ratios, "s", "GB", ...
        higher_is_better: False where `wanted` is an upper limit.
    """

    what: str
    got: float
    wanted: float
    unit: str = "x"
    higher_is_better: bool = True

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as wanted."""
        return self.got >= self.wanted if self.higher_is_better else self.got <= self.wanted

    @property
    def verdict(self) -> str:
        """The word tables show: "reached" or "not reached"."""
        return "reached" if self.reached else "not reached"

    @property
    def cells(self) -> list[str]:
        """One row of a table: what, got, target, verdict."""
        bound = "at least" if self.higher_is_better else "at most"
        return [self.what, _quantity(self.got, self.unit), f"{bound} {_quantity(self.wanted, self.unit)}", self.verdict]


def _quantity(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return (f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}") + (unit and f" {unit}")


# --- time and memory -------------------------------------------------------------------------------------------------


def interleaved(
    works: Mapping[str, Callable[[], Any]], repeats: int = 3, clock: Callable[[], float] | None = None
) -> dict[str, float]:
    """Median seconds of each piece of work, run in turn so that a busy machine slows all alike.

    The clock is `time.perf_counter`; with `time.process_time` they are seconds of processor, of all threads together.
    """
    clock = clock or time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = clock()
            work()
            times[name].append(clock() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def peak_mb() -> float:
    """Peak resident memory of this process since it started, in MB.

    `ru_maxrss` would not do: a process begins with the figure of the one that started it. Where the system has no
    `/proc`, it has to.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = (line.split() for line in status.read_text().splitlines())
    return next(int(words[1]) / 1024 for words in lines if words[0] == "VmHWM:")


def _child(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    result = work(*arguments)
    pipe.send((result, peak_mb()))


def with_peak_memory(work: Callable[..., Any], *arguments: Any, limit: float | None = None) -> tuple[Any, float]:
    """Result of `work(*arguments)` in a fresh process, and that process's peak resident memory in MB.

    The process comes from a server that has loaded torch and done nothing with it, which saves 4 seconds each time.
    Raises RuntimeError when the process died, TimeoutError when it took more than `limit` seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        if not here.poll(limit):
            process.kill()
            raise TimeoutError(f"{work.__name__}{arguments} took more than {limit:.0f} s.")
        return here.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__}{arguments} died; its error stands above.") from None
    finally:
        process.join()


# --- the machine's limit ---------------------------------------------------------------------------------------------


def matrix_limit(dtype: str = "float32", threads: int | None = None, device: str = "cpu", repeats: int = 5) -> float:
    """GFLOP/s of a large square matrix product: what methods that consist of such products could reach at most.

    Args:
        dtype: "float32" or "bfloat16".
        threads: Of torch on the CPU; None leaves them as they are.
        device: On the CPU the matrices are 2048 x 2048, or smaller ones where a product would take more than a second
            (bfloat16 on a processor without instructions for it); on a GPU 8192 x 8192.
        repeats: The median of so many counts.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)

    def once(size: int, count: int) -> float:
        """Median seconds of a product, after one that allocates."""
        a = torch.randn(size, size, device=device).to(getattr(torch, dtype))
        work = {"product": lambda: (torch.mm(a, a), wait_for(device))}
        interleaved(work, 1)
        return interleaved(work, count)["product"]

    with torch.random.fork_rng(devices=[]):
        if device == "cpu":
            doublings = math.log(1 / once(256, 3), 8)  # that would make it take a second
            size = 2048 if doublings > 3 else 512
        else:
            size = 8192
        seconds = once(size, repeats)
    torch.set_num_threads(before)
    return 2 * size**3 / seconds / 1e9


def wait_for(device: str) -> None:
    """Wait until a GPU has done what it was asked; on the CPU nothing is left to wait for."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


def gflop(work: Callable[[], Any]) -> float:
    """10^9 floating-point operations of the matrix products in `work`, backward passes included.

    A multiply-add counts as two. Element-wise arithmetic, softmax and the optimiser do not count.

    The formulas are those of `torch.utils.flop_counter`. Its own mode tells modules apart with hooks that fail where a
    loss takes a gradient (a gradient penalty), and it does not know the fused attention of the CPU.
    """
    from torch import ops
    from torch.utils import flop_counter as known
    from torch.utils._python_dispatch import TorchDispatchMode

    def attention(count: Callable[..., int]) -> Callable[..., int]:
        return lambda *args, out_val, **_: count(*(a.shape for a in args[: 3 + (count is backward)]))

    forward, backward = known.sdpa_flop_count, known.sdpa_backward_flop_count
    formulas = known.flop_registry | {
        ops.aten._scaled_dot_product_flash_attention_for_cpu: attention(forward),
        ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention(backward),
    }

    class Counter(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = function(*args, **(kwargs or {}))
            formula = formulas.get(function._overloadpacket)
            if formula is not None:
                self.found += formula(*args, **(kwargs or {}), out_val=out)
            return out

    with Counter() as counter:
        work()
    return counter.found / 1e9


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log(seconds) over log(size) by least squares: cost grows like size ** slope.

    Raises ValueError for fewer than two different sizes, or for numbers that have no logarithm.
    """
    if len(sizes) != len(seconds) or len(set(sizes)) < 2:
        raise ValueError(f"Got sizes {list(sizes)} and seconds {list(seconds)}; expected pairs of two sizes or more.")
    if min(*sizes, *seconds) <= 0:
        raise ValueError(f"Got sizes {list(sizes)} and seconds {list(seconds)}; expected numbers above 0.")
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(s) for s in seconds]).slope


# --- what is kept ----------------------------------------------------------------------------------------------------


def machine() -> str:
    """What the numbers were measured on, in one line."""
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / BYTES_PER_GB
    parts = [
        _processor(),
        f"{len(os.sched_getaffinity(0))} cores" + (f" ({threads} used by torch)" if threads else ""),
        f"{memory:.0f} GB",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"GPU {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no GPU",
    ]
    return ", ".join(parts)


def _processor() -> str:
    """The processor's own name for itself; the architecture where it has none."""
    file = Path("/proc/cpuinfo")
    lines: Iterable[str] = file.read_text().splitlines() if file.exists() else ()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def keep(name: str, content: Any) -> Path:
    """Store the numbers as JSON in the folder of the results, with the machine and the date."""
    path = options.results / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "date": time.strftime("%Y-%m-%d"), **content}, indent=1) + "\n")
    return path
