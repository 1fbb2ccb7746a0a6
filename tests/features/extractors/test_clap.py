import os
import pickle

import numpy as np
import pytest
import torch

from avshot.features.extractor import create_extractor
from avshot.features.extractors.clap import ClapAudio
from avshot.media import Media

RATE = 48000


def sound(waveform, rate=RATE, gaps=()):
    frames = np.zeros((0, 8, 8, 3), dtype=np.uint8)
    return Media(frames, np.zeros(0), waveform.astype(np.float32), rate, "no_visual", len(waveform) / rate, gaps=gaps)


def make_folder(path, *, fusion):
    """A tiny CLAP with random weights and a feature extractor for 1-s windows."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ClapConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                     "vocab_size": 20, "projection_dim": 12},
        audio_config={"hidden_size": 32, "patch_embeds_hidden_size": 4, "depths": [1, 1, 1, 1],
                      "num_attention_heads": [1, 1, 1, 1], "num_hidden_layers": 4, "spec_size": 128, "num_mel_bins": 32,
                      "patch_size": 4, "patch_stride": [4, 4], "window_size": 2, "projection_dim": 12,
                      "enable_fusion": fusion},
        projection_dim=12,
    )  # fmt: skip
    transformers.ClapModel(config).save_pretrained(path)
    truncation = "fusion" if fusion else "rand_trunc"
    size = {"feature_size": 32, "max_length_s": 1, "truncation": truncation}
    transformers.ClapFeatureExtractor(**size).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("clap"), fusion=False)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")


@pytest.fixture
def waveform():
    return 0.1 * np.random.default_rng(0).standard_normal(int(2.7 * RATE))


def reference(folder, piece):
    from transformers import ClapFeatureExtractor, ClapModel

    mel = ClapFeatureExtractor.from_pretrained(folder)(piece, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        return ClapModel.from_pretrained(folder).eval().get_audio_features(**mel).pooler_output[0]


def test_windows_equal_transformers_one_by_one(folder, waveform):
    extractor = create_extractor(f"clap:{folder}")
    assert extractor.dim == 12
    assert extractor.request() == {"rate": RATE}
    vectors, times = extractor(sound(waveform))
    pieces = [waveform[:RATE], waveform[RATE : 2 * RATE], waveform[2 * RATE :]]
    expected = torch.stack([reference(folder, piece.astype(np.float32)) for piece in pieces])
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(times, torch.tensor([0.5, 1.5, 2.35]))
    copy = pickle.loads(pickle.dumps(extractor))
    assert "_model" not in vars(copy)
    assert copy.spec() == extractor.spec()
    assert extractor.spec()["weights"].startswith("sha256:")


def test_fusion_checkpoints_are_deterministic(tmp_path, waveform):
    extractor = ClapAudio(make_folder(tmp_path, fusion=True))
    np.random.seed(0)  # noqa: NPY002  the library under test draws from the global generator
    first = extractor(sound(waveform))[0]
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(extractor(sound(waveform))[0], first)
    assert first.shape == (3, 12)
    alone = extractor(sound(waveform[:RATE]))[0]
    torch.testing.assert_close(alone[0], first[0], atol=1e-5, rtol=0)


def test_missing_short_and_wrong_sound(folder, waveform):
    extractor = ClapAudio(folder)
    none, times = extractor(sound(waveform[:0]))
    assert none.shape == (0, 12)
    assert times.shape == (0,)
    assert extractor(sound(waveform[:5]))[0].shape == (1, 12)
    with pytest.raises(ValueError, match="sampled at 16000 Hz; clap expects 48000"):
        extractor(sound(waveform, rate=16000))
    with pytest.raises(ValueError, match=r"expected hop <= window <= 1.0 s"):
        ClapAudio(folder, window=2)(sound(waveform))


def test_silence_at_the_ends_and_gaps_are_left_out_before_windows_are_cut(folder, waveform):
    waveform[0], waveform[-1] = 0.3, -0.3
    expected, times = ClapAudio(folder)(sound(waveform))
    zeros = np.zeros(RATE // 2)
    padded, later = ClapAudio(folder)(sound(np.concatenate([zeros, waveform, zeros])))
    assert torch.equal(padded, expected)
    torch.testing.assert_close(later, times + 0.5)
    half = int(1.3 * RATE)
    torn = sound(np.concatenate([waveform[:half], zeros, waveform[half:]]), gaps=((1.3, 1.8),))
    joined, around = ClapAudio(folder)(torn)
    assert torch.equal(joined, expected)
    torch.testing.assert_close(around, torch.tensor([0.5, 2.0, 2.85]))
    assert len(ClapAudio(folder)(sound(zeros))[0]) == 0


def test_scale_is_the_models_for_sound_and_names_its_text_encoder(folder):
    from transformers import ClapModel

    expected = ClapModel.from_pretrained(folder).logit_scale_a.exp().item()
    assert ClapAudio(folder).scale_and_bias() == (pytest.approx(expected), 0.0)
    assert ClapAudio(folder).text_spec() == f"clap:{folder}"
