"""What sections train and score: a method with fresh weights and simulated VGGSound-GZSL clips, held in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from avshot.method import Inputs, Method, Recipe
    from avshot.training.clips import ClipSource
    from avshot.training.scoring import Judged
    from avshot.types import Classes

DATASET, PRESETS = "vggsound-cls", ("vggsound-cls", "vggsound-main")
TRAINING_CLIPS = 70351  # of the benchmark at full size
NOT_BELOW_ZERO = {"f_vaegan_d2"}  # its published preset makes features from 0 to 1; simulated ones go below
ONE_SPACE = {"nearest_text": (300, 300)}  # what compares features with class texts needs them equally wide
# A final classifier on generated features takes minutes at its published size; scores cost the same after a short fit.
SHORT_FIT = {name: {"synthetic": 5, "classifier_epochs": 1} for name in ("acfs", "f_vaegan_d2")}


@dataclass(frozen=True)
class Workload:
    """A method and clips for it.

    Attributes:
        model: The method on its device.
        preset: The published setting it was made with, or "default".
        recipe: The preset's batch size and optimiser.
        source: Training clips among their classes.
        judged: Test clips among `candidates`.
        candidates: The test's classes, seen and unseen.
        reads: What a clip is made of, in words.
    """

    model: Method
    preset: str
    recipe: Recipe
    source: ClipSource
    judged: Judged
    candidates: Classes
    reads: str


def preset_of(name: str) -> str:
    """The published VGGSound preset of a method, or "default"."""
    from avshot.registry import get_method

    presets = get_method(name).presets
    return next((p for p in PRESETS if p in presets and name not in NOT_BELOW_ZERO), "default")


def fresh(name: str, inputs: Inputs) -> Method:
    """Method `name` with that preset and random weights, on the CPU."""
    from avshot.registry import create_method

    return create_method(name, inputs, preset=preset_of(name), **SHORT_FIT.get(name, {}))


def workload(name: str, clips: int, device: str = "cpu") -> Workload:
    """A method with its VGGSound preset where it has one, and about `clips` training clips (one per class at least).

    Methods that read sequences get 10 audio and 15 visual steps a clip, others averages; 128 and 4096 numbers, as in
    the released features.
    """
    import torch

    from avshot.data.dataset import MemoryFeatures
    from avshot.data.simulated.simulate import simulate
    from avshot.method import Inputs
    from avshot.registry import get_method, get_preset
    from avshot.task import get_task
    from avshot.training.clips import ClipSource
    from avshot.training.scoring import Judged
    from avshot.types import Classes

    torch.manual_seed(0)
    needs, preset = get_method(name).needs, preset_of(name)
    made = simulate(DATASET, scale=clips / TRAINING_CLIPS, temporal=needs.temporal, dims=ONE_SPACE.get(name))
    held = MemoryFeatures([clip.id for clip in made.clips], made.gather(np.arange(len(made))), {"made": "benchmark"})
    dataset = dataclasses.replace(made, features=held)
    first, second = get_task("gzsl").stages(dataset)
    rows = [dataset.names.index(c) for c in second.candidates]
    seen = torch.tensor([c in set(first.seen) for c in second.candidates])
    text = {key: vectors[rows] for key, vectors in dataset.text.items()}
    candidates = Classes(second.candidates, text, seen)
    inputs = Inputs.of(dataset.gather(first.train[:1]), candidates)
    model = fresh(name, inputs).to(device)
    source = ClipSource(dataset, first.train, candidates.select(first.seen))
    reads = "10 + 15 steps" if needs.temporal else "averages"
    judged = Judged(ClipSource(dataset, second.judge, candidates), candidates, second.trials)
    return Workload(model, preset, get_preset(name, preset).recipe, source, judged, candidates, reads)
