"""Read weights of TCaF-like models (TCaF, AV-Diff) in the layout of the authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Our name or prefix (with the fusion in a method's attribute `fusion`) -> the authors'.
FUSION_NAMES = {
    "fusion.audio_encoder": "A_enc",
    "fusion.visual_encoder": "V_enc",
    "fusion.position.fourier": "position_encoder_block.fourier_randn",
    "fusion.position.modality": "position_encoder_block.modal_embedding",
    "fusion.position.time": "position_encoder_block.fourier_embeddings",
    "fusion.position.project_audio": "position_encoder_block.out_proj_audio",
    "fusion.position.project_visual": "position_encoder_block.out_proj_video",
    "fusion.class_token": "cls_token",
    "fusion.layers": "Audio_visual_transformer.layers",
}
_TWICE = "audiovisual_embeddings."  # the position block again, under a second name
_PAD = "position_encoder_block.pad_embedding."  # added to padded steps alone, which nothing reads
_PROJECTION = "position_encoder_block.out_proj_"


def without_copies(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that a TCaF-like model computes with, by the authors' names.

    Left out are the second copy of the position block and the embedding of padding; 1x1 convolutions over time become
    the linear maps of each step that they are.
    """
    kept = {name: tensor for name, tensor in state_dict.items() if not name.startswith((_TWICE, _PAD))}
    return {
        name: tensor.squeeze(2) if name.startswith(_PROJECTION) and tensor.ndim == 3 else tensor
        for name, tensor in kept.items()
    }


def fusion_sizes(state_dict: Mapping[str, Tensor], *, head_dim: int) -> tuple[dict[str, Any], tuple[int, int]]:
    """Read the sizes of the fusion from its tensors.

    Args:
        state_dict: Tensors by the authors' names.
        head_dim: Width of an attention head, which no tensor shows.

    Returns:
        Fields of `FusionConfig`, and the widths of audio and visual features.

    Raises:
        ValueError: A tensor that decides a size is missing, or the attention's width is no multiple of `head_dim`.
    """
    layer = "Audio_visual_transformer.layers."
    hidden, audio = shape_of(state_dict, "A_enc.fc.0.weight")
    visual = shape_of(state_dict, "V_enc.fc.0.weight")[1]
    inner, dim = shape_of(state_dict, f"{layer}0.attn.to_q.weight")
    if head_dim < 1 or inner % head_dim != 0:
        raise ValueError(f"The attention is {inner} wide, no multiple of head_dim {head_dim}; pass another head_dim.")
    sizes = {
        "dim": dim,
        "encoder_hidden": hidden,
        "layers": 1 + max(int(name.split(".")[2]) for name in state_dict if name.startswith(layer)),
        "heads": inner // head_dim,
        "head_dim": head_dim,
        "feedforward": shape_of(state_dict, f"{layer}0.ff.net.0.weight")[0],
        "position_dim": shape_of(state_dict, "position_encoder_block.modal_embedding.weight")[1],
    }
    return sizes, (audio, visual)


def shape_of(state_dict: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Shape of a tensor. Raises ValueError when it is missing."""
    if name not in state_dict:
        raise ValueError(f"The released weights lack {name!r}; pass the state dict of the authors' model unchanged.")
    return tuple(state_dict[name].shape)
