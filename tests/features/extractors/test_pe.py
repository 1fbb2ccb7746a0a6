"""PE-AV's three forms: a checkpoint as it is released, read by parts, against transformers' whole model."""

import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from avshot.media import Media
from joint_models import TEXTS, film, noise, pe_model, save_pe, snow, sound

RATE, SIDE = 48000, 28


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pe(tmp_path_factory.mktemp("pe"))


@pytest.fixture(scope="module")
def whole():
    return pe_model()


def unit(vectors):
    return vectors / vectors.norm(dim=1, keepdim=True)


def plain(whole, folder, pieces, windows, texts=None):
    """transformers' own model on sounds of one length, videos and as many texts."""
    from transformers import AutoTokenizer, PeAudioFeatureExtractor

    heard = PeAudioFeatureExtractor.from_pretrained(folder)(list(pieces), sampling_rate=RATE, return_tensors="pt")
    pixels = (torch.tensor(np.stack(windows)).permute(0, 1, 4, 2, 3).float() / 255 - 0.5) / 0.5
    given = {"pixel_values_videos": pixels, **heard}
    if texts is not None:
        tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
        given |= {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
    with torch.inference_mode():
        return whole(**given)


def test_each_form_and_its_texts_equal_transformers(folder, whole):
    waveform, frames = noise(RATE // 10), snow(4, SIDE, SIDE)
    expected = plain(whole, folder, [waveform] * len(TEXTS), [frames] * len(TEXTS), TEXTS)
    media = Media(frames, (np.arange(4) + 0.5) / 40, waveform, RATE, "ok", 0.1)
    for name, vectors, texts in (
        ("pe_audio", expected.audio_embeds, expected.text_audio_embeds),
        ("pe_video", expected.video_embeds, expected.text_video_embeds),
        ("pe_av", expected.audio_video_embeds, expected.text_audio_video_embeds),
    ):
        options = "window=0.1" + ("" if name == "pe_audio" else "&frames=4")
        extractor = create_extractor(f"{name}:{folder}?{options}")
        encoder = create_text_encoder(extractor.text_spec())
        found, times = extractor(media)
        torch.testing.assert_close(found, unit(vectors)[:1], atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder.encode(TEXTS), unit(texts), atol=1e-5, rtol=0)
        np.testing.assert_allclose(times, [0.05], atol=1e-6)
        assert (extractor.dim, encoder.dim) == (16, 16)
        assert extractor.scale_and_bias() is None


def test_windows_of_sound_and_a_rest_of_another_length(folder, whole):
    waveform = noise(5100)
    extractor = create_extractor(f"pe_audio:{folder}?window={2001 / RATE}")
    assert extractor.request() == {"rate": RATE}
    found, times = extractor(sound(waveform, RATE))
    pieces = [waveform[:2001], waveform[2001:4002], waveform[4002:]]
    frames = snow(2, SIDE, SIDE)
    expected = torch.cat([plain(whole, folder, [piece], [frames]).audio_embeds for piece in pieces])
    torch.testing.assert_close(found, unit(expected), atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, np.array([1000.5, 3001.5, 4551]) / RATE, rtol=1e-5)


def test_windows_of_frames(folder, whole):
    extractor = create_extractor(f"pe_video:{folder}?frames=2&window=1&hop=0.5")
    assert extractor.request() == {"fps": 4.0, "size": (SIDE, SIDE)}
    frames = snow(8, SIDE, SIDE)
    found, times = extractor(film(frames))
    windows = [frames[[1, 3]], frames[[3, 5]], frames[[5, 7]]]
    expected = plain(whole, folder, [noise(800)] * 3, windows).video_embeds
    torch.testing.assert_close(found, unit(expected), atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.625, 1.125, 1.625])


def test_both_takes_the_sound_of_its_frames_and_leaves_out_silent_windows(folder, whole):
    extractor = create_extractor(f"pe_av:{folder}?frames=2&window=1")
    assert extractor.request() == {"fps": 4.0, "size": (SIDE, SIDE), "rate": RATE, "want_audio": True}
    frames, waveform = snow(12, SIDE, SIDE), noise(3 * RATE)
    waveform[RATE : 2 * RATE] = 0
    media = Media(frames, (np.arange(12) + 0.5) / 4, waveform, RATE, "ok", 3.0)
    found, times = extractor(media)
    expected = plain(whole, folder, [waveform[:RATE], waveform[2 * RATE :]], [frames[[1, 3]], frames[[9, 11]]])
    torch.testing.assert_close(found, unit(expected.audio_video_embeds), atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.625, 2.625])
    assert extractor(film(frames))[0].shape == (0, 16)  # nothing to hear
    assert extractor(sound(waveform, RATE))[0].shape == (0, 16)  # nothing to see
    with pytest.raises(ValueError, match="sampled at 16000 Hz; pe_av expects 48000"):
        extractor(Media(frames, (np.arange(12) + 0.5) / 4, waveform, 16000, "ok", 3.0))


def test_other_checkpoints_and_impossible_numbers_are_refused(folder, tmp_path):
    from joint_models import save_siglip

    other = save_siglip(tmp_path)
    with pytest.raises(ValueError, match=r"pe_audio are of the kind siglip; expected pe_audio_video"):
        create_extractor(f"pe_audio:{other}").dim  # noqa: B018
    with pytest.raises(ValueError, match=r"pe_av.* is of the kind siglip; expected pe_audio_video"):
        create_text_encoder(f"pe_av:{other}").encode(["dog"])
    with pytest.raises(ValueError, match="frames is 0; expected at least 1"):
        create_extractor(f"pe_video:{folder}?frames=0")
