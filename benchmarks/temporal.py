"""A training step of TCaF and EZ-AVGZL on sequences: plain padded form, ours, ours in bf16, side by side.

Whole steps (forward, backward, Adam) in the published batch of 64 and the published sizes (6 layers, 300-d tokens,
4096-d visual input). The plain form (plain_fusion.py) pads every clip to the longest of the batch, computes every pair
of tokens and masks. Lengths are given as audio/visual steps: "varied" are half to one and a half times as long,
"equal" leaves no padding to save. Both forms do the same arithmetic on what is read.
"""

from __future__ import annotations

import math
from typing import Any

from measure import Target, gflop, interleaved, keep, matrix_limit, options, wait_for, with_peak_memory

from avshot.terminal.tables import print_table

# Method, mean audio steps, mean visual steps, whether lengths vary, repeats.
CASES = (
    ("tcaf", 37, 60, True, 3),
    ("tcaf", 37, 60, False, 3),
    ("tcaf", 10, 15, True, 5),
    ("tcaf", 10, 15, False, 5),
    ("ez_avgzl", 37, 60, True, 3),
    ("ez_avgzl", 10, 15, True, 5),
)
FORMS = ("plain", "ours", "ours bf16")
WANTED = {"ours": 1.3, "ours bf16": 2.0}
CLASSES = 99  # UCF-GZSL's order of magnitude
HEAD = ["method", "steps", "form", "clips/s", "ratio", "target", "", "GFLOP/clip", "of limit", "peak MB"]


def run() -> list[Target]:
    """One process for each case, in which the forms take turns; memory in a process for each form of one case."""
    rows, record, targets = [], {}, []
    size = 4 if options.quick else 64
    for name, audio, visual, varied, repeats in CASES[2:3] if options.quick else CASES:
        case = (name, audio, visual, varied, size, options.device)
        found, _ = with_peak_memory(_measure, *case, 1 if options.quick else repeats)
        steps = f"{audio}/{visual} {'varied' if varied else 'equal'}"
        memory = {form: with_peak_memory(_one_step, *case, form)[1] for form in ("plain", "ours")} if varied else {}
        for form in FORMS:
            target = _target(f"{name} step, {steps}, {form}", form, found["ratio"])
            targets += [] if target is None else [target]
            rows.append(_row(name, steps, form, found, target, memory))
        record[f"{name} {steps}"] = found | {"peak_mb": memory}
    print_table(f"training step, batch {size}, against the plain padded form in fp32", HEAD, rows)
    if any(math.isnan(found["ratio"]["ours bf16"]) for found in record.values()):
        print(
            f"bf16 was not timed: on this processor its matrix products run at {_bf16_speed():.2f} times the speed of "
            "fp32, so it can only lose. It needs bf16 instructions (AMX or AVX-512 BF16)."
        )
    keep("temporal", {"device": options.device, "batch": size, "cases": record})
    return targets


def _target(what: str, form: str, ratios: dict[str, float]) -> Target | None:
    return Target(what, ratios[form], WANTED[form]) if form in WANTED else None


def _row(
    name: str, steps: str, form: str, found: dict[str, Any], target: Target | None, memory: dict[str, float]
) -> list[str]:
    rate, ratio = found["clips_s"][form], found["ratio"][form]
    limit = found["limit"].get("bf16" if form == "ours bf16" else "fp32", math.nan)
    each = found["gflop_clip"]["plain" if form == "plain" else "ours"]
    timed = not math.isnan(rate)
    return [
        name,
        steps,
        form,
        f"{rate:.0f}" if timed else "-",
        f"{ratio:.2f}" if timed else "-",
        "" if target is None else f"{target.wanted:g}",
        "" if target is None else target.verdict,
        f"{each:.2f}",
        f"{100 * rate * each / limit:.0f} %" if timed else "-",
        f"{memory[form]:.0f}" if form in memory else "",
    ]


def _measure(name: str, audio: int, visual: int, varied: bool, size: int, device: str, repeats: int) -> dict[str, Any]:
    """Clips per second of each form in this process, its arithmetic, and the limits of the machine."""
    limit = {"fp32": matrix_limit(device=device, repeats=3)}
    forms = FORMS
    if device == "cpu" and _bf16_speed() < 1:
        forms = FORMS[:2]  # a step would take minutes
    else:
        limit["bf16"] = matrix_limit("bfloat16", device=device, repeats=3)
    steps = {form: _stepper(name, audio, visual, varied, size, device, form) for form in forms}
    counts = {form: gflop(steps[form]) / size for form in ("plain", "ours")}
    for step in steps.values():
        step()  # the first one allocates
    seconds = interleaved(steps, repeats)
    rates = {form: size / seconds[form] if form in seconds else math.nan for form in FORMS}
    ratios = {form: rates[form] / rates["plain"] for form in FORMS}
    return {"clips_s": rates, "ratio": ratios, "gflop_clip": counts, "limit": limit}


def _bf16_speed() -> float:
    """How many times as fast as in fp32 a small matrix product is on this processor."""
    import torch

    wide, narrow = torch.ones(256, 256), torch.ones(256, 256, dtype=torch.bfloat16)
    seconds = interleaved({"fp32": lambda: wide @ wide, "bf16": lambda: narrow @ narrow}, repeats=5)
    return seconds["fp32"] / seconds["bf16"]


def _one_step(*case: Any) -> None:
    _stepper(*case)()


def _stepper(name: str, audio: int, visual: int, varied: bool, size: int, device: str, form: str) -> Any:
    """A function that takes one whole training step, always on the same batch."""
    import dataclasses

    import torch
    from plain_fusion import make_plain

    from avshot.method import Inputs
    from avshot.registry import create_method, get_preset
    from avshot.training.optimisers import Players

    torch.manual_seed(0)
    batch = _batch(audio, visual, varied, size).to(device)
    model = create_method(name, Inputs(128, 4096, {"words": 300}), preset="ucf-cls").to(device).train()
    if form == "plain":
        make_plain(model)
    precision = "bf16" if form == "ours bf16" else "fp32"
    recipe = dataclasses.replace(get_preset(name, "ucf-cls").recipe, precision=precision)
    players = Players(model, model.phases()[0], recipe)

    def step() -> None:
        players.step(batch, 0)
        wait_for(device)

    return step


def _batch(audio: int, visual: int, varied: bool, size: int) -> Any:
    """Random clips; a clip that is long in one modality is long in the other, as both cover the same seconds."""
    import torch

    from avshot.types import Batch, Classes, Features

    generator = torch.Generator().manual_seed(0)
    share = 0.5 + torch.rand(size, generator=generator) if varied else torch.ones(size)
    lengths = [(share * mean).round().long().tolist() for mean in (audio, visual)]
    values = [
        [torch.rand(length, dim, generator=generator) for length in side]
        for side, dim in zip(lengths, (128, 4096), strict=True)
    ]
    times = [[torch.arange(length) * step for length in side] for side, step in zip(lengths, (0.96, 0.64), strict=True)]
    features = Features.from_sequences(*values, *times, dims=(128, 4096))
    text = torch.nn.functional.normalize(torch.randn(CLASSES, 300, generator=generator), dim=1)
    names = tuple(f"class {i}" for i in range(CLASSES))
    classes = Classes(names, {"words": text}, torch.ones(CLASSES, dtype=torch.bool))
    return Batch(features, torch.randint(CLASSES, (size,), generator=generator), classes)
