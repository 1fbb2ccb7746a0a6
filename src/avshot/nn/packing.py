"""How the real steps of a batch lie in memory: one row each, in groups of clips of like length, without a mask.

Layers that treat every token by itself (linear, norm, feed-forward) run over `[row, dim]`. Attention sees a group as
`[clip, token, dim]`, a view of the same rows. A group of equally long clips has no padding; others have a little, which
is hidden from every reader and read by nobody.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

# A further group costs about as much time as this many rows of padding (calls of a few dozen microseconds each, on a
# processor, at TCaF's sizes).
GROUP_COST = 24
LARGEST_GROUP = 32  # clips; more at once are no faster, and would make the search for the best groups slow


@dataclass(frozen=True)
class Group:
    """Clips that lie together; the tokens of each are audio steps, class token (when there is one), visual steps.

    Attributes:
        clips: `[clip of the group]` long, which clips of the batch.
        audio: Audio tokens of each, padding included.
        middle: 1 with a class token, else 0.
        visual: Visual tokens of each, padding included.
        mask: `[clip of the group, token]` bool, True = real.
        padded: Whether any token is not real.
    """

    clips: Tensor
    audio: int
    middle: int
    visual: int
    mask: Tensor
    padded: bool

    @property
    def tokens(self) -> int:
        """Tokens of each clip, padding included."""
        return self.audio + self.middle + self.visual

    @property
    def rows(self) -> int:
        """Rows of the whole group."""
        return len(self.clips) * self.tokens

    def blocks(self, pattern: str) -> list[tuple[slice, slice]]:
        """Which tokens look at which under a pattern (see `avshot.nn.attention.Attention.over`), as slices.

        Every token asks once. A class token, which looks at everything, comes first.
        """
        audio, class_token = slice(0, self.audio), slice(self.audio, self.audio + self.middle)
        visual, whole = slice(self.audio + self.middle, self.tokens), slice(0, self.tokens)
        if pattern == "full":
            return [(whole, whole)]
        with_audio, with_visual = slice(0, self.audio + self.middle), slice(self.audio, self.tokens)
        keys = (with_visual, with_audio) if pattern == "cross" else (with_audio, with_visual)
        blocks = [(class_token, whole), (audio, keys[0]), (visual, keys[1])]
        return [(queries, read) for queries, read in blocks if queries.stop > queries.start]

    def hidden(self, keys: slice) -> Tensor | None:
        """Mask for scaled dot-product attention to these tokens; None where all are real."""
        return self.mask[:, None, None, keys] if self.padded else None


@dataclass(frozen=True)
class Layout:
    """Where each step of a batch lies.

    Attributes:
        groups: In the order of the rows.
        audio_at: `[real audio step]` long, rows of the audio steps in the order of the batch's mask.
        visual_at: `[real visual step]` long, the same for visual steps.
        class_at: `[clip]` long, row of each clip's class token; empty without class tokens.
        place: `[clip]` long, place of each clip when groups are joined.
        rows: How many rows there are.
    """

    groups: tuple[Group, ...]
    audio_at: Tensor
    visual_at: Tensor
    class_at: Tensor
    place: Tensor
    rows: int

    @property
    def sizes(self) -> list[int]:
        """Rows of each group."""
        return [group.rows for group in self.groups]

    def joined(self, parts: list[Tensor]) -> Tensor:
        """One tensor per group, `[clip of the group, ...]`, to `[clip, ...]` in the order of the batch."""
        return torch.cat(parts)[self.place]


def lay_out(audio_mask: Tensor, visual_mask: Tensor, *, class_token: bool) -> Layout:
    """Decide where the steps of a batch lie.

    Clips that have the same modalities are sorted by length and cut into groups so that padding and the number of
    groups cost least together; off the processor, where many small calls are slow, they stay in one group.

    Args:
        audio_mask: `[clip, time_a]` bool, True = real; holes are allowed.
        visual_mask: `[clip, time_v]` bool.
        class_token: Give every clip one row more.
    """
    device, middle = audio_mask.device, int(class_token)
    length_a, length_v = audio_mask.sum(dim=1), visual_mask.sum(dim=1)
    lengths = list(zip(length_a.tolist(), length_v.tolist(), strict=True))
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i][0] > 0, lengths[i][1] > 0, sum(lengths[i]), i))
    groups, starts, row = [], [0] * len(lengths), 0
    visual_starts = [0] * len(lengths)
    for members in _cut(order, lengths, single=device.type != "cpu"):
        audio, visual = (max(lengths[i][side] for i in members) for side in (0, 1))
        for k, i in enumerate(members):
            starts[i] = row + k * (audio + middle + visual)
            visual_starts[i] = starts[i] + audio + middle
        clips = torch.tensor(members, device=device)
        real_a = torch.arange(audio, device=device) < length_a[clips, None]
        real_v = torch.arange(visual, device=device) < length_v[clips, None]
        mask = torch.cat([real_a, real_a.new_ones(len(members), middle), real_v], dim=1)
        padded = any(lengths[i] != (audio, visual) for i in members)
        groups.append(Group(clips, audio, middle, visual, mask, padded))
        row += groups[-1].rows
    first_a, first_v = torch.tensor(starts, device=device), torch.tensor(visual_starts, device=device)
    place = torch.empty(len(lengths), dtype=torch.long, device=device)
    place[torch.tensor(order, dtype=torch.long, device=device)] = torch.arange(len(lengths), device=device)
    return Layout(
        tuple(groups),
        _rows_of(first_a, audio_mask),
        _rows_of(first_v, visual_mask),
        first_v[: len(lengths) * middle] - 1,
        place,
        row,
    )


def _rows_of(first: Tensor, mask: Tensor) -> Tensor:
    """Rows of the real steps of `mask [clip, time]`, when those of clip i start at `first[i]`."""
    return (first[:, None] + mask.cumsum(dim=1) - 1)[mask]


def _cut(order: list[int], lengths: list[tuple[int, int]], *, single: bool) -> list[list[int]]:
    """Cut clips in the given order into groups of one kind each; `single`: one for each kind."""
    groups = []
    for _, kind in itertools.groupby(order, key=lambda i: (lengths[i][0] > 0, lengths[i][1] > 0)):
        members = list(kind)
        cuts = [0, len(members)] if single else _cheapest_cuts([lengths[i] for i in members])
        groups += [members[i:j] for i, j in itertools.pairwise(cuts)]
    return groups


def _cheapest_cuts(lengths: list[tuple[int, int]]) -> list[int]:
    """Cuts of a sorted list into groups with the least sum of padded rows and `GROUP_COST`, by dynamic programming."""
    cost, cut = [0.0], [0]
    for stop in range(1, len(lengths) + 1):
        audio = visual = 0
        best = (float("inf"), 0)
        for start in range(stop - 1, max(-1, stop - 1 - LARGEST_GROUP), -1):
            audio, visual = max(audio, lengths[start][0]), max(visual, lengths[start][1])
            best = min(best, (cost[start] + GROUP_COST + (stop - start) * (audio + visual), start))
        cost.append(best[0])
        cut.append(best[1])
    cuts = [len(lengths)]
    while cuts[-1] > 0:
        cuts.append(cut[cuts[-1]])
    return cuts[::-1]
