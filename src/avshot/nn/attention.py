"""Multi-head attention, and the pre-norm transformer layer of TCaF and AV-Diff.

Both come in two forms with the same weights: over a few tokens per clip and a mask, and over the rows of a `Layout`
(long sequences), where only the blocks that a pattern allows are computed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.packing import Group, Layout

PATTERNS = ("cross", "self", "full")


class Attention(nn.Module):
    """Multi-head attention: bias-free queries, keys and values, scaled by `head_dim ** -0.5`; parameter names as TCaF.

    A query that may look at nothing gets zeros (before the output layer's bias), so a residual passes unchanged but for
    that bias. TCaF's code gives it the mean over all keys, padding included, which depends on the rest of the batch.

    Args:
        dim: Width of the tokens that look and that are looked at, and of the output.
        heads: Number of heads.
        head_dim: Width of a head; `heads * head_dim` need not equal `dim`.
        dropout: After the output layer (TCaF has none on the attention weights).
    """

    def __init__(self, dim: int, heads: int, head_dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, dim), nn.Dropout(dropout))

    def forward(self, query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query: `[clip, query, dim]`, or `[1, query, dim]` when all clips share the queries.
            key: `[clip, key, dim]`; keys and values are made from it.
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

    def over(self, rows: Tensor, layout: Layout, pattern: str) -> Tensor:
        """Attend from every row to the rows of the same clip that a pattern allows.

        `"cross"`: tokens of the other modality, so not even itself (TCaF's A_c + A_x, thesis eq. 3.12); `"self"`: those
        of its own modality (A_c + A_self); `"full"`: all (A_c + A_self + A_x). The class token looks at everything and
        is seen by everything.

        Args:
            rows: `[row, dim]`, laid out as `layout` says.
            layout: Where the steps of each clip lie.
            pattern: One of `PATTERNS`.

        Returns:
            `[row, dim]`; rows of padding mean nothing.
        """
        weight = torch.cat([self.to_q.weight, self.to_k.weight, self.to_v.weight])
        parts = F.linear(rows, weight).unflatten(1, (3, self.heads, -1))
        return self.to_out(_Blocks.apply(parts, layout, pattern).flatten(1))

    def look(self, query: Tensor, rows: Tensor, layout: Layout) -> Tensor:
        """Attend from queries to all rows of a clip.

        Args:
            query: `[clip, query, dim]`, or `[1, query, dim]` when all clips share the queries.
            rows: `[row, dim]`, laid out as `layout` says.
            layout: Where the steps of each clip lie.

        Returns:
            `[clip, query, dim]`, clips in the order of the batch.
        """
        q = self._split(self.to_q(query))
        parts = F.linear(rows, torch.cat([self.to_k.weight, self.to_v.weight])).unflatten(1, (2, self.heads, -1))
        found = []
        for group, part in zip(layout.groups, parts.split(layout.sizes), strict=True):
            k, v = part.unflatten(0, (len(group.clips), group.tokens)).permute(2, 0, 3, 1, 4).unbind(0)
            mine = q[group.clips] if len(q) > 1 else q.expand(len(group.clips), -1, -1, -1)
            found.append(_attend(mine, k, v, group, slice(0, group.tokens)))
        return self.to_out(layout.joined(found).transpose(1, 2).flatten(2))

    def _split(self, value: Tensor) -> Tensor:
        return value.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, group: Group, keys: slice) -> Tensor:
    """Attention of `[clip, head, query, width]` to the tokens `keys` of a group; zeros where there are none."""
    if key.shape[2] == 0:
        return torch.zeros_like(query)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=group.hidden(keys))


class _Blocks(torch.autograd.Function):
    """Attention over the blocks of a pattern, from `[row, 3, head, width]` to `[row, head, width]`.

    By hand, because slices would each bring a gradient of the size of the whole, zeros but for the slice. The steps
    inside are torch's own: each block keeps its little graph for the way back.
    """

    @staticmethod
    def forward(ctx: Any, parts: Tensor, layout: Layout, pattern: str) -> Tensor:
        needed = bool(ctx.needs_input_grad[0])
        out = parts.new_empty(parts.shape[0], *parts.shape[2:])
        ctx.shape, ctx.layout, ctx.found = parts.shape, layout, []
        rows = zip(layout.groups, parts.detach().split(layout.sizes), out.split(layout.sizes), strict=True)
        for group, source, target in rows:
            source, target, done = _as_clips(source, group), _as_clips(target, group), []
            for queries, keys in group.blocks(pattern):
                query, key, value = source[:, 0, :, queries], source[:, 1, :, keys], source[:, 2, :, keys]
                with torch.set_grad_enabled(needed):
                    inputs = [side.requires_grad_(needed) for side in (query, key, value)]
                    found = _attend(query, key, value, group, keys)
                target[:, :, queries] = found.detach()
                done.append((queries, keys, inputs, found))
            ctx.found.append(done if needed else [])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        sizes, out = ctx.layout.sizes, gradients[0].new_empty(ctx.shape)
        rows = zip(ctx.layout.groups, gradients[0].split(sizes), out.split(sizes), ctx.found, strict=True)
        for group, source, target, done in rows:
            source, target = _as_clips(source, group), _as_clips(target, group)
            fresh = bool(done) and done[0][1] == slice(0, group.tokens)  # the first block reads all: no zeros to add to
            if not fresh:
                target.zero_()
            for queries, keys, inputs, found in done:
                if not found.requires_grad:  # there was nothing to look at
                    continue
                query, key, value = torch.autograd.grad(found, inputs, source[:, :, queries])
                target[:, 0, :, queries] = query
                for side, part in ((1, key), (2, value)):
                    place = target[:, side, :, keys]
                    place.copy_(part) if fresh else place.add_(part)
                fresh = False
        return out, None, None


def _as_clips(rows: Tensor, group: Group) -> Tensor:
    """View `[row, ..., head, width]` of a group as `[clip, ..., head, token, width]`."""
    return rows.unflatten(0, (len(group.clips), group.tokens)).movedim(1, -2)


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

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens `[clip, token, dim]` under `mask [clip, token, token]` (True = row may look at column)."""
        normed = self.norm(tokens)
        return self._feed(tokens + self.attn(normed, normed, mask))

    def over(self, rows: Tensor, layout: Layout, pattern: str) -> Tensor:
        """Map rows `[row, dim]` under a pattern, see `Attention.over`."""
        return self._feed(rows + self.attn.over(self.norm(rows), layout, pattern))

    def of_class_tokens(self, rows: Tensor, layout: Layout) -> Tensor:
        """What `over` gives for the class tokens alone, `[clip, dim]`, whatever the pattern."""
        normed, tokens = self.norm(rows), rows[layout.class_at]
        return self._feed(tokens + self.attn.look(normed[layout.class_at, None], normed, layout)[:, 0])

    def _feed(self, tokens: Tensor) -> Tensor:
        if self.ff is None:
            return tokens
        norm_ff = self.norm if self.norm_ff is None else self.norm_ff
        return tokens + self.ff(norm_ff(tokens))


def transformer_layers(config: Any, *, shared_norm: bool) -> nn.ModuleList:
    """`config.layers` layers with the sizes that `config` has in TCaF's names (`avshot.nn.fusion.FusionConfig`)."""
    return nn.ModuleList(
        TransformerLayer(
            config.dim,
            heads=config.heads,
            head_dim=config.head_dim,
            feedforward=config.feedforward,
            dropout=config.dropout_transformer,
            shared_norm=shared_norm,
        )
        for _ in range(config.layers)
    )
