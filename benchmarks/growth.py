"""How cost grows with the number of clips, of classes and of seconds of video: seconds, memory, fitted exponents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import exponent, interleaved, keep, options, peak_mb, wait_for, with_peak_memory

from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from avshot.types import Classes, Features

STEPS_PER_SECOND = {"audio": 1 / 0.96, "visual": 1 / 0.64}  # VGGish and C3D, as in the released features
FITTED = 3  # largest sizes the exponent is fitted to: smaller ones measure what every call costs
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's, told apart with common colour deficiencies
MARKS, LINES = ("o", "s", "^", "D"), ("-", "--", "-.", ":")
CLASSES, WIDTH = 271, (128, 4096)


@dataclass(frozen=True)
class Curve:
    """One line of the picture: what is done, for which number of what, and which of `MAKERS` prepares it."""

    work: str
    axis: str
    sizes: tuple[int, ...]
    maker: str
    method: str = ""


CLIPS = (1000, 2000, 4000, 8000, 16000)
VOCABULARY = (100, 300, 1000, 3000, 10000)
LENGTHS = (10, 30, 100, 300, 1000)
CURVES = (
    Curve("one epoch of avca", "clips", CLIPS[:3], "epoch", "avca"),
    Curve("closed form of eszsl", "clips", (250, 500, 1000), "adapt", "eszsl"),
    Curve("scores of avca", "clips", CLIPS, "clips_scored", "avca"),
    Curve("curve and metrics", "clips", CLIPS, "clips_measured"),
    Curve("scores of avca, 256 clips", "classes", VOCABULARY, "classes_scored", "avca"),
    Curve("scores of tcaf, 16 clips", "classes", VOCABULARY, "classes_scored", "tcaf"),
    Curve("curve and metrics, 2,000 clips", "classes", VOCABULARY, "classes_measured"),
    Curve("scores of tcaf", "seconds of video", LENGTHS, "seconds_scored", "tcaf"),
    Curve("scores of ez_avgzl", "seconds of video", LENGTHS, "seconds_scored", "ez_avgzl"),
    Curve("scores of gru", "seconds of video", LENGTHS, "seconds_scored", "gru"),
)


def run() -> None:
    """One process for each curve; sizes ascend once for their memory, then are timed in turn."""
    rows, record = [], {}
    for curve in CURVES:
        sizes = curve.sizes[:2] if options.quick else curve.sizes
        found, _ = with_peak_memory(_measure, curve, sizes, options.device, 1 if options.quick else 3)
        fitted = exponent(sizes[-FITTED:], [found[size]["seconds"] for size in sizes][-FITTED:])
        record[f"{curve.axis}: {curve.work}"] = {"exponent": fitted, "sizes": found}
        first, last = (found[size] for size in (sizes[0], sizes[-1]))
        rows.append(
            [
                curve.work,
                curve.axis,
                f"{sizes[0]}-{sizes[-1]}",
                f"{1000 * first['seconds']:.1f}",
                f"{1000 * last['seconds']:.1f}",
                f"{fitted:.2f}",
                f"{first['peak_mb']:.0f}",
                f"{last['peak_mb']:.0f}",
            ]
        )
    head = ["work", "number of", "from-to", "ms at first", "ms at last", "exponent", "peak MB at first", "at last"]
    print_table(f"growth: cost like number ** exponent, fitted to the {FITTED} largest", head, rows)
    keep("growth", {"device": options.device, "curves": record})
    draw(record, options.results / "growth.png")


def _measure(curve: Curve, sizes: tuple[int, ...], device: str, repeats: int) -> dict[int, dict[str, float]]:
    """Seconds and peak memory for each size; the memory counts what was prepared for it and for smaller ones."""
    import torch

    torch.manual_seed(0)
    works, memory = {}, {}
    with torch.inference_mode(curve.maker not in ("epoch", "adapt")):
        for size in sizes:
            work = MAKERS[curve.maker](curve.method, size, device)
            works[str(size)] = lambda work=work: (work(), wait_for(device))
            works[str(size)]()
            memory[size] = peak_mb()
        seconds = interleaved(works, repeats)
    return {size: {"seconds": seconds[str(size)], "peak_mb": memory[size]} for size in sizes}


# --- what is measured ------------------------------------------------------------------------------------------------


def _epoch(method: str, clips: int, device: str) -> Callable[[], Any]:
    """One pass over so many training clips."""
    from dataclasses import replace

    from workload import workload

    from avshot.training.loop import train

    made = workload(method, clips, device)
    recipe = replace(made.recipe, epochs=1, passes_per_epoch=1)
    return lambda: train(made.model, made.source, recipe, seed=0)


def _adapt(method: str, clips: int, device: str) -> Callable[[], Any]:
    """The solution in closed form from so many training clips."""
    from workload import workload

    made = workload(method, clips, device)
    candidates = made.candidates.to(device)
    made.model.eval()
    return lambda: made.model.adapt(made.source.once(made.model.device), candidates)


def _scored(method: str, features: Features, classes: Classes, device: str) -> Callable[[], Any]:
    """Scores of the features among the classes, by a method with fresh weights."""
    from workload import fresh

    from avshot.method import Inputs

    model = fresh(method, Inputs.of(features, classes)).to(device).eval()
    return lambda: model.score(features.to(device), classes.to(device))


def _classes(count: int) -> Classes:
    import torch

    from avshot.types import Classes

    seen = torch.arange(count) < count // 2
    return Classes(tuple(map(str, range(count))), {"text": torch.randn(count, 300)}, seen)


def _features(method: str, clips: int, seconds: float = 10.0) -> Features:
    """Random features of clips of that length: averages for a method that reads averages."""
    import torch

    from avshot.registry import get_method
    from avshot.types import Features

    if not get_method(method).needs.temporal:
        return Features.averaged(*(torch.randn(clips, width) for width in WIDTH))
    found = []
    for width, rate in zip(WIDTH, STEPS_PER_SECOND.values(), strict=True):
        steps = round(seconds * rate)
        times = (torch.arange(steps) + 0.5) / rate
        found.append(
            (torch.randn(clips, steps, width), torch.ones(clips, steps, dtype=torch.bool), times.repeat(clips, 1))
        )
    return Features(*(pair[i] for i in range(3) for pair in found))


def _clips_scored(method: str, clips: int, device: str) -> Callable[[], Any]:
    """Clips a batch at a time, as an evaluation does."""
    classes, features = _classes(CLASSES), _features(method, 256)
    once = _scored(method, features, classes, device)
    return lambda: [once() for _ in range(round(clips / 256))]


def _classes_scored(method: str, count: int, device: str) -> Callable[[], Any]:
    from avshot.registry import get_method

    features = _features(method, 16 if get_method(method).needs.temporal else 256)
    return _scored(method, features, _classes(count), device)


def _seconds_scored(method: str, seconds: int, device: str) -> Callable[[], Any]:
    """One clip of that length."""
    return _scored(method, _features(method, 1, seconds), _classes(CLASSES), device)


def _measured(clips: int, classes: int, device: str) -> Callable[[], Any]:
    """The whole seen-unseen curve and the metrics of random scores."""
    import torch

    from avshot.metrics.generalised import gzsl_metrics
    from avshot.metrics.stacking import exact_curve

    scores, labels = torch.randn(clips, classes, device=device), torch.arange(clips, device=device) % classes
    seen = torch.arange(classes, device=device) < classes // 2
    return lambda: (exact_curve(scores, labels, seen), gzsl_metrics(scores, labels, seen, 0.5))


MAKERS: Mapping[str, Callable[[str, int, str], Callable[[], Any]]] = {
    "epoch": _epoch,
    "adapt": _adapt,
    "clips_scored": _clips_scored,
    "clips_measured": lambda _, clips, device: _measured(clips, CLASSES, device),
    "classes_scored": _classes_scored,
    "classes_measured": lambda _, count, device: _measured(2000, count, device),
    "seconds_scored": _seconds_scored,
}


# --- the picture -----------------------------------------------------------------------------------------------------


def _number_of(axis: str) -> str:
    return axis if axis.startswith("seconds") else f"number of {axis}"


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Seconds over number, both logarithmic, one panel for each kind of number."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes_names = tuple(dict.fromkeys(curve.axis for curve in CURVES))
    figure = Figure(figsize=(13, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(axes_names)), axes_names, strict=True):
        these = {key.removeprefix(f"{name}: "): found for key, found in record.items() if key.startswith(f"{name}: ")}
        for i, (work, found) in enumerate(these.items()):
            seconds = [point["seconds"] for point in found["sizes"].values()]
            label = f"{work} (exponent {found['exponent']:.2f})"
            axis.plot(list(found["sizes"]), seconds, MARKS[i] + LINES[i], color=COLOURS[i], label=label)
        axis.set(
            xscale="log", yscale="log", xlabel=_number_of(name), ylabel="seconds", title=f"Cost by {_number_of(name)}"
        )
        axis.grid(which="major", alpha=0.3)
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend above the lines
        axis.legend(loc="upper left", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
