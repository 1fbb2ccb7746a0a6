"""Read weights of TCaF-like models (TCaF, AV-Diff) in the layout of the authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

# Order matters: the first prefix that fits is replaced.
_FUSION = {
    "A_enc.": "fusion.audio_encoder.",
    "V_enc.": "fusion.visual_encoder.",
    "position_encoder_block.fourier_randn": "fusion.position.fourier",
    "position_encoder_block.modal_embedding.": "fusion.position.modality.",
    "position_encoder_block.fourier_embeddings.": "fusion.position.time.",
    "position_encoder_block.out_proj_audio.": "fusion.position.project_audio.",
    "position_encoder_block.out_proj_video.": "fusion.position.project_visual.",
    "cls_token": "fusion.class_token",
    "Audio_visual_transformer.": "fusion.",
}
_PAD = "position_encoder_block.pad_embedding."  # added to padded steps alone, which nothing reads: dropped
_TWICE = "audiovisual_embeddings."  # the position block again, under a second name

M = TypeVar("M", bound=nn.Module)


def read_fusion(
    state_dict: Mapping[str, Tensor], heads: Mapping[str, str], *, head_dim: int
) -> tuple[dict[str, Tensor], dict[str, Any], tuple[int, int]]:
    """Rename an official state dict and read the sizes of its fusion.

    Args:
        state_dict: Names and tensors as in the authors' code.
        heads: Further prefixes and what they become, for the parts outside the fusion.
        head_dim: Width of an attention head, which no tensor shows.

    Returns:
        The renamed tensors, the fields of `FusionConfig` that they fix, and the widths of audio and visual features.

    Raises:
        ValueError: A name that the layout does not know, a tensor that the sizes need is missing, or the attention's
            width is no multiple of `head_dim`.
    """
    weights: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in state_dict.items():
        if name.startswith((_TWICE, _PAD)):
            continue
        new = _rename(name, {**_FUSION, **heads})
        if new is None:
            unknown.append(name)
            continue
        # 1x1 convolutions over time are linear maps of each step.
        weights[new] = tensor.squeeze(2) if "position.project_" in new and tensor.ndim == 3 else tensor
    if unknown:
        raise ValueError(f"The state dict holds tensors that the layout does not know: {_few(unknown)}.")
    sizes, inputs = _sizes(weights, head_dim)
    return weights, sizes, inputs


def load_renamed(module: M, weights: Mapping[str, Tensor]) -> M:
    """Load renamed weights into `module` and put it into eval mode. Raises ValueError naming what does not fit."""
    own = module.state_dict()
    # Counters of batches matter only to training with cumulative averages; old checkpoints may lack them.
    missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    extra = [name for name in weights if name not in own]
    if missing or extra:
        parts = [f"lacks {_few(missing)}"] * bool(missing) + [f"holds unexpected {_few(extra)}"] * bool(extra)
        raise ValueError(f"The state dict {' and '.join(parts)} (avshot's names); expected the authors' full layout.")
    wrong = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in weights.items()
        if tensor.shape != own[name].shape
    ]
    if wrong:
        raise ValueError(f"Tensors of the state dict have shapes that do not fit together: {_few(wrong)}.")
    module.load_state_dict(dict(weights), strict=False)
    return module.eval()


def _rename(name: str, prefixes: Mapping[str, str]) -> str | None:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return None


def _sizes(weights: Mapping[str, Tensor], head_dim: int) -> tuple[dict[str, Any], tuple[int, int]]:
    def shape(name: str) -> tuple[int, ...]:
        if name not in weights:
            raise ValueError(f"The state dict holds no tensor for {name}; expected the authors' full layout.")
        return tuple(weights[name].shape)

    hidden, audio = shape("fusion.audio_encoder.fc.0.weight")
    visual = shape("fusion.visual_encoder.fc.0.weight")[1]
    inner, dim = shape("fusion.layers.0.attn.to_q.weight")
    if inner % head_dim != 0:
        raise ValueError(f"The attention is {inner} wide, no multiple of head_dim {head_dim}; pass head_dim=...")
    numbers = {int(name.split(".")[2]) for name in weights if name.startswith("fusion.layers.")}
    sizes = {
        "dim": dim,
        "encoder_hidden": hidden,
        "layers": max(numbers) + 1,
        "heads": inner // head_dim,
        "head_dim": head_dim,
        "feedforward": shape("fusion.layers.0.ff.net.0.weight")[0],
        "position_dim": shape("fusion.position.modality.weight")[1],
    }
    return sizes, (audio, visual)


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
