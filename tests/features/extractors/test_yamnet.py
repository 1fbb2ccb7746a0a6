"""YAMNet: weights out of the flatbuffer, the published front-end, and Google's own runtime as a witness."""

import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from own_labels import accuracy
from torch import nn

from avshot.features.extractor import create_extractor, extractor_of
from avshot.features.extractors._padding import same_convolution
from avshot.features.extractors.yamnet import PAIRS, YamNet, parameters, spectrogram
from avshot.features.spectrogram import mel_triangles
from avshot.files.tflite import read_tflite
from avshot.media import Media, read
from made_tflite import tflite

RATE = 16000
KEYS = Path(__file__).parent / "keys" / "yamnet.txt"


def sound(waveform, rate=RATE, gaps=()):
    waveform = np.asarray(waveform, dtype=np.float32)
    frames = np.zeros((0, 8, 8, 3), np.uint8)
    return Media(frames, np.zeros(0), waveform, rate, "no_visual", len(waveform) / rate, gaps=gaps)


def noise(seconds, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def released():
    """`{name: shape}` of all constants of Google's file."""
    return {name: tuple(map(int, sizes)) for name, *sizes in (line.split() for line in KEYS.read_text().splitlines())}


def made_constants():
    """Constants of the names and shapes of Google's file, with random numbers."""
    rng, made = np.random.default_rng(0), {}
    for name, shape in released().items():
        if "/layer" not in name or "layer28" in name:
            made[name] = np.zeros(shape, "<f4")
        elif len(shape) == 1:
            made[name] = (rng.integers(-9, 9, shape).astype("<i4"), np.full(shape, 0.01), (), 0)
        else:
            size = math.prod(shape) // max(shape[0], shape[-1] if shape[0] == 1 else 0)
            made[name] = (rng.integers(-127, 128, shape).astype("i1"), [0.02 / math.sqrt(size)], (), 0)
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "yamnet.tflite"
    path.write_bytes(tflite(made_constants()))
    return str(path)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), kernel=st.sampled_from([1, 3, 5]), stride=st.integers(1, 3))
def test_padding_is_tensorflows(rows, columns, kernel, stride):
    """A loop over outputs: their number is the size over the stride, rounded up, and zeros lie around it evenly."""
    layer = nn.Conv2d(1, 1, kernel, stride)
    maps = torch.randn(1, 1, rows, columns)
    with torch.no_grad():
        ours = same_convolution(layer, maps)[0, 0]
        assert ours.shape == (math.ceil(rows / stride), math.ceil(columns / stride))
        sizes = zip(ours.shape, (rows, columns), strict=True)
        first = [max((out - 1) * stride + kernel - size, 0) // 2 for out, size in sizes]
        for i, j in np.ndindex(*ours.shape):
            total = float(layer.bias)
            for a, b in np.ndindex(kernel, kernel):
                row, column = i * stride + a - first[0], j * stride + b - first[1]
                if 0 <= row < rows and 0 <= column < columns:
                    total += float(layer.weight[0, 0, a, b] * maps[0, 0, row, column])
            assert float(ours[i, j]) == pytest.approx(total, abs=1e-4)


def test_the_front_end_is_the_published_one():
    wave = noise(1.2)
    ours = spectrogram(torch.from_numpy(wave)).numpy()
    assert ours.shape == (64, 1 + (len(wave) - 400) // 160)
    taper = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
    matrix = mel_triangles(RATE, 512, 64, 125.0, 7500.0).numpy().astype(np.float64)
    for frame in (0, 1, 60, ours.shape[1] - 1):
        magnitude = np.abs(np.fft.rfft(wave[160 * frame : 160 * frame + 400] * taper, 512))
        np.testing.assert_allclose(ours[:, frame], np.log(matrix @ magnitude + 0.001), atol=1e-4)


def naive_network(constants, patch):
    """The network in the order of Google's graph, whose layout of axes is kept: `[row, column, channel]`."""

    def layer(number):
        ours = [c for name, c in constants.items() if f"network/layer{number}/" in name.split(";")[0]]
        weight, bias = sorted(ours, key=lambda c: -c.stored.ndim)
        return torch.from_numpy(weight.numbers()), torch.from_numpy(bias.numbers())

    maps = patch[None, None]
    strides = [2, *(stride for _, stride in PAIRS)]
    for number in range(1, 28):
        weight, bias = layer(number)
        apart = number % 2 == 0
        stride = strides[number // 2] if apart or number == 1 else 1
        kernel = weight.permute(3, 0, 1, 2) if apart else weight.permute(0, 3, 1, 2)
        if kernel.shape[-1] == 3:  # sizes are even before a stride of 2: nothing in front, one zero behind
            maps = F.pad(maps, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        maps = F.conv2d(maps, kernel, bias, stride, groups=maps.shape[1] if apart else 1).clamp(0, 6)
    embedding = maps.mean((2, 3))
    weight, bias = layer(29)
    return embedding, embedding @ weight.T + bias


def test_the_network_is_the_graph(weights):
    patch = torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    embedding, logits = naive_network(read_tflite(weights), patch)
    assert float(embedding.std()) > 1e-4
    for out, expected in (("embedding", embedding), ("logits", logits)):
        with torch.inference_mode():
            got = YamNet(weights, out=out).describe(patch.T[None])
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_names_and_shapes_are_those_of_the_release(real_data):
    got = read_tflite(real_data / "encoders" / "yamnet.tflite")
    assert {name: constant.stored.shape for name, constant in got.items()} == released()
    matrix, taper = got["mel_spectrogram"].numbers(), got["stft/hann_window/sub_2"].numbers()
    np.testing.assert_allclose(mel_triangles(RATE, 512, 64, 125.0, 7500.0).numpy(), matrix, atol=1e-5)
    np.testing.assert_allclose(torch.hann_window(400).numpy(), taper, atol=1e-6)
    assert set(got["add"].numbers().tolist()) == {np.float32(0.001)}


def test_steps_silence_gaps_and_short_sounds(weights):
    extractor = YamNet(weights, hop=0.24)
    steps, times = extractor(sound(noise(1.6)))
    assert steps.shape == (4, 1024)  # 158 frames: patches from 0, 24, 48 and 62
    torch.testing.assert_close(times, torch.tensor([0.4875, 0.7275, 0.9675, 1.1075]))
    with torch.inference_mode():
        alone = extractor.describe(spectrogram(torch.from_numpy(noise(1.6)))[None, :, 24:120])
    torch.testing.assert_close(steps[1:2], alone, rtol=1e-3, atol=1e-5)
    assert extractor(sound(np.zeros(RATE)))[0].shape == (0, 1024)
    assert extractor(sound([]))[0].shape == (0, 1024)
    steps, times = extractor(sound(noise(0.3)))
    assert times.tolist() == pytest.approx([0.15], abs=1e-4)
    holed = np.concatenate([noise(1.0), np.zeros(RATE), noise(0.975, seed=1)])
    assert extractor(sound(holed, gaps=((1.0, 2.0),)))[1].tolist() == pytest.approx([0.4875, 0.5075, 2.4875], abs=1e-4)


def test_it_is_found_again_and_travels_without_weights(weights):
    extractor = create_extractor(f"yamnet:{weights}?hop=0.96&out=logits")
    assert extractor(sound(noise(1.0)))[0].shape == (2, extractor.dim) == (2, 521)
    assert len(pickle.dumps(extractor)) < 1000
    assert pickle.loads(pickle.dumps(extractor)) == extractor == extractor_of(extractor.spec())
    assert (extractor.exclusive, extractor.window, len(extractor.labels)) == (False, 0.96, 521)


def test_wrong_use_is_a_sentence(weights, tmp_path):
    with pytest.raises(ValueError, match="sampled at 8000 Hz"):
        YamNet(weights)(sound(noise(1.0), rate=8000))
    with pytest.raises(ValueError, match="windows of"):
        YamNet(weights, hop=1.0)
    constants = made_constants()
    lacking = next(name for name in constants if "/layer7/" in name)
    (tmp_path / "bad.tflite").write_bytes(tflite({name: c for name, c in constants.items() if name != lacking}))
    with pytest.raises(ValueError, match=r"bad\.tflite does not hold the parameters of YAMNet .*layer7"):
        YamNet(str(tmp_path / "bad.tflite"))(sound(noise(1.0)))
    (tmp_path / "bad.tflite").write_bytes(tflite(constants | {f"{lacking}/again": constants[lacking]}))
    with pytest.raises(ValueError, match=r"two tensors for layer7\.weight"):
        parameters(tmp_path / "bad.tflite")


def test_google_hears_the_same(real_data):
    """Their runtime rounds what lies between layers to 8 bits; probabilities differ by no more than that makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
        path = real_data / "encoders" / "yamnet.tflite"
        runtime = litert.Interpreter(str(path), num_threads=1)
        runtime.allocate_tensors()
        place, answer = runtime.get_input_details()[0]["index"], runtime.get_output_details()[0]["index"]
        extractor = YamNet(str(path), out="logits")
        sure = []
        for name in ("1-100032-A", "1-110389-A", "1-17150-A", "1-172649-A", "1-172649-B"):
            wave = read(real_data / "events" / "esc10" / f"{name}.opus", want_frames=False, rate=RATE).waveform
            loudest = max(0, min(int(np.abs(wave).argmax()) - 7800, len(wave) - 15600))
            wave = wave[loudest : loudest + 15600]
            runtime.set_tensor(place, wave)
            runtime.invoke()
            theirs = runtime.get_tensor(answer)[0]
            with torch.inference_mode():
                logits = extractor.describe(extractor.spectrogram(torch.from_numpy(wave.copy()))[None])
            ours = extractor.probabilities(logits)[0].numpy()
            sure.append(theirs.max() > 0.5)
            assert np.abs(ours - theirs).max() < 0.08
            assert np.corrcoef(ours, theirs)[0, 1] > 0.98
        assert any(sure)


@pytest.mark.slow
def test_own_labels_on_esc_10(real_data):
    extractor = YamNet(str(real_data / "encoders" / "yamnet.tflite"), out="logits")
    assert accuracy(extractor, real_data / "events" / "esc10") > 0.96  # 0.972 as measured
