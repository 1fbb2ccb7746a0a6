"""EfficientAT: names and shapes of the release, its front-end and network against readings written out here."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from own_labels import accuracy

from avshot.features.extractor import create_extractor, extractor_of
from avshot.features.extractors._mobilenet import MobileNet
from avshot.features.extractors.efficientat import EfficientAT, spectrogram
from avshot.media import Media
from avshot.media.presence import sounding

RATE = 32000
KEYS = Path(__file__).parent / "keys" / "mn04_as.txt"


def sound(waveform, rate=RATE, gaps=()):
    waveform = np.asarray(waveform, dtype=np.float32)
    frames = np.zeros((0, 8, 8, 3), np.uint8)
    return Media(frames, np.zeros(0), waveform, rate, "no_visual", len(waveform) / rate, gaps=gaps)


def noise(seconds, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def random_state(network):
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in network.state_dict().items():
        made = torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        state[name] = 0.5 + 0.1 * made.abs() if name.endswith("running_var") else 0.3 * made if value.ndim < 2 else made
        if value.ndim > 1:
            state[name] = made / math.sqrt(value[0].numel())
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as released, of the smallest width, with random numbers."""
    path = tmp_path_factory.mktemp("weights") / "mn01.pt"
    torch.save(random_state(MobileNet(0.1, 527)), path)
    return str(path)


def shapes(text):
    return {name: tuple(map(int, sizes)) for name, *sizes in (line.split() for line in text.splitlines())}


def test_names_and_shapes_are_those_of_the_release():
    ours = {name: tuple(value.shape) for name, value in MobileNet(0.4, 527).state_dict().items()}
    assert ours == shapes(KEYS.read_text())
    # mn10_as: what public projects state of the file
    wide = MobileNet(1.0, 527).state_dict()
    assert (len(wide), sum(value.numel() for value in wide.values())) == (312, 4_901_277)
    assert wide["classifier.2.weight"].shape == (1280, 960)


def naive_network(state, maps):
    """The network by the facts of the papers: a loop over the released names, batch norm as its formula."""

    def unit(at, maps, stride, act):
        kernel = state[f"{at}.0.weight"]
        groups = len(kernel) if kernel.shape[1] == 1 and maps.shape[1] > 1 else 1
        maps = F.conv2d(maps, kernel, None, stride, kernel.shape[-1] // 2, 1, groups)
        named = ("running_mean", "running_var", "weight", "bias")
        mean, var, gain, bias = (state[f"{at}.1.{part}"][:, None, None] for part in named)
        return act((maps - mean) / (var + 1e-3).sqrt() * gain + bias)

    def swish(maps):
        return maps * (maps + 3).clamp(0, 6) / 6

    maps = unit("features.0", maps, 2, swish)
    for block in range(1, 16):
        at, before, act = f"features.{block}.block", maps, swish if block >= 7 else torch.relu
        parts = sorted({int(name.split(".")[3]) for name in state if name.startswith(f"{at}.")})
        squeeze = [part for part in parts if f"{at}.{part}.conc_se_layers.0.fc1.weight" in state]
        units = [part for part in parts if part not in squeeze]
        for part in units[:-1]:
            kernel = state[f"{at}.{part}.0.weight"]
            deep = part == units[-2]
            maps = unit(f"{at}.{part}", maps, 2 if deep and block in (2, 4, 7, 13) else 1, act)
            assert not deep or kernel.shape[1] == 1
        for part in squeeze:
            name = f"{at}.{part}.conc_se_layers.0"
            hidden = torch.relu(maps.mean((2, 3)) @ state[f"{name}.fc1.weight"].T + state[f"{name}.fc1.bias"])
            gate = 1 / (1 + torch.exp(-(hidden @ state[f"{name}.fc2.weight"].T + state[f"{name}.fc2.bias"])))
            maps = maps * gate[:, :, None, None]
        maps = unit(f"{at}.{units[-1]}", maps, 1, lambda maps: maps)
        maps = maps + before if maps.shape == before.shape else maps
    embedding = unit("features.16", maps, 1, swish).mean((2, 3))
    hidden = swish(embedding @ state["classifier.2.weight"].T + state["classifier.2.bias"])
    return embedding, hidden @ state["classifier.5.weight"].T + state["classifier.5.bias"]


def test_the_network_is_what_the_papers_say(weights):
    state = torch.load(weights, weights_only=True)
    frames = torch.randn(2, 1, 128, 75, generator=torch.Generator().manual_seed(1))
    embedding, logits = naive_network(state, frames)
    network = EfficientAT(weights)._network
    with torch.inference_mode():
        torch.testing.assert_close(network(frames, "embedding"), embedding, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(network(frames, "logits"), logits, rtol=1e-3, atol=1e-4)


def test_the_front_end_is_the_authors():
    """Loops over frames and bands, in float64: pre-emphasis, mirrored ends, power, Kaldi's bands, logarithm."""
    wave = noise(0.5).astype(np.float64)
    emphasised = np.array([wave[t + 1] - 0.97 * wave[t] for t in range(len(wave) - 1)])
    padded = np.concatenate([emphasised[512:0:-1], emphasised, emphasised[-2:-514:-1]])
    taper = np.zeros(1024)
    taper[112:912] = [0.5 - 0.5 * math.cos(2 * math.pi * n / 799) for n in range(800)]
    mels = np.array([1127 * math.log(1 + k * RATE / 1024 / 700) for k in range(512)])
    step = 1127 * math.log(1 + 15000 / 700) / 129
    ours = spectrogram(torch.from_numpy(wave).float()).numpy()
    assert ours.shape == (128, 50)
    for frame in (0, 1, 25, 49):
        power = np.abs(np.fft.rfft(padded[320 * frame : 320 * frame + 1024] * taper)) ** 2
        for band in (0, 1, 64, 127):
            weight = np.clip(np.minimum(mels / step - band, band + 2 - mels / step), 0, None)
            expected = (math.log(weight @ power[:512] + 1e-5) + 4.5) / 5
            assert ours[band, frame] == pytest.approx(expected, abs=2e-4)


def test_steps_are_windows_of_one_spectrogram(weights):
    extractor = EfficientAT(weights, window=1.0, hop=0.25, out="logits")
    wave = noise(2.1)
    logits, times = extractor(sound(wave))
    frames = spectrogram(torch.from_numpy(wave))
    assert frames.shape[1] == 210
    starts = [0, 25, 50, 75, 100, 110]
    torch.testing.assert_close(times, torch.tensor([start / 100 + 0.5 for start in starts]))
    for row, start in zip(logits, starts, strict=True):
        with torch.inference_mode():
            alone = extractor._network(frames[None, None, :, start : start + 100], "logits")[0]
        torch.testing.assert_close(row, alone, rtol=1e-4, atol=1e-4)


def test_batches_change_nothing(weights, monkeypatch):
    wave = sound(noise(3.0))
    together = EfficientAT(weights, window=1.0, hop=0.5)(wave)[0]
    monkeypatch.setattr(EfficientAT, "at_once", 1)
    torch.testing.assert_close(EfficientAT(weights, window=1.0, hop=0.5)(wave)[0], together, rtol=1e-4, atol=1e-4)


def test_silence_gaps_and_short_sounds(weights):
    extractor = EfficientAT(weights, window=1.0, hop=0.5)
    empty, times = extractor(sound(np.zeros(RATE)))
    assert (empty.shape, len(times)) == ((0, 96), 0)
    assert extractor(sound([]))[0].shape == (0, 96)
    for seconds in (1 / RATE, 0.01, 0.4):
        wave = noise(seconds)
        steps, times = extractor(sound(wave))
        expected = len(sounding(wave, RATE))
        assert len(steps) == len(times) == expected
    steps, times = extractor(sound(noise(0.4)))
    assert times.tolist() == pytest.approx([0.2])
    padded = np.concatenate([np.zeros(RATE), noise(1.0), np.zeros(RATE)])
    steps, times = extractor(sound(padded))
    torch.testing.assert_close(steps, extractor(sound(noise(1.0)))[0])
    assert times.tolist() == pytest.approx([1.5])
    holed = np.concatenate([noise(1.0), np.zeros(RATE), noise(1.0, seed=1)])
    _, times = extractor(sound(holed, gaps=((1.0, 2.0),)))
    assert times.tolist() == pytest.approx([0.5, 2.5])


def test_labels_probabilities_and_sizes(weights):
    embedding, logits = EfficientAT(weights), EfficientAT(weights, out="logits")
    assert (embedding.dim, logits.dim, embedding.width) == (96, 527, 96)
    assert embedding.labels == logits.labels
    assert len(logits.labels) == 527
    assert not logits.exclusive
    given = torch.tensor([[-40.0, 0.0, 40.0]])
    torch.testing.assert_close(logits.probabilities(given), 1 / (1 + torch.exp(-given)))


def test_it_is_found_again_and_travels_without_weights(weights):
    extractor = create_extractor(f"efficientat:{weights}?window=1&hop=0.5&out=logits")
    extractor(sound(noise(1.0)))
    assert len(pickle.dumps(extractor)) < 1000
    assert pickle.loads(pickle.dumps(extractor)) == extractor == extractor_of(extractor.spec())
    assert "device" not in extractor.spec()


WRONG = {
    "rate": (lambda path: EfficientAT(path)(sound(noise(1.0), rate=16000)), "sampled at 16000 Hz"),
    "out": (lambda path: EfficientAT(path, out="labels"), "expected embedding or logits"),
    "window": (lambda path: EfficientAT(path, window=0.0), "windows of 0.0 s"),
    "hop": (lambda path: EfficientAT(path, window=1.0, hop=2.0), "at most a window apart"),
    "file": (lambda path: EfficientAT("nowhere.pt"), "there is no file nowhere.pt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_a_sentence(weights, name):
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        call(weights)


def test_files_that_are_no_efficientat(tmp_path):
    state = random_state(MobileNet(0.1, 527))
    for change, words in (
        ({"classifier.2.weight": torch.zeros(128, 100)}, "embedding 100 wide"),
        ({"features.3.block.1.0.weight": torch.zeros(8, 1, 5, 5)}, r"features\.3\.block\.1\.0\.weight"),
        ({"extra": torch.zeros(2)}, "extra"),
    ):
        torch.save(state | change, tmp_path / "wrong.pt")
        with pytest.raises(ValueError, match=words):
            EfficientAT(str(tmp_path / "wrong.pt"))(sound(noise(1.0)))
    torch.save({"classifier.2.weight": "text"}, tmp_path / "wrong.pt")
    with pytest.raises(ValueError, match="holds no network"):
        _ = EfficientAT(str(tmp_path / "wrong.pt")).dim


def test_real_weights_hear_a_dog(real_data):
    from avshot.media import read

    extractor = EfficientAT(str(real_data / "encoders" / "mn04_as_mAP_432.pt"), out="logits")
    assert (extractor.width, extractor.dim) == (384, 527)
    heard = extractor(read(real_data / "events" / "esc10" / "1-100032-A.opus", want_frames=False, rate=RATE))[0]
    assert "Bark" in [extractor.labels[i] for i in heard.mean(dim=0).topk(5).indices]


@pytest.mark.slow
def test_own_labels_on_esc_10(real_data):
    extractor = EfficientAT(str(real_data / "encoders" / "mn04_as_mAP_432.pt"), out="logits")
    assert accuracy(extractor, real_data / "events" / "esc10") > 0.94  # 0.956 as measured; ten seconds at once 0.959
