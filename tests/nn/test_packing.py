"""Where steps lie: every real one has a row of its own, and groups cost least."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.nn import packing as module
from avshot.nn.packing import lay_out

MASKS = st.integers(1, 9).flatmap(
    lambda clips: st.tuples(*(st.lists(st.integers(0, 15), min_size=clips, max_size=clips) for _ in range(2)))
)


def as_mask(codes):
    """Bits of each number, so holes are there too."""
    return (torch.tensor(codes)[:, None] >> torch.arange(4)) % 2 == 1


@settings(deadline=None)
@given(codes=MASKS, class_token=st.booleans())
def test_every_real_step_has_a_row_of_its_own_in_its_clip(codes, class_token):
    audio, visual = map(as_mask, codes)
    layout = lay_out(audio, visual, class_token=class_token)
    assert sum(group.rows for group in layout.groups) == layout.rows
    assert sorted(torch.cat([group.clips for group in layout.groups]).tolist()) == list(range(len(audio)))
    owner, real, first = torch.full((layout.rows,), -1), torch.zeros(layout.rows, dtype=torch.bool), 0
    for group in layout.groups:
        rows = slice(first, first + group.rows)
        owner[rows], real[rows] = group.clips.repeat_interleave(group.tokens), group.mask.flatten()
        assert group.padded == (not group.mask.all())
        first += group.rows
    assert torch.equal(owner[layout.audio_at], audio.nonzero()[:, 0])
    assert torch.equal(owner[layout.visual_at], visual.nonzero()[:, 0])
    assert owner[layout.class_at].tolist() == (list(range(len(audio))) if class_token else [])
    used = torch.cat([layout.audio_at, layout.visual_at, layout.class_at])
    assert sorted(used.tolist()) == real.nonzero()[:, 0].tolist()
    joined = layout.joined([group.clips for group in layout.groups])
    assert joined.tolist() == list(range(len(audio)))


@settings(deadline=None)
@given(codes=MASKS)
def test_a_group_holds_clips_with_the_same_modalities(codes):
    audio, visual = map(as_mask, codes)
    for group in lay_out(audio, visual, class_token=True).groups:
        for mask in (audio, visual):
            assert len(set(mask[group.clips].any(dim=1).tolist())) == 1


@given(lengths=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=7))
def test_no_other_cut_costs_less(lengths):
    def cost(cuts):
        parts = [lengths[i:j] for i, j in itertools.pairwise(cuts)]
        return sum(module.GROUP_COST + len(p) * (max(a for a, _ in p) + max(v for _, v in p)) for p in parts)

    inner = range(1, len(lengths))
    every = (c for n in range(len(lengths)) for c in itertools.combinations(inner, n))
    assert cost(module._cheapest_cuts(lengths)) == min(cost([0, *cuts, len(lengths)]) for cuts in every)


def test_off_the_processor_there_is_one_group_for_each_kind():
    lengths = [(5, 1), (1, 50), (0, 3), (2, 2), (0, 60)]
    assert module._cut([2, 4, 3, 0, 1], lengths, single=True) == [[2, 4], [3, 0, 1]]
    assert len(module._cut([2, 4, 3, 0, 1], lengths, single=False)) > 2


@pytest.mark.parametrize(("pattern", "blocks"), [("cross", 3), ("self", 3), ("full", 1)])
def test_every_token_asks_once(pattern, blocks):
    (group,) = lay_out(torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool), class_token=True).groups
    asked = [list(range(8))[queries] for queries, _ in group.blocks(pattern)]
    assert sorted(itertools.chain(*asked)) == list(range(8))
    assert len(asked) == blocks
