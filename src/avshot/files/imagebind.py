"""ImageBind (Girdhar et al. 2023, https://arxiv.org/abs/2305.05665): its towers for picture, sound and text.

Written from the paper and from the names and shapes of the released parameters (`imagebind_huge.pth`); none of its code
is here. Weights and code are under CC-BY-NC 4.0. Each tower is a transformer with normalisation before attention and
before a perceptron: pictures as two frames in patches of 14 by 14 (OpenCLIP's ViT-H), sounds as spectrograms in
overlapping patches of 16 by 16 with a learnt key and value beside the others, texts with a causal mask. Towers for
depth, heat and motion are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.files.torch_archive import restricted_archive

BANDS, STEPS = 128, 204  # of a spectrogram
HEADS = {"vision": 16, "audio": 12, "text": 16}  # no parameter tells
_PATCH, _SOUND_PATCH, _SOUND_STRIDE = 14, 16, 10
_EPS, _STEM_EPS = 1e-6, 1e-5
_MOST_SCALE = 100.0
_PARTS = ("preprocessors", "trunks", "heads", "postprocessors")
_NAME = re.compile(rf"modality_({'|'.join(_PARTS)})\.(vision|text|audio|depth|thermal|imu)\..+")
_MADE = "modality_preprocessors.text.mask"  # follows from its size
_SCALE = "modality_postprocessors.{}.1.log_logit_scale"


class Tower(nn.Module):
    """One modality's path to the joint space, under the released names.

    Args:
        modality: "vision", "audio" or "text".
        width: Of the transformer.
        depth: Its blocks.
        places: Learnt positions.
        dim: Width of the joint space.
        words: Tokens that a text may hold; 0 for the other modalities.
    """

    def __init__(self, modality: str, *, width: int, depth: int, places: int, dim: int, words: int = 0) -> None:
        super().__init__()
        self.modality, self.places, self.dim, self.words = modality, places, dim, words
        self.modality_preprocessors = nn.ModuleDict({modality: _stem(modality, width, places, words)})
        blocks = nn.ModuleList([_Block(width, HEADS[modality], modality == "audio") for _ in range(depth)])
        trunk: dict[str, nn.Module] = {"blocks": blocks}
        if modality == "vision":
            trunk["pre_transformer_layer"] = nn.ModuleList([nn.LayerNorm(width, eps=_EPS)])
        self.modality_trunks = nn.ModuleDict({modality: nn.ModuleDict(trunk)})
        norm, line = nn.LayerNorm(width, eps=_EPS), nn.Linear(width, dim, bias=False)
        head = {"proj": nn.ModuleList([norm, line])} if modality == "text" else {"0": norm, "2": line}
        self.modality_heads = nn.ModuleDict({modality: nn.ModuleDict(head)})

    def forward(self, given: Tensor, last: Tensor | None = None) -> Tensor:
        """Describe pictures, sounds or texts.

        Args:
            given: `[item, 3, 2, height, width]` two frames each, normalised; `[item, 1, band, step]` spectrograms; or
                `[item, token]` numbers of words.
            last: `[item]` place of each text's last token, for texts alone.

        Returns:
            `[item, dim]`, not of unit length.
        """
        trunk: Any = self.modality_trunks[self.modality]
        head: Any = self.modality_heads[self.modality]
        state, mask = self.modality_preprocessors[self.modality](given), None
        if "pre_transformer_layer" in trunk:
            state = trunk["pre_transformer_layer"][0](state)
        if last is not None:
            mask = torch.full((state.shape[1], state.shape[1]), -torch.inf, device=state.device).triu(1)
        for block in trunk["blocks"]:
            state = block(state, mask)
        chosen = state[:, 0] if last is None else state[torch.arange(len(state), device=state.device), last]
        norm, line = head["proj"] if self.modality == "text" else (head["0"], head["2"])
        found: Tensor = line(norm(chosen))
        return found


class _Stem(nn.Module):
    """Patches, a class token before them, learnt positions."""

    def __init__(self, patches: nn.Module, norm: nn.Module | None, width: int, places: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.rgbt_stem = nn.ModuleDict({"proj": patches} | ({} if norm is None else {"norm_layer": norm}))
        self.pos_embedding_helper = nn.ParameterDict({"pos_embed": nn.Parameter(torch.zeros(1, places, width))})

    def forward(self, given: Tensor) -> Tensor:
        patches = self.rgbt_stem["proj"]
        state = (patches[1] if isinstance(patches, nn.Sequential) else patches)(given).flatten(2).transpose(1, 2)
        if "norm_layer" in self.rgbt_stem:
            state = self.rgbt_stem["norm_layer"](state)
        first = self.cls_token.expand(len(state), -1, -1)
        return torch.cat([first, state], dim=1) + self.pos_embedding_helper["pos_embed"]


class _Words(nn.Module):
    """Words and learnt positions."""

    def __init__(self, words: int, width: int, places: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, places, width))

    def forward(self, given: Tensor) -> Tensor:
        found: Tensor = self.token_embedding(given) + self.pos_embed[:, : given.shape[1]]
        return found


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, more: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=more, batch_first=True)
        self.norm_1, self.norm_2 = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, state: Tensor, mask: Tensor | None) -> Tensor:
        normal = self.norm_1(state)
        state = state + self.attn(normal, normal, normal, need_weights=False, attn_mask=mask)[0]
        found: Tensor = state + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm_2(state))))
        return found


def _stem(modality: str, width: int, places: int, words: int) -> nn.Module:
    if modality == "text":
        return _Words(words, width, places)
    if modality == "audio":
        patches = nn.Conv2d(1, width, _SOUND_PATCH, _SOUND_STRIDE, bias=False)
        return _Stem(patches, nn.LayerNorm(width, eps=_STEM_EPS), width, places)
    size = (2, _PATCH, _PATCH)
    # The released first of the two only repeats a single picture, and holds no parameter.
    return _Stem(nn.Sequential(nn.Identity(), nn.Conv3d(3, width, size, size, bias=False)), None, width, places)


def read_tower(path: str | Path, modality: str) -> Tower:
    """The tower of one modality from a checkpoint, in eval mode.

    Args:
        path: `imagebind_huge.pth` or a file of another size with the same names; `.safetensors` will do.
        modality: "vision", "audio" or "text".

    Raises:
        ValueError: It cannot be read, has parameters of other names, lacks some, or their sizes do not fit together.
        OSError: There is no such file.
    """
    tensors = {name: value for name, value in _tensors(path).items() if name.split(".")[1] == modality}
    tensors = {name: value for name, value in tensors.items() if not name.startswith("modality_postprocessors.")}
    tensors.pop(_MADE, None)
    tower = _empty(tensors, modality, path)
    own = tower.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) or [name for name in sorted(own) if own[name].shape != tensors[name].shape]
    if wrong:
        raise BadSetting(
            f"{path} does not fit ImageBind's {modality} tower (lacking, unknown or of another size: "
            f"{', '.join(wrong[:3])}); give the released checkpoint unchanged."
        )
    bad = [name for name, value in tensors.items() if not bool(value.isfinite().all())]
    if bad:
        raise BadSetting(f"{path} holds numbers in {bad[0]} that are not finite; fetch it again.")
    tower.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return tower.eval()


def read_scale(path: str | Path, modality: str) -> float:
    """What multiplies a cosine of this modality with a text: the text's learnt scale, for sounds times their own.

    Both are at most 100, as in the model. Raises ValueError where the checkpoint does not hold them.
    """
    tensors = _tensors(path)
    names = [_SCALE.format(one) for one in ("text", *(("audio",) if modality == "audio" else ()))]
    lacking = [name for name in names if name not in tensors]
    if lacking:
        raise BadSetting(f"{path} lacks {lacking[0]}; give the released checkpoint of ImageBind unchanged.")
    scale = 1.0
    for name in names:
        scale *= min(tensors[name].float().exp().item(), _MOST_SCALE)
    return scale


def _tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by their names, none of which is of another model."""
    if Path(path).suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found: object = load_file(path)
        except SafetensorError as error:
            raise BadSetting(f"{path} is not a readable file of tensors ({error}); fetch it again.") from None
    else:
        found = restricted_archive(path)
    state = found if isinstance(found, Mapping) else {}
    odd = [str(name) for name, value in state.items() if not (hasattr(value, "dtype") and _NAME.fullmatch(str(name)))]
    if odd or not state:
        what = f"the parameter {odd[0]!r}" if odd else "no parameters"
        raise BadSetting(f"{path} has {what}; expected a checkpoint of ImageBind, unchanged.")
    return {name: value if isinstance(value, Tensor) else torch.from_numpy(value) for name, value in state.items()}


def _empty(tensors: Mapping[str, Tensor], modality: str, path: str | Path) -> Tower:
    """A tower of the sizes that its parameters tell, without memory."""
    stem = f"modality_preprocessors.{modality}"
    places = f"{stem}.pos_embed" if modality == "text" else f"{stem}.pos_embedding_helper.pos_embed"
    line = f"modality_heads.{modality}." + ("proj.1.weight" if modality == "text" else "2.weight")
    blocks = [re.match(rf"modality_trunks\.{modality}\.blocks\.(\d+)\.", name) for name in tensors]
    try:
        with torch.device("meta"):
            return Tower(
                modality,
                width=tensors[line].shape[1],
                depth=1 + max(int(found[1]) for found in blocks if found),
                places=tensors[places].shape[1],
                dim=tensors[line].shape[0],
                words=len(tensors[f"{stem}.token_embedding.weight"]) if modality == "text" else 0,
            )
    except (KeyError, IndexError, ValueError, AssertionError) as error:
        raise BadSetting(
            f"{path} has no {modality} tower of ImageBind whose sizes can be told ({error}); give it unchanged."
        ) from None
