"""Multi-head attention with masks, and the pre-norm transformer layer of TCaF and AV-Diff."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATTERNS = ("cross", "self", "full")


def pattern_mask(pattern: str, modality: Tensor, valid: Tensor) -> Tensor:
    """Which token may look at which: `[clip, token, token]` bool, rows look at columns.

    `"cross"`: only at tokens of the other modality, so not even at itself (TCaF's A_c + A_x, thesis eq. 3.12);
    `"self"`: only within its modality (A_c + A_self); `"full"`: at all (A_c + A_self + A_x). The class token looks at
    everything and is seen by everything. Nothing looks at padding. What padding looks at is never read.

    Args:
        pattern: One of the above.
        modality: `[token]` long: 0 class token, 1 audio, 2 visual.
        valid: `[clip, token]` bool, True = real.

    Raises:
        ValueError: Unknown pattern.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"Attention pattern is {pattern!r}; expected one of {', '.join(PATTERNS)}.")
    row, column = modality[:, None], modality[None, :]
    with_class = (row == 0) | (column == 0)
    if pattern == "full":
        allowed = torch.ones_like(with_class)
    else:
        allowed = with_class | ((row == column) if pattern == "self" else (row != column))
    return allowed & valid[:, None, :]


class Attention(nn.Module):
    """Multi-head attention: bias-free queries, keys and values, scaled by `head_dim ** -0.5`; parameter names as TCaF.

    A query that may look at nothing gets zeros (before the output layer's bias), so a residual passes unchanged but for
    that bias. TCaF's code gives it the mean over all keys, padding included, which depends on the rest of the batch.

    Args:
        dim: Width of the queries' input and of the output.
        heads: Number of heads.
        head_dim: Width of a head; `heads * head_dim` need not equal `dim`.
        dropout: After the output layer (TCaF has none on the attention weights).
        dim_key: Width of the keys' and values' input, default `dim`.
    """

    def __init__(
        self, dim: int, heads: int, head_dim: int, *, dropout: float = 0.0, dim_key: int | None = None
    ) -> None:
        super().__init__()
        dim_key = dim if dim_key is None else dim_key
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(dim_key, heads * head_dim, bias=False)
        self.to_v = nn.Linear(dim_key, heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, dim), nn.Dropout(dropout))

    def forward(self, query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query: `[clip, query, dim]`, or `[1, query, dim]` when all clips share the queries.
            key: `[clip, key, dim_key]`; keys and values are made from it.
            mask: `[clip, query or 1, key]` bool, True = may look. None = all.

        Returns:
            `[clip, query, dim]`.
        """
        q, k, v = self._split(self.to_q(query)), self._split(self.to_k(key)), self._split(self.to_v(key))
        q = q.expand(len(k), -1, -1, -1)
        if mask is None:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            # A row without any key would be NaN or zero depending on the kernel: open it, then blank it.
            some = mask.any(dim=2, keepdim=True)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=(mask | ~some)[:, None])
            out = out * some[:, None]
        return self.to_out(out.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """Attention weights averaged over heads, `[clip, query, key]`: what each query looked at (for explanations)."""
        q, k = self._split(self.to_q(query)).expand(len(key), -1, -1, -1), self._split(self.to_k(key))
        logits = (q @ k.transpose(2, 3)) * k.shape[-1] ** -0.5
        logits = logits.masked_fill(~mask[:, None], torch.finfo(logits.dtype).min)
        return (logits.softmax(dim=3) * mask[:, None]).mean(dim=1)

    def _split(self, value: Tensor) -> Tensor:
        return value.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear, GELU, dropout, linear, dropout; parameter names as in TCaF's code (`net.0`, `net.3`)."""

    def __init__(self, dim: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, value: Tensor) -> Tensor:
        """Map `[..., dim]` to `[..., dim]`."""
        return self.net(value)


class TransformerLayer(nn.Module):
    """Pre-norm layer: `h = x + attention(norm(x))`, `y = h + feedforward(norm(h))`.

    Args:
        dim: Width of the tokens.
        heads: Number of heads.
        head_dim: Width of a head.
        feedforward: Hidden width of the feed-forward part; 0 = no such part, `y = h`.
        dropout: After attention, and twice in the feed-forward part.
        shared_norm: One `LayerNorm` serves both parts, as TCaF and AV-Diff train it; False gives each its own.
    """

    def __init__(
        self, dim: int, *, heads: int, head_dim: int, feedforward: int, dropout: float = 0.0, shared_norm: bool = True
    ) -> None:
        super().__init__()
        self.attn = Attention(dim, heads, head_dim, dropout=dropout)
        self.ff = FeedForward(dim, feedforward, dropout=dropout) if feedforward else None
        self.norm = nn.LayerNorm(dim)
        self.norm_ff = nn.LayerNorm(dim) if feedforward and not shared_norm else None

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map tokens `[clip, token, dim]` under `mask [clip, token, token]` (True = row may look at column)."""
        normed = self.norm(tokens)
        tokens = tokens + self.attn(normed, normed, mask)
        if self.ff is None:
            return tokens
        norm_ff = self.norm if self.norm_ff is None else self.norm_ff
        return tokens + self.ff(norm_ff(tokens))
