"""PE-AV's text tower behind one of its three heads: texts to compare with sound, with picture, or with both together.

The state of the first token at the tower's end (ModernBERT's), through a normalisation and a linear layer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from avshot.classes.encoders._pretrained import TextTower
from avshot.errors import BadSetting

_HEADS = {"pe_audio": "audio_model.text_audio_head", "pe_video": "video_model.text_video_head"}
_BOTH = "text_audio_video_head"
_EPS = 1e-6
# What a checkpoint's configuration leaves out.
_USUAL = {"hidden_size": 1024, "intermediate_size": 2624, "num_hidden_layers": 22, "num_attention_heads": 16}


class PeText(TextTower):
    """A text encoder of PE-AV; see `TextTower`."""

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector."""
        return int(self._config["hidden_size"])

    @cached_property
    def _config(self) -> Any:
        stated = self._load(_Stated)
        if stated.get("model_type") != "pe_audio_video":
            raise BadSetting(
                f"Text encoder {self.spec!r} is of the kind {stated.get('model_type')}; expected pe_audio_video."
            )
        return {**_USUAL, **stated["text_config"]}

    @property
    def _length(self) -> int:
        return int(min(self._tokenizer.model_max_length, self._config.get("max_position_embeddings", 8192)))

    @cached_property
    def _model(self) -> Any:
        kind = _part(_HEADS.get(self._kind, _BOTH))
        config = kind.config_class(**self._config)
        model, info = self._load(kind, config=config, output_loading_info=True, dtype=torch.float32)
        self._refuse(info["missing_keys"])
        return model.eval()

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        with torch.inference_mode():
            return model(tokens["input_ids"], tokens["attention_mask"]).float().clone()


class _Stated:
    """`config.json` as it is: what transformers makes of it needs timm."""

    @staticmethod
    def from_pretrained(place: str, **options: Any) -> dict[str, Any]:
        from transformers import PreTrainedConfig

        found, _ = PreTrainedConfig.get_config_dict(place, **options)
        return dict(found)


def _part(head: str) -> Any:
    """The text tower and one head as a model of transformers, by the names that they have in a checkpoint."""
    from transformers import AutoModel, ModernBertConfig, PreTrainedModel

    class Part(PreTrainedModel):
        config_class = ModernBertConfig
        base_model_prefix = ""
        _keys_to_ignore_on_load_unexpected = [r".*"]  # noqa: RUF012 - as transformers declares it
        _supports_sdpa = True

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.text_model, width = AutoModel.from_config(config), config.hidden_size
            norm, line = nn.LayerNorm(width, eps=_EPS), nn.Linear(width, width, bias=False)
            layers = nn.ModuleDict({"layer_norm": norm, "proj": line})
            owner, _, name = head.rpartition(".")
            if owner:
                self.add_module(owner, nn.ModuleDict({name: layers}))
            else:
                self.add_module(name, layers)
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            """Nothing: what a checkpoint lacks is refused, not drawn."""

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            state = self.text_model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
            normalised = self.get_submodule(f"{head}.layer_norm")(state[:, 0])
            return self.get_submodule(f"{head}.proj")(normalised)

    return Part
