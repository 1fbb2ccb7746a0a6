"""The tensors of ReGaDa's released checkpoints: what sizes they have, and which of ours each of them is.

Layout: ReGaDa d9d0bfb, models built and listed; no code of theirs is here.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

TEXT, VIDEO = "text_embedder.text_embedder", "video_embedder.video_embedder"
_COMPOSERS = {"gate": "gated_feature_composer", "residual": "res_info_composer"}


def official_words(state_dict: Mapping[str, Tensor], part: str) -> Tensor:
    """The frozen word vectors `[value, dim]` of all "action"s or "adverb"s, which lie with the weights."""
    return state_dict[f"{TEXT}.{part}_embedder.weight"]


def without_words(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is learnt: all but the word vectors, and those of pairs, which the authors load and never use."""
    return {key: value for key, value in state_dict.items() if not key.endswith("_embedder.weight")}


def official_sizes(state_dict: Mapping[str, Tensor], heads: int) -> tuple[dict[str, int], int, int]:
    """Fields of `regada`'s `Config`, and the widths of word vectors and of visual features."""
    project, keys = state_dict[f"{TEXT}.word_proj.act.weight"], state_dict[f"{VIDEO}.attention.to_k.weight"]

    def matrices(prefix: str) -> int:
        return sum(key.startswith(f"{prefix}.") and value.ndim == 2 for key, value in state_dict.items())

    sizes = {
        "dim": len(project),
        "head_dim": len(keys) // heads,
        "projection_layers": matrices(f"{VIDEO}.mlp"),
        **{f"{ours}_layers": matrices(f"{TEXT}.text_projector.{name}") for ours, name in _COMPOSERS.items()},
    }
    return sizes, project.shape[1], keys.shape[1]


def official_names(layers: int) -> dict[str, str]:
    """Our names -> theirs, for gate and residual of at most so many layers."""
    names = {
        "text.project.action": f"{TEXT}.word_proj.act",
        "text.project.adverb": f"{TEXT}.word_proj.adv",
        "text.weights": f"{TEXT}.text_projector.weight_gate",
        "video.attention.visual": f"{VIDEO}.attention",
        "head.network": f"{VIDEO}.mlp.network",
    }
    for ours, composer in _COMPOSERS.items():
        place = f"{TEXT}.text_projector.{composer}"
        names[f"text.{ours}.norm"] = f"{place}.1"
        names |= {f"text.{ours}.layers.{i}": f"{place}.{2 + 3 * i}" for i in range(layers)}
    return names
