"""Mel spectrograms against loops written from the formulas, and against librosa."""

import math
import warnings

import numpy as np
import pytest
import torch

from avshot.features.spectrogram import CHUNK, mel_spectrogram, mel_triangles

SETTINGS = [(32000, 1024, 128, 0.0, 15000.0), (16000, 512, 64, 125.0, 7500.0)]


def naive_triangles(rate, fft, bands, low, high):
    def mel(hertz):
        return 1127 * math.log(1 + hertz / 700)

    step = (mel(high) - mel(low)) / (bands + 1)
    made = np.zeros((bands, fft // 2 + 1))
    for band in range(bands):
        left = mel(low) + band * step
        for place in range(fft // 2 + 1):
            at = mel(place * rate / fft)
            if left < at <= left + step:
                made[band, place] = (at - left) / step
            elif left + step < at < left + 2 * step:
                made[band, place] = (left + 2 * step - at) / step
    return made


@pytest.mark.parametrize("settings", SETTINGS)
def test_triangles_are_those_of_the_formula(settings):
    np.testing.assert_allclose(mel_triangles(*settings).numpy(), naive_triangles(*settings), atol=1e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_spectrogram_is_librosas(power):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import librosa

        sound = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
        taper = np.hanning(800).astype(np.float32)
        theirs = librosa.stft(sound, n_fft=1024, hop_length=320, win_length=800, window=taper, center=False)
    matrix = mel_triangles(*SETTINGS[0])
    ours = mel_spectrogram(torch.from_numpy(sound), matrix, torch.from_numpy(taper), 320, power=power)
    np.testing.assert_allclose(ours.numpy(), matrix.numpy() @ np.abs(theirs) ** power, rtol=1e-3, atol=1e-3)


def test_pieces_are_put_together_without_a_seam():
    sound = torch.randn(64 + 10 * (2 * CHUNK + 7), generator=torch.Generator().manual_seed(0))
    matrix, taper = mel_triangles(1000, 64, 8, 0.0, 500.0), torch.hann_window(64)
    whole = mel_spectrogram(sound, matrix, taper, 10)
    assert whole.shape == (8, 1 + (len(sound) - 64) // 10)
    for first in (CHUNK - 1, CHUNK, 2 * CHUNK):
        alone = mel_spectrogram(sound[first * 10 : first * 10 + 64], matrix, taper, 10)
        torch.testing.assert_close(whole[:, first : first + 1], alone, rtol=1e-4, atol=1e-5)
