"""What holds for every extractor whose weights are a file of the authors."""

import argparse
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avshot.features.extractor import create_extractor, extractor_of
from avshot.media import Media
from small_nets import STATES

NAMES = sorted(STATES)
OPTIONS = {"vggish": "?pca=none", "s3d": "?side=32&frames=4", "selavi_visual": "?side=32"}


def saved(folder, name, seed=0):
    path = folder / f"{name}-{seed}.pth"
    torch.save({"model": STATES[name](seed), "epoch": 3, "args": argparse.Namespace(lr=0.1)}, path)
    return path


def made(path, name, more=""):
    options = OPTIONS.get(name, "")
    return create_extractor(f"{name}:{path}{options}{'&' if options and more else '?' if more else ''}{more}")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    return {name: saved(folder, name) for name in NAMES}


def clip(extractor, seconds=2.0, quiet=0.0, seed=0):
    """Noise or snow as `request()` asks for it, behind `quiet` seconds of nothing."""
    wanted, random = extractor.request(), np.random.default_rng(seed)
    if extractor.modality == "audio":
        rate = wanted["rate"]
        sound = random.uniform(-0.3, 0.3, round(seconds * rate))
        waveform = np.concatenate([np.zeros(round(quiet * rate)), sound]).astype(np.float32)
        return Media(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0), waveform, rate, "no_visual", seconds + quiet)
    fps = wanted["fps"]
    height, width = wanted.get("size") or (wanted["short_side"], wanted["short_side"] + 9)
    frames = random.integers(0, 256, (round(seconds * fps), height, width, 3), np.uint8)
    frames = np.concatenate([np.zeros((round(quiet * fps), height, width, 3), np.uint8), frames])
    times = (np.arange(len(frames)) + 0.5) / fps
    return Media(frames, times, np.zeros(0, np.float32), 16000, "no_audio", seconds + quiet)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_vectors_with_times_and_the_extractor_travels(files, name):
    extractor = made(files[name], name)
    vectors, times = extractor(clip(extractor))
    assert (vectors.shape[1], vectors.dtype, times.dtype) == (extractor.dim, torch.float32, torch.float32)
    assert len(vectors) == len(times) >= 1
    assert bool(vectors.isfinite().all())
    assert float(vectors.std()) > 0
    assert bool((times.diff() > 0).all())
    assert 0 < float(times[0]) < float(times[-1]) < 2.0 or len(times) == 1
    again = pickle.loads(pickle.dumps(extractor))
    assert again == extractor
    torch.testing.assert_close(again(clip(extractor))[0], vectors)
    assert extractor_of(extractor.spec()).spec() == extractor.spec()
    assert (extractor.licence != "", extractor.checked) == (True, "random weights")


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_nothing_has_no_step_and_moves_the_rest_by_its_length(files, name):
    extractor = made(files[name], name)
    assert [len(part) for part in extractor(clip(extractor, 0.0, 1.0))] == [0, 0]
    plain, later = extractor(clip(extractor)), extractor(clip(extractor, quiet=1.0))
    torch.testing.assert_close(later[0], plain[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(later[1], plain[1] + 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_short_clip_is_one_step_and_a_long_one_needs_no_more_at_once(files, name):
    extractor = made(files[name], name)
    vectors, times = extractor(clip(extractor, 0.3))
    assert len(vectors) == 1
    assert 0 < float(times[0]) <= 0.3
    long = clip(extractor, 40.0 if extractor.modality == "audio" else 10.0)
    vectors, times = extractor(long)
    assert len(vectors) > 8
    assert float(times[-1]) < long.duration


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_knows_its_weights_and_not_its_device(files, tmp_path, name):
    extractor = made(files[name], name)
    other = made(saved(tmp_path, name, seed=1), name)
    assert extractor.spec()["weights"].startswith("sha256:")
    assert extractor.spec()["weights"] != other.spec()["weights"]
    assert made(files[name], name, "device=cpu").spec() == extractor.spec()
    plain = {key.removeprefix("module."): value.contiguous() for key, value in STATES[name]().items()}
    save_file(plain, tmp_path / "same.safetensors")
    same = made(tmp_path / "same.safetensors", name)
    torch.testing.assert_close(same(clip(same))[0], extractor(clip(same))[0])


def without(state, words):
    return {key: value for key, value in state.items() if words not in key}


NEEDED = {  # a parameter that tells no sizes
    "c3d": "conv3b.bias", "vggish": "features.8.bias", "s3d": "mixed_4c.gating_b2.fc.bias",
    "selavi_audio": "layer3.0.bn2.weight", "selavi_visual": "layer2.1.conv2.0.3.weight",
    "audiomae": "blocks.1.norm2.bias",
}  # fmt: skip
SIZES = {
    "c3d": "fc6", "vggish": "embeddings.0", "s3d": "conv1.conv1", "selavi_audio": "base.conv1",
    "selavi_visual": "stem.3", "audiomae": "pos_embed",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tmp_path, name):
    state = STATES[name]()
    one = next(key for key in state if NEEDED[name] in key)
    wrong = {
        NEEDED[name]: without(state, NEEDED[name]),
        "whose sizes can be told": without(state, SIZES[name]),
        "strange.weight": {**state, "strange.weight": torch.ones(2)},
        "lacking, unknown or of another size": {**state, one: torch.ones(77)},
        "not finite": {key: value * torch.nan if value.is_floating_point() else value for key, value in state.items()},
        "is no tensor": {**state, "epoch": 3},
        "no tensors by name": [1, 2],
    }
    for words, content in wrong.items():
        torch.save(content, tmp_path / "wrong.pth")
        extractor = made(tmp_path / "wrong.pth", name)
        with pytest.raises(ValueError, match=r"wrong\.pth") as caught:
            extractor(clip(extractor))
        assert words in str(caught.value), words
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="there is no file"):
        made(tmp_path / "none.pth", name)
    (tmp_path / "net.caffemodel").write_bytes(b"\x0a\x05hello")
    with pytest.raises(ValueError, match=r"net\.caffemodel is not a whole file of torch"):
        made(tmp_path / "net.caffemodel", name)(clip(extractor))


@pytest.mark.parametrize("name", NAMES)
def test_media_that_were_not_asked_for_are_refused(files, name):
    extractor = made(files[name], name)
    if extractor.modality == "audio":
        other = Media(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0), np.ones(8000, np.float32), 8000, "ok", 1.0)
        with pytest.raises(ValueError, match="8000 Hz"):
            extractor(other)
    else:
        snow = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), np.uint8)
        with pytest.raises(ValueError, match="20 x 20"):
            extractor(Media(snow, np.arange(9) / 9, np.zeros(0, np.float32), 16000, "ok", 1.0))


BAD = {
    "c3d": ("fps=0", "hop=-1", "scaling=other"), "vggish": ("hop=0.123", "hop=0", "hop=nan"),
    "s3d": ("layer=other", "frames=5", "side=33", "window=0", "hop=-1"), "selavi_audio": ("hop=-1", "hop=inf"),
    "selavi_visual": ("hop=-1", "side=8"), "audiomae": ("hop=-1", "pool=max", "hop=nan"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in NAMES for option in BAD[name]])
def test_settings_that_cannot_be_are_refused(files, name, option):
    with pytest.raises(ValueError, match=name):
        create_extractor(f"{name}:{files[name]}?{option}{'&pca=none' if name == 'vggish' else ''}")
