"""When a clip is unlike the training clips: the distance against loops, and how often like clips raise an alarm."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.data.dataset import Dataset, MemoryFeatures
from avshot.prediction.novelty import (
    ALARMS,
    AXES,
    FEWEST,
    LUMPS,
    MOST,
    PARTS,
    _against_others,
    strangeness,
    usual_of,
    what_is_usual,
)
from avshot.types import Clip, Features


def lumpy(count, seed=0, dim=30, lumps=6, spread=0.3, apart=5.0):
    """Clips of a few lumps on a plane of four dimensions, with a little of everything else."""
    rng = np.random.default_rng(seed)
    plane = np.linalg.qr(np.random.default_rng(99).normal(size=(dim, 4)))[0]
    centres = apart * np.random.default_rng(98).normal(size=(lumps, 4))
    along = centres[rng.integers(0, lumps, count)] + spread * rng.normal(size=(count, 4))
    return torch.from_numpy(along @ plane.T + 0.05 * rng.normal(size=(count, dim))).float()


def fitted(rows, **more):
    here = torch.ones(len(rows), dtype=torch.bool)
    return what_is_usual(rows, rows[:, :0], here, ~here, **more)


def witness(row, usual):
    """The distance of one clip, number by number."""
    known = {key.removeprefix("audio/"): value.double().tolist() for key, value in usual.items()}
    z = [(x - m) / d for x, m, d in zip(row.double().tolist(), known["mean"], known["deviation"], strict=True)]
    along = [sum(a * b for a, b in zip(z, axis, strict=True)) for axis in known["axes"]]
    near = min(math.dist(along, lump) for lump in known["lumps"])
    off = math.sqrt(max(0.0, sum(x * x for x in z) - sum(x * x for x in along)))
    parts = [near / known["scale"][0], off / known["scale"][1]]
    return math.sqrt(sum(part * part for part in parts) / 2) / known["limit"]


@settings(max_examples=25, deadline=None)
@given(count=st.integers(FEWEST, 60), dim=st.integers(1, 12), seed=st.integers(0, 100), far=st.floats(0, 50))
def test_the_distance_is_that_of_loops(count, dim, seed, far):
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    usual = fitted(rows)
    new = torch.randn(3, dim, generator=torch.Generator().manual_seed(seed + 1)) * far
    found = strangeness(new, usual, "audio")
    assert found.tolist() == pytest.approx([witness(row, usual) for row in new], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("count", [30, 100, 400])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_like_clips_raise_few_alarms_and_clips_between_the_lumps_do(count, seed):
    usual = fitted(lumpy(count, seed))
    alarms = (strangeness(lumpy(500, seed + 50), usual, "audio") > 1).double().mean()
    assert alarms <= ALARMS + 0.04
    if count < 100:
        return  # a lump with a clip or two makes the limit wide
    between = lumpy(2000, seed).mean(dim=0, keepdim=True)  # nearer to the middle than any clip, and like none
    assert strangeness(between, usual, "audio")[0] > 1
    aside = lumpy(20, seed + 7) + torch.randn(20, 30, generator=torch.Generator().manual_seed(seed))
    assert (strangeness(aside, usual, "audio") > 1).all()


def test_few_clips_raise_few_alarms_on_average():
    rates = []
    for seed in range(20):
        usual = fitted(torch.randn(11, 20, generator=torch.Generator().manual_seed(seed)))
        new = torch.randn(200, 20, generator=torch.Generator().manual_seed(1000 + seed))
        rates.append(float((strangeness(new, usual, "audio") > 1).double().mean()))
    assert np.mean(rates) < 0.08


def test_what_is_kept_is_small_and_is_no_list_of_clips():
    rows = lumpy(MOST + 500)
    usual = fitted(rows)
    assert set(usual) == {f"audio/{key}" for key in ("mean", "deviation", "axes", "lumps", "scale", "limit")}
    assert len(usual["audio/axes"]) <= AXES
    assert len(usual["audio/lumps"]) <= LUMPS
    assert sum(value.numel() * value.element_size() for value in usual.values()) < 50_000
    torch.testing.assert_close(usual["audio/mean"], rows.mean(dim=0))  # of all clips: attribution blots out with it
    axes = usual["audio/axes"]
    torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes)), atol=1e-5, rtol=0)
    assert all(torch.equal(value, fitted(rows)[key]) for key, value in usual.items())  # and no draw is in it


def test_degenerate_clips_give_finite_numbers():
    same = torch.ones(20, 5)
    assert strangeness(same[:1], fitted(same), "audio")[0] == 0
    assert strangeness(same[:1] + 1, fitted(same), "audio")[0] > 1
    assert fitted(same[: FEWEST - 1]) == {}
    never = torch.cat([torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.zeros(40, 1)], dim=1)
    speck = never[:1] + torch.tensor([0, 0, 0, 0, 0, 0.01])  # in a feature that never varied
    assert strangeness(speck, fitted(never), "audio")[0] < 1
    one = fitted(never, sources=["one film"] * 40)  # nothing to measure a clip against
    assert all(value.isfinite().all() for value in one.values())


def test_clips_of_one_source_are_not_measured_against_each_other():
    rows = lumpy(60)
    sources = [f"film {i % 12}" for i in range(60)]
    near, off = _against_others(rows.double(), sources)
    moved = rows.double().clone()
    moved[[i for i in range(60) if i % 12 % PARTS == 0 and i]] += 100  # others of the part in which clip 0 is held out
    again = _against_others(moved, sources)
    assert (near[0], off[0]) == (again[0][0], again[1][0])


def test_statistics_of_an_older_run_go_by_the_older_rule():
    old = {
        "audio/mean": torch.tensor([1.0, 2.0]),
        "audio/deviation": torch.tensor([0.5, 2.0]),
        "audio/limit": torch.tensor(2.0),
    }
    clip = torch.tensor([[2.0, -2.0]])  # 2 and -2 deviations out, so 2 in root mean square
    assert strangeness(clip, old, "audio").tolist() == pytest.approx([1.0])
    assert strangeness(2 * clip - old["audio/mean"], old, "audio").tolist() == pytest.approx([2.0])


def test_clips_of_a_dataset_are_read_with_their_sources():
    rows = lumpy(40)
    clips = tuple(Clip(f"{i}", label="a", group=f"film {i // 4}") for i in range(40))
    source = MemoryFeatures([clip.id for clip in clips], Features.averaged(rows, rows), {})
    dataset = Dataset("made", clips, ("a",), {"train": np.arange(40)}, source)
    found = usual_of(dataset, np.arange(40))
    wanted = fitted(rows, sources=[clip.group for clip in clips])
    assert torch.equal(found["audio/limit"], wanted["audio/limit"])
    assert torch.equal(found["visual/limit"], wanted["audio/limit"])
    assert "visual/limit" not in usual_of(dataset, np.arange(40), "audio")
