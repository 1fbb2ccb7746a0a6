"""EmbeddingGemma 2's sounds, videos and texts against its whole model in transformers, sequences built by hand."""

import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from joint_models import TEXTS, film, noise, save_gemma, snow, sound

RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="module")
def whole(folder):
    from transformers import EmbeddingGemma2Model

    return EmbeddingGemma2Model.from_pretrained(folder).eval()


def embedded(whole, ids, **inputs):
    """The mean over all tokens of one sequence, at unit length."""
    ids = torch.tensor([ids])
    with torch.inference_mode():
        state = whole(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).last_hidden_state[0].mean(dim=0)
    return state / state.norm()


def heard(whole, folder, piece):
    from transformers import EmbeddingGemma2Processor, Gemma4AudioFeatureExtractor

    features = Gemma4AudioFeatureExtractor.from_pretrained(folder)([piece], sampling_rate=RATE, return_tensors="pt")
    count = EmbeddingGemma2Processor.compute_sscp(features["input_features_mask"][0].numpy())
    config = whole.config
    ids = [1, config.boa_token_id, *[config.audio_token_id] * count, config.eoa_token_index, 3]
    return embedded(whole, ids, **features)


def seen(whole, folder, frames):
    from transformers import Gemma4ImageProcessorPil

    processor = Gemma4ImageProcessorPil.from_pretrained(folder)
    images = processor(images=list(frames), max_soft_tokens=70, input_data_format="channels_last", return_tensors="pt")
    config, count = whole.config, int(images["num_soft_tokens_per_image"][0])
    frame = [config.boi_token_id, *[config.video_token_id] * count, config.eoi_token_id]
    return embedded(
        whole,
        [1, *frame * len(frames), 3],
        pixel_values_videos=images["pixel_values"],
        video_position_ids=images["image_position_ids"],
        num_frames_per_video=torch.tensor([len(frames)]),
    )


def test_windows_of_sound(folder, whole):
    extractor = create_extractor(f"embeddinggemma_audio:{folder}?window=1")
    assert extractor.request() == {"rate": RATE}
    waveform = noise(42000)
    found, times = extractor(sound(waveform, RATE))
    expected = [heard(whole, folder, waveform[at : at + RATE]) for at in (0, RATE, 2 * RATE)]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.5, 1.5, 2.3125])
    assert extractor.dim == 12
    assert extractor.scale_and_bias() is None
    with pytest.raises(ValueError, match=r"expected hop <= window <= 30\.0 s"):
        create_extractor(f"embeddinggemma_audio:{folder}?window=31")(sound(waveform, RATE))


def test_a_click_still_has_a_token(folder, whole):
    click = noise(40)
    found, _ = create_extractor(f"embeddinggemma_audio:{folder}")(sound(click, RATE))
    longer = np.concatenate([click, np.zeros(1560, np.float32)])
    torch.testing.assert_close(found[0], heard(whole, folder, longer), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(40, 60), (96, 96)])
def test_windows_of_frames(folder, whole, shape):
    extractor = create_extractor(f"embeddinggemma_video:{folder}?window=2")
    assert extractor.request() == {"fps": 4.0, "short_side": 96}
    frames = snow(16, *shape)
    found, times = extractor(film(frames))
    expected = torch.stack([seen(whole, folder, frames[[2, 6]]), seen(whole, folder, frames[[10, 14]])])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [1.125, 3.125])


def test_so_many_frames_as_seconds_and_at_most_32(folder):
    counts = {
        options: create_extractor(f"embeddinggemma_video:{folder}?{options}")._count
        for options in ("window=0", "window=5&frames=2", "window=100", "window=0.2")
    }
    assert list(counts.values()) == [10, 10, 32, 1]


def test_texts_and_the_sentence_in_front(folder, whole):
    encoder = create_text_encoder(f"embeddinggemma:{folder}")
    words = encoder._tokenizer
    expected = torch.stack([embedded(whole, words(text)["input_ids"]) for text in TEXTS])
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=0)
    asked = create_text_encoder(f"embeddinggemma:{folder}?instruction=the photo ")
    whole_text = encoder.encode(["the photo guitar"])
    torch.testing.assert_close(asked.encode(["guitar"]), whole_text, atol=1e-6, rtol=0)
    assert (encoder.dim, asked.spec) == (12, f"embeddinggemma:{folder}?instruction=the photo ")


@pytest.mark.parametrize(
    ("options", "words"), [("frames=0", "frames is 0.0 a second"), ("tokens=71", "tokens is 71; expected one of 70")]
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        create_extractor(f"embeddinggemma_video:nowhere?{options}")
