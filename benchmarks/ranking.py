"""The exact ranking loss of class-embedding optimisation: a step beside the dense form, and up to 10,000 classes.

A step is the loss and its gradient with respect to the class embeddings, the original order being known, as in an
optimisation; making it, once, is a column of its own. Vectors are random and 300 wide, a step or so from where
they began. At margin 0.1 some hinges are active and some are not, which is the costly case; at 1, the default of the
optimisation, every hinge is active and nothing needs sorting. numba compiles before anything else is timed.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from measure import Target, exponent, interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

DIM, MARGIN, DEFAULT_MARGIN = 300, 0.1, 1.0
DENSE_CLASSES, WANTED = 276, 20  # times faster than the dense form
CURVE = (276, 500, 1000, 2000, 4000, 10000)
FITTED = 4  # largest sizes the exponent is fitted to
LIMITS = {1000: 0.3, 4000: 5.0, 10000: 40.0}  # seconds a step
MEMORY_GB = 6.0
KINDS = ("float32", "float64")
LABELS = {"torch": "exact, torch", "compiled": "exact, compiled"}


def run() -> list[Target]:
    """Beside dense, then growing, each form of a size in a process of its own."""
    exact = ["torch"]
    if options.device == "cpu" and importlib.util.find_spec("numba") is not None:
        exact.append("compiled")
    else:
        print("compiled form: not measured (no numba, or not on the CPU)")
    compiling = with_peak_memory(_compiling)[0] if "compiled" in exact else None
    if compiling is not None:
        print(f"numba: {compiling:.1f} s to load and compile once, kept on disk and not part of what follows")
    classes = 60 if options.quick else DENSE_CLASSES
    targets, beside = _beside_dense(exact, classes)
    more, growth = _growing(exact, (60, 120) if options.quick else CURVE)
    keep(
        "ranking",
        {
            "device": options.device,
            "margin": MARGIN,
            "compiling_s": compiling,
            "beside_dense": beside,
            "growth": growth,
        },
    )
    draw(growth, options.results / "ranking.png")
    return targets + more


def _compiling() -> float:
    """Seconds of a first call where nothing has been compiled before."""
    import torch

    from avshot.classes.optimise import ranking_loss

    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        started = time.perf_counter()
        ranking_loss(torch.eye(4), torch.randn(4, 4), margin=0.0, method="compiled")
        return time.perf_counter() - started


# --- beside the dense form -------------------------------------------------------------------------------------------


def _beside_dense(exact: list[str], classes: int) -> tuple[list[Target], dict[str, Any]]:
    """All forms in turn in one process: each twice as precise, each at both margins."""
    rows, record, targets = [], {}, []
    for kind in KINDS:
        for margin in (MARGIN, DEFAULT_MARGIN):
            methods = ["dense", *exact]
            repeats = 1 if options.quick else 5
            seconds, _ = with_peak_memory(_in_turn, methods, classes, kind, margin, options.device, repeats)
            record[f"{kind}, margin {margin:g}"] = seconds
            for method in methods:
                times = seconds["dense"] / seconds[method]
                target = Target(f"{classes} classes, {kind}, {LABELS.get(method, method)}, beside dense", times, WANTED)
                asked = margin == MARGIN and method in exact
                cells = [f"{WANTED}", target.verdict] if asked else ["", ""]
                name = LABELS.get(method, "dense, torch")
                rows.append([name, kind, f"{margin:g}", f"{1000 * seconds[method]:.1f}", f"{times:.1f}", *cells])
                targets += [target] if asked else []
    head = ["form", "type", "margin", "ms", "times faster than dense", "target", "verdict"]
    print_table(f"ranking loss: loss and gradient, {classes} classes", head, rows)
    return targets, record


def _in_turn(methods: list[str], classes: int, kind: str, margin: float, device: str, repeats: int) -> dict[str, float]:
    works = {method: _step(classes, kind, method, margin, device) for method in methods}
    for work in works.values():
        work()  # the first call compiles and allocates
    return interleaved(works, repeats)


# --- growth ----------------------------------------------------------------------------------------------------------


def _growing(exact: list[str], sizes: tuple[int, ...]) -> tuple[list[Target], dict[str, Any]]:
    rows, record, targets = [], {}, []
    # Double precision is what an optimisation uses; the slower form is measured in that alone.
    for method, kind in [(method, "float64") for method in exact[:-1]] + [(exact[-1], kind) for kind in KINDS]:
        found = {}
        for size in sizes:
            measured, peak = with_peak_memory(_alone, size, kind, method, options.device)
            found[size] = measured | {"peak_mb": peak}
        steps = [one["step"] for one in found.values()]
        fitted = exponent(sizes[-FITTED:], steps[-FITTED:])
        record[f"{method}, {kind}"] = {"exponent": fitted, "sizes": found}
        for size, one in found.items():
            step = Target(f"{size:,} classes, {kind}, a step", one["step"], LIMITS.get(size, 0), "s", False)
            peak = Target(f"{size:,} classes, {kind}, memory", one["peak_mb"] / 1024, MEMORY_GB, "GB", False)
            asked = [step] * (size in LIMITS) + [peak] * (size == max(LIMITS))
            rows.append(_row(method, kind, size, one, asked, fitted if size == sizes[-1] else None))
            targets += asked if method == exact[-1] else []
    head = ["form", "type", "classes", "s a step", "order s", "peak MB", "target", "verdict", "exponent"]
    print_table(f"ranking loss: growth with the classes, margin {MARGIN:g}", head, rows)
    if len(exact) > 1:
        slow, fast = (record[f"{method}, float64"]["sizes"] for method in exact)
        times = ", ".join(f"{size:,} classes: {slow[size]['step'] / fast[size]['step']:.1f}" for size in sizes)
        print(f"torch takes so many times as long as compiled: {times}")
    return targets, record


def _row(
    method: str, kind: str, size: int, one: Mapping[str, Any], asked: list[Target], fitted: float | None
) -> list[str]:
    wanted = ", ".join(f"{target.wanted:g} {target.unit}" for target in asked)
    verdict = ", ".join(target.verdict for target in asked)
    cells = [f"{one['step']:.3f}", f"{one['order']:.2f}", f"{one['peak_mb']:.0f}"]
    return [LABELS[method], kind, f"{size:,}", *cells, wanted, verdict, "" if fitted is None else f"{fitted:.2f}"]


def _alone(classes: int, kind: str, method: str, device: str) -> dict[str, float]:
    """Median seconds of a step, and those of making the order."""
    from measure import wait_for

    _step(40, kind, method, MARGIN, device)()  # compiles
    started = time.perf_counter()
    work = _step(classes, kind, method, MARGIN, device)
    wait_for(device)
    made = time.perf_counter() - started
    if classes <= 1000:
        work()  # the first call allocates
    return {"step": interleaved({"step": work}, 5 if classes <= 1000 else 1)["step"], "order": made}


def _step(classes: int, kind: str, method: str, margin: float, device: str) -> Callable[[], None]:
    import torch
    import torch.nn.functional as F
    from measure import wait_for

    from avshot.classes.optimise import Order, ranking_loss

    generator = torch.Generator().manual_seed(0)
    start, common = torch.randn(classes, DIM, generator=generator), torch.randn(1, DIM, generator=generator)
    t = F.normalize(start + 0.6 * common, dim=1).to(device)
    moved = t + 0.02 * torch.randn(classes, DIM, generator=generator).to(device)
    w = F.normalize(moved, dim=1).to(getattr(torch, kind)).requires_grad_()
    order = Order.of(t)

    def step() -> None:
        loss = ranking_loss(w, order, margin=margin, method=method)
        torch.autograd.grad(loss, w)
        wait_for(device)

    return step


# --- the picture -----------------------------------------------------------------------------------------------------


def draw(growth: Mapping[str, Any], path: Path) -> None:
    """Seconds of a step over the number of classes, both logarithmic, with the targets."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    styles = {"torch": ("#D55E00", "s"), "compiled": ("#0072B2", "o")}  # Okabe and Ito's, and other marks
    figure = Figure(figsize=(7.5, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, found in growth.items():
        method, kind = name.split(", ")
        colour, mark = styles[method]
        sizes = {int(size): one["step"] for size, one in found["sizes"].items()}
        label = f"{LABELS[method]}, {kind}: exponent {found['exponent']:.2f}"
        line = "-" if kind == "float64" else "--"
        axis.plot(list(sizes), list(sizes.values()), mark + line, color=colour, label=label, markerfacecolor="white")
    axis.plot(list(LIMITS), list(LIMITS.values()), "kv", label="target: at most", markersize=8)
    title = f"Exact ranking loss with gradient, {DIM} dimensions, margin {MARGIN:g}"
    axis.set(xscale="log", yscale="log", xlabel="number of classes", ylabel="seconds a step", title=title)
    axis.set_xticks(list(CURVE), [f"{size:,}" for size in CURVE], minor=False)
    axis.set_xticks([], minor=True)
    axis.grid(which="major", alpha=0.3)
    axis.legend(loc="upper left", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
