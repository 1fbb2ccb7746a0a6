"""The attention block of AVCA: its two tokens, one per modality, read themselves and each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avshot.nn.attention import Attention, FeedForward


class AvcaBlock(nn.Module):
    """Attention between the tokens and a feed-forward, each with a residual; paper section 3.1.

    Args:
        width: Of a token.
        heads: Number of heads.
        head_dim: Width of a head.
        feedforward: Hidden width of the feed-forward.
        dropout: After attention, and twice in the feed-forward.
        norm_first: LayerNorm before a sub-layer; False: after its residual sum.
        share_feedforward: One feed-forward for both tokens; False: one each.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        head_dim: int,
        feedforward: int,
        dropout: float,
        norm_first: bool,
        share_feedforward: bool,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, head_dim, dropout=dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        count = 1 if share_feedforward else 2
        self.feedforward = nn.ModuleList(FeedForward(width, feedforward, dropout=dropout) for _ in range(count))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map `tokens [clip, 2, width]`; `mask [clip, 1, 2]` bool, True = the token can be read."""
        if self.norm_first:
            normed = self.attention_norm(tokens)
            tokens = tokens + self.attention(normed, normed, mask)
            return tokens + self._feed(self.feedforward_norm(tokens))
        tokens = self.attention_norm(tokens + self.attention(tokens, tokens, mask))
        return self.feedforward_norm(tokens + self._feed(tokens))

    def _feed(self, tokens: Tensor) -> Tensor:
        if len(self.feedforward) == 1:
            return self.feedforward[0](tokens)
        return torch.stack([net(tokens[:, i]) for i, net in enumerate(self.feedforward)], dim=1)
