import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from joint_models import TEXTS, film, save_videoprism, snow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_videoprism(tmp_path_factory.mktemp("videoprism"))


def plain(folder, windows, texts):
    """transformers' own model on videos `[window, frame, height, width, 3]` of the right size."""
    from transformers import AutoTokenizer, VideoPrismClipModel

    model = VideoPrismClipModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding="max_length", max_length=9, return_tensors="pt")
    pixels = torch.tensor(np.stack(windows) / 255).float().permute(0, 1, 4, 2, 3)
    with torch.inference_mode():
        return model(pixel_values_videos=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])


def test_windows_and_texts_equal_transformers(folder):
    extractor = create_extractor(f"videoprism:{folder}?window=1&hop=0.5")
    assert extractor.request() == {"fps": 4.0, "size": (18, 18)}
    frames = snow(8, 18, 18)
    vectors, times = extractor(film(frames))
    encoder = create_text_encoder(extractor.text_spec())
    expected = plain(folder, [frames[0:4], frames[2:6], frames[4:8]], TEXTS)
    torch.testing.assert_close(vectors, expected.video_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.encode(TEXTS), expected.text_embeds, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.5, 1.0, 1.5])
    assert extractor.scale_and_bias() is None
    assert (extractor.dim, encoder.dim) == (16, 16)


def test_frames_of_another_size_are_brought_to_the_models(folder):
    from PIL import Image

    frames = snow(4, 40, 30)
    small = np.stack([np.asarray(Image.fromarray(f).resize((18, 18), Image.Resampling.BICUBIC)) for f in frames])
    extractor = create_extractor(f"videoprism:{folder}?window=1")
    torch.testing.assert_close(extractor(film(frames))[0], extractor(film(small))[0])


def test_a_text_does_not_depend_on_its_neighbours(folder):
    encoder = create_text_encoder(f"videoprism:{folder}")
    beside = encoder.encode(["dog", "the rain rain rain rain"])
    torch.testing.assert_close(beside[:1], encoder.encode(["dog"]), atol=1e-6, rtol=0)
