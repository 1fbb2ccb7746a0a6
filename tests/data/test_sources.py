"""Sources of features: their digest changes with every number, and numbers that are none are refused by clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import released
from avshot.data.dataset import MemoryFeatures
from avshot.data.official.features import OfficialFeatures
from avshot.data.simulated.simulate import simulate
from avshot.data.sources import AveragedFeatures, FeatureSource, averages_of
from avshot.types import Features

FIELDS = ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time")


def features(clips=3, steps=2):
    numbers = torch.Generator().manual_seed(0)
    mask = torch.ones(clips, steps, dtype=torch.bool)
    time = torch.arange(steps).float().expand(clips, steps).clone()
    audio, visual = (torch.randn(clips, steps, dim, generator=numbers) for dim in (2, 3))
    return Features(audio, visual, mask, mask.clone(), time, time.clone())


def test_the_digest_changes_with_every_id_and_tensor():
    base = MemoryFeatures(["a", "b", "c"], features())
    found = {base.content(), MemoryFeatures(["a", "b", "d"], features()).content()}
    assert MemoryFeatures(["a", "b", "c"], features()).content() == base.content()
    for name in FIELDS:
        other = features()
        tensor = getattr(other, name)
        tensor[1, 1] = ~tensor[1, 1] if tensor.dtype == torch.bool else tensor[1, 1] + 1e-6
        found.add(MemoryFeatures(["a", "b", "c"], other).content())
    assert len(found) == 2 + len(FIELDS)
    base.features.audio[0, 0, 0] += 1
    assert base.content() not in found  # tensors may be written to


def test_the_digest_of_slices_and_half_numbers():
    wide = features(6)
    part = Features(*(getattr(wide, name)[::2] for name in FIELDS))
    copy = Features(*(getattr(wide, name)[::2].clone() for name in FIELDS))
    assert MemoryFeatures("abc", part).content() == MemoryFeatures("abc", copy).content()
    half = replace(copy, audio=copy.audio.bfloat16())
    assert MemoryFeatures("abc", half).content() != MemoryFeatures("abc", copy).content()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("name", "said"), [("audio", "audio features"), ("visual_time", "visual times")])
def test_numbers_that_are_not_finite_are_refused_by_clip(wrong, name, said):
    other = features()
    getattr(other, name)[2, 1] = wrong
    with pytest.raises(ValueError, match=rf"{said} of clip 'c' hold \d numbers that are not finite"):
        MemoryFeatures(["a", "b", "c"], other)


class Sequences:
    """A source without a digest, whose numbers nobody has looked at."""

    ids, spec, dims = ("a", "b", "c"), {}, (2, 3)

    def __init__(self, content):
        self.kept = content

    def gather(self, rows):
        return self.kept.take(torch.as_tensor(rows))


def test_averages_are_looked_at_and_have_a_digest():
    plain, memory = Sequences(features()), MemoryFeatures(["a", "b", "c"], features())
    assert isinstance(plain, FeatureSource)
    assert AveragedFeatures(memory).content() == memory.content()
    other = features()
    other.audio[0] += 1
    assert AveragedFeatures(plain).content() != AveragedFeatures(Sequences(other)).content()
    other.visual[1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="visual features of clip 'b'"):
        AveragedFeatures(Sequences(other)).gather([0])
    other.visual[1, 0, 0] = 3e38
    other.visual[1, 1, 0] = 3e38  # each is a number, their sum is not
    with pytest.raises(ValueError, match="visual features of clip 'b'"):
        list(averages_of(Sequences(other)))


def test_released_features_are_known_by_their_numbers(tmp_path):
    import h5py

    released.write_h5(released.write_lists(tmp_path))
    folder = tmp_path / "UCF" / "features" / "cls_features"
    before = OfficialFeatures(folder, "cls")
    again = OfficialFeatures(folder, "cls")
    assert (before.content(), before.spec) == (again.content(), again.spec)
    assert OfficialFeatures(folder, "main").content() != before.content()  # other times
    file = folder / "video" / "stage_1_train" / "Archery.h5"
    size = file.stat().st_size
    with h5py.File(file, "a") as content:
        content["data"][0, 0] += 1
    assert file.stat().st_size == size
    after = OfficialFeatures(folder, "cls")
    assert after.content() != before.content()
    assert after.spec != before.spec


def test_released_features_in_pickles_are_known_by_their_numbers(tmp_path):
    def change(content, kind, stage, label):
        content["features"][0][0, 0] += kind == "audio"

    folders = [tmp_path / name for name in "ab"]
    for folder, how in zip(folders, (None, change), strict=True):
        released.write_pickles(folder, change=how)
    one, other = (OfficialFeatures(folder / "UCF/features/cls_features_non_averaged", "cls") for folder in folders)
    assert one.content() != other.content()


def test_simulated_features_are_known_by_all_that_makes_them():
    base = {"scale": 0.02, "dims": (4, 6)}
    vectors = {f"class {i}": np.random.default_rng(i).normal(size=8) for i in range(60)}
    variants = [
        {},
        {"seed": 1},
        {"signal": 2.0},
        {"vectors": vectors},
        {"vectors": vectors | {"class 0": np.arange(8.0)}},
        {"temporal": True},
        {"dims": (4, 5)},
    ]
    found = [simulate("ucf", **(base | more)).features for more in variants]
    assert len({source.content() for source in found}) == len(variants)
    assert len({str(source.spec) for source in found}) == len(variants)
    assert simulate("ucf", **base).features.content() == found[0].content()
    assert found[0].spec["version"] >= 1
