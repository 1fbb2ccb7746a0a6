"""The benchmarks of video-adverb retrieval by name, and how their baselines are trained."""

from __future__ import annotations

from typing import Any

from avshot.recipe import Preset, Recipe

UNSEEN = tuple(f"{name}-adverbs-unseen" for name in ("activitynet", "msrvtt", "vatex"))
SETS = ("howto100m-adverbs", "air", "activitynet-adverbs", "msrvtt-adverbs", "vatex-adverbs", *UNSEEN)


def adverb_recipe(*, epochs: int, lr: float, weight_decay: float = 5e-5) -> Recipe:
    """So many passes over the training clips in batches of 512, judged after each tenth pass, as the programs do."""
    return Recipe(
        epochs=epochs // 10, passes_per_epoch=10, batch_size=512, class_balanced=False, lr=lr, weight_decay=weight_decay
    )


def own_recipe() -> Recipe:
    """For small own datasets, the same for all methods for adverbs: ours, not tuned."""
    return Recipe(
        epochs=15,
        passes_per_epoch=5,
        batch_size=64,
        class_balanced=False,
        lr=1e-3,
        weight_decay=1e-4,
        schedule="cosine",
    )


def same_for_all(config: Any, source: str) -> dict[str, Preset]:
    """A preset for each benchmark: 1000 passes at a rate of 1e-4 (thesis section 6.5), the same settings for all."""
    return {name: Preset(config, adverb_recipe(epochs=1000, lr=1e-4), source) for name in SETS}
