import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from joint_models import TEXTS, film, save_xclip, snow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_xclip(tmp_path_factory.mktemp("xclip"))


def plain(folder, windows, texts):
    """transformers' own model on videos `[window, frame, ...]`: video and text features, at unit length."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, XCLIPModel

    model = XCLIPModel.from_pretrained(folder).eval()
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    pixels = [processor(images=list(w), input_data_format="channels_last", return_tensors="pt") for w in windows]
    with torch.inference_mode():
        video = model.get_video_features(pixel_values=torch.stack([p["pixel_values"] for p in pixels])).pooler_output
        ids = {key: tokens[key] for key in ("input_ids", "attention_mask")}
        text = model.get_text_features(**ids).pooler_output
    return [each / each.norm(dim=1, keepdim=True) for each in (video, text)]


def test_windows_and_texts_equal_transformers(folder):
    extractor = create_extractor(f"xclip:{folder}?window=2")
    assert extractor.request() == {"fps": 4.0, "short_side": 16}
    frames = snow(20, 16, 24)
    vectors, times = extractor(film(frames))
    windows = [frames[[1, 3, 5, 7]], frames[[9, 11, 13, 15]], frames[[16, 17, 18, 19]]]
    video, text = plain(folder, windows, TEXTS)
    torch.testing.assert_close(vectors, video, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [1.125, 3.125, 4.5])
    encoder = create_text_encoder(extractor.text_spec())
    torch.testing.assert_close(encoder.encode(TEXTS), text, atol=1e-5, rtol=0)
    assert (extractor.dim, encoder.dim) == (12, 12)


def test_a_clip_shorter_than_a_window_fills_it_evenly(folder):
    extractor = create_extractor(f"xclip:{folder}")
    frames = snow(2, 16, 16)
    vectors, times = extractor(film(frames))
    video, _ = plain(folder, [frames[[0, 0, 1, 1]]], TEXTS)
    torch.testing.assert_close(vectors, video, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.25])


def test_scale_is_the_models_and_there_is_no_bias(folder):
    from transformers import XCLIPModel

    scale, bias = create_extractor(f"xclip:{folder}").scale_and_bias()
    assert scale == pytest.approx(XCLIPModel.from_pretrained(folder).logit_scale.exp().item())
    assert bias == 0
