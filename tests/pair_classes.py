"""Small pairs of action and adverb, and clips with gaps, for tests of methods for adverbs."""

import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Factor, Features

ACTIONS, ADVERBS, TEXT, AUDIO, VISUAL = ("cut", "stir", "pour"), ("slowly", "quickly", "well", "badly"), 6, 5, 8
LENGTHS = ((4, 3), (2, 5), (0, 4), (3, 1), (1, 2), (5, 6))  # audio and visual steps of each clip


def pairs(rows=None, seen=None, opposite=(1, 0, 3, 2), seed=0):
    """Classes: all pairs, or the `rows (action, adverb)`; `seen`: those that are, by position; word vectors differ."""
    generator = torch.Generator().manual_seed(seed)
    rows = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))] if rows is None else rows
    action, adverb = (torch.randn(len(names), TEXT, generator=generator) for names in (ACTIONS, ADVERBS))
    table = torch.randn(len(ACTIONS), len(ADVERBS), TEXT, generator=generator)
    index = torch.tensor(rows)
    factors = {
        "action": Factor(index[:, 0], ACTIONS, {"words": action}),
        "adverb": Factor(index[:, 1], ADVERBS, {"words": adverb}, None if opposite is None else torch.tensor(opposite)),
    }
    there = torch.ones(len(rows), dtype=torch.bool)
    if seen is not None:
        there = torch.tensor([i in seen for i in range(len(rows))])
    names = tuple(f"{ACTIONS[a]} {ADVERBS[v]}" for a, v in rows)
    return Classes(names, {"words": table[index[:, 0], index[:, 1]]}, there, factors)


def some_features(lengths=LENGTHS, seed=0, audio=AUDIO, visual=VISUAL):
    """Random clips with so many steps of sound and picture."""
    generator = torch.Generator().manual_seed(seed)
    sides = [
        [torch.randn(pair[side], width, generator=generator) for pair in lengths]
        for side, width in ((0, audio), (1, visual))
    ]
    nothing = [None] * len(lengths)
    return Features.from_sequences(*sides, nothing, nothing, dims=(audio, visual))


def some_batch(classes=None, labels=(0, 5, 7, 11, 2, 2)):
    """Six clips with labels among all pairs."""
    return Batch(some_features(), torch.tensor(labels), pairs() if classes is None else classes)


def built(method, seed=0, preset="default", **fields):
    """A method for these classes, with its own first weights but for zeros and ones, which are drawn as well."""
    torch.manual_seed(seed)
    factors = {"action": ACTIONS, "adverb": ADVERBS}
    inputs = Inputs(AUDIO, VISUAL, {"words": TEXT}, pairs().names, factors)
    model = create_method(method, inputs, preset=preset, **fields)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def padded(features):
    """The clips with three more steps of nonsense under a False mask, and nonsense under the False masks they have."""
    longer = {}
    for key in ("audio", "visual"):
        value, mask, time = (getattr(features, f"{key}{end}") for end in ("", "_mask", "_time"))
        value = torch.where(mask[..., None], value, torch.full_like(value, 7.0))
        longer[key] = torch.cat([value, torch.full_like(value[:, :1], -9.0).expand(-1, 3, -1)], dim=1)
        longer[f"{key}_mask"] = torch.cat([mask, torch.zeros(len(mask), 3, dtype=torch.bool)], dim=1)
        longer[f"{key}_time"] = torch.cat([time, torch.full((len(time), 3), 99.0)], dim=1)
    return Features(**longer)
