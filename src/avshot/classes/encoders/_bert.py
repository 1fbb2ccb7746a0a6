"""BERT's encoder in plain torch: for a model whose parts are known, without what transformers takes to load.

Sources: Devlin et al. 2019, "BERT", section 3, https://arxiv.org/abs/1810.04805; Vaswani et al. 2017, "Attention Is All
You Need", section 3, https://arxiv.org/abs/1706.03762. Parameters have the names of the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting

EPSILON = 1e-12  # of all layer norms


class Bert:
    """Tokens to states.

    Args:
        tensors: Parameters by their released names; those of the pooler, and counters of positions, are not used.
        heads: Of each attention.
        where: The file, for messages.

    Raises:
        ValueError: Parameters that a BERT has are missing.
    """

    def __init__(self, tensors: Mapping[str, Tensor], heads: int, where: str) -> None:
        used = {name: value.float() for name, value in tensors.items() if name.startswith(("embeddings.", "encoder."))}
        self._layers = 1 + max(
            (int(name.split(".")[2]) for name in used if name.startswith("encoder.layer.")), default=0
        )
        self._tensors, self._heads = used, heads
        lacking = [name for name in self._needed() if name not in used]
        if lacking:
            raise BadSetting(
                f"{where} lacks {len(lacking)} of its weights ({', '.join(lacking[:3])}); install it again."
            )

    @property
    def longest(self) -> int:
        """Tokens that there are positions for."""
        return len(self._tensors["embeddings.position_embeddings.weight"])

    @property
    def dim(self) -> int:
        """Width of a state."""
        return self._tensors["embeddings.word_embeddings.weight"].shape[1]

    def __call__(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Last states `[text, token, dim]` of `tokens [text, token]` (int64), all of the first segment.

        Args:
            tokens: At most `longest` a text.
            real: True where there is a token and no padding, `[text, token]`; others are not attended to.
        """
        own = self._tensors
        words = F.embedding(tokens, own["embeddings.word_embeddings.weight"])
        places = own["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        states = self._norm("embeddings", words + places + own["embeddings.token_type_embeddings.weight"][0])
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            states = self._norm(f"{layer}.attention.output", states + self._attended(layer, states, real))
            wide = F.gelu(self._linear(f"{layer}.intermediate.dense", states))
            states = self._norm(f"{layer}.output", states + self._linear(f"{layer}.output.dense", wide))
        return states

    def _attended(self, layer: str, states: Tensor, real: Tensor) -> Tensor:
        parts = (self._linear(f"{layer}.attention.self.{name}", states) for name in ("query", "key", "value"))
        query, key, value = (part.unflatten(2, (self._heads, -1)).transpose(1, 2) for part in parts)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None])
        return self._linear(f"{layer}.attention.output.dense", found.transpose(1, 2).flatten(2))

    def _linear(self, name: str, states: Tensor) -> Tensor:
        return F.linear(states, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _norm(self, name: str, states: Tensor) -> Tensor:
        weight, bias = (self._tensors[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(states, weight.shape, weight, bias, EPSILON)

    def _needed(self) -> list[str]:
        parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
        parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
        names = [f"encoder.layer.{number}.{part}" for number in range(self._layers) for part in parts]
        both = [f"{name}.{kind}" for name in ["embeddings.LayerNorm", *names] for kind in ("weight", "bias")]
        tables = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
        return [*tables, *both]
