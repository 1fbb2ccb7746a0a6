"""Audio-MAE: its spectrogram against transformers' AST extractor, its windows, its two ways of pooling."""

import numpy as np
import pytest
import torch
from test_released import clip

from avshot.features.extractor import create_extractor
from avshot.features.extractors.audiomae import spectrogram
from small_nets import audio_mae_state, small


@pytest.fixture
def file(tmp_path):
    torch.save({"model": audio_mae_state()}, tmp_path / "pretrained.pth")
    return tmp_path / "pretrained.pth"


@pytest.mark.filterwarnings("ignore:At least one mel filter")  # 128 bands are more than 257 frequencies can fill
@pytest.mark.parametrize("seconds", [0.02, 0.4, 1.0, 3.0])
def test_the_spectrogram_is_kaldis(seconds):
    """AST (whose program Audio-MAE's comes from) scales by the same mean and deviation."""
    from transformers import ASTFeatureExtractor

    waveform = np.random.default_rng(0).uniform(-0.4, 0.6, round(seconds * 16_000)).astype(np.float32)
    got = spectrogram(torch.from_numpy(waveform), 128)
    assert got.shape == (128, 128)
    if seconds < 0.025:
        torch.testing.assert_close(got, torch.full_like(got, 4.2677393 / (2 * 4.5689974)))
        return
    ast = ASTFeatureExtractor(max_length=128, mean=-4.2677393, std=4.5689974)
    expected = ast(waveform - waveform.mean(), sampling_rate=16_000, return_tensors="pt")["input_values"][0]
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-3)


def test_windows_lie_side_by_side_and_a_rest_is_padded(file):
    extractor = create_extractor(f"audiomae:{file}")
    media, network = clip(extractor, 0.85), small("audio_mae")  # a window holds 32 frames: 5360 samples every 5120
    vectors, times = extractor(media)
    assert len(vectors) == 3
    for i, vector in enumerate(vectors):
        piece = torch.from_numpy(media.waveform[5120 * i : 5120 * i + 5360])
        torch.testing.assert_close(vector, network(spectrogram(piece, 32)[None, None])[0], atol=1e-4, rtol=1e-3)
    rest = (0.85 * 16_000 - 2 * 5120) / 2
    assert times.tolist() == pytest.approx([5360 / 2 / 16_000, (5120 + 2680) / 16_000, (2 * 5120 + rest) / 16_000])


def test_columns_of_patches_average_to_their_window(file):
    extractor = create_extractor(f"audiomae:{file}?pool=time")
    vectors, times = extractor(clip(extractor, 0.64))
    whole, _ = create_extractor(f"audiomae:{file}")(clip(extractor, 0.64))
    assert times.tolist() == pytest.approx([0.08, 0.24, 0.40, 0.56])
    torch.testing.assert_close(vectors.reshape(2, 2, -1).mean(dim=1), whole, atol=1e-5, rtol=1e-4)
    short, when = extractor(clip(extractor, 0.1))  # of the second column nothing sounds
    assert (len(short), when.tolist()) == (1, pytest.approx([0.08]))


def test_fine_tuned_weights_are_told_by_their_norm(tmp_path):
    network = small("audio_mae_tuned")
    head = {"head.weight": torch.ones(3, 64), "head.bias": torch.ones(3)}
    torch.save({"model": {**network.state_dict(), **head}}, tmp_path / "finetuned.pth")
    extractor = create_extractor(f"audiomae:{tmp_path / 'finetuned.pth'}")
    media = clip(extractor, 0.3)
    expected = network(spectrogram(torch.from_numpy(media.waveform), 32)[None, None])
    torch.testing.assert_close(extractor(media)[0], expected, atol=1e-4, rtol=1e-3)
