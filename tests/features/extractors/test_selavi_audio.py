"""SeLaVi's sound: the spectrogram written out in loops, and where windows lie."""

import math

import numpy as np
import pytest
import torch
from test_released import clip

from avshot.features.extractor import create_extractor
from avshot.features.extractors.selavi_audio import spectrogram
from small_nets import selavi_state, small


def naive_spectrogram(samples):
    """What python_speech_features' `logfbank` makes of 16-bit sound: 20 ms every 10 ms, 257 bands, 1024 points."""

    def hertz(mel):
        return 700 * (10 ** (mel / 2595.0) - 1)

    top = 2595 * math.log10(1 + 22_050 / 700.0)
    bins = [math.floor(1025 * hertz(top * i / 258) / 44_100) for i in range(259)]
    filters = np.zeros((257, 513))
    for j in range(257):
        for i in range(bins[j], bins[j + 1]):
            filters[j, i] = (i - bins[j]) / (bins[j + 1] - bins[j])
        for i in range(bins[j + 1], bins[j + 2]):
            filters[j, i] = (bins[j + 2] - i) / (bins[j + 2] - bins[j + 1])
    signal = [float(samples[0])] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, len(samples))]
    count, rows = 1 + math.ceil((len(samples) - 882) / 441), []
    signal = np.array(signal + [0.0] * (882 + 441 * count))
    for frame in range(count):
        power = np.abs(np.fft.rfft(signal[441 * frame : 441 * frame + 882], 1024)) ** 2 / 1024
        energy = filters @ power
        rows.append([math.log(x if x > 0 else np.finfo(float).eps) for x in energy])
    return (np.array(rows).T - 1.93) / 17.89


def test_the_spectrogram_is_that_of_a_second_in_257_bands():
    waveform = np.random.default_rng(0).uniform(-1.2, 0.9, 44_100).astype(np.float32)
    got = spectrogram(waveform)
    samples = np.clip(np.round(waveform.astype(np.float64) * 32768), -32768, 32767)
    assert got.shape == (257, 99)
    np.testing.assert_allclose(got.numpy(), naive_spectrogram(samples), atol=1e-3)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (10, [0.9 * i for i in range(9)]),
        (0.5, [0]),
        (1.5, [0]),
        (3, [0, 0.2]),
        (12.5, [11.5 * i / 20 for i in range(11)]),
        (60, [59 * i / 60 for i in range(59)]),
    ],
)
def test_windows_lie_where_avcas_program_takes_them(tmp_path, seconds, starts):
    torch.save({"model": selavi_state()}, tmp_path / "selavi.pth")
    extractor = create_extractor(f"selavi_audio:{tmp_path / 'selavi.pth'}")
    times = extractor(clip(extractor, seconds))[1]
    assert times.tolist() == pytest.approx([start + min(1, seconds - start) / 2 for start in starts], abs=1e-3)


def test_a_window_is_the_network_on_its_second(tmp_path):
    torch.save({"model": selavi_state()}, tmp_path / "selavi.pth")
    extractor = create_extractor(f"selavi_audio:{tmp_path / 'selavi.pth'}?hop=0.5")
    media = clip(extractor, 2.0)
    vectors, times = extractor(media)
    assert times.tolist() == pytest.approx([0.5, 1.0, 1.5])
    expected = small("resnet9")(spectrogram(media.waveform[22_050 : 22_050 + 44_100])[None, None])[0]
    torch.testing.assert_close(vectors[1], expected, atol=1e-4, rtol=1e-3)
