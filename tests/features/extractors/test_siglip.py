import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from joint_models import TEXTS, film, save_siglip, save_siglip_naflex, snow


@pytest.fixture(scope="module", params=[save_siglip, save_siglip_naflex])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("siglip"))


def plain(folder, frames, texts):
    """transformers' own model, its logits and its probabilities."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    kind = {"siglip": "Siglip", "siglip2": "Siglip2"}[config.model_type]
    model = getattr(transformers, f"{kind}Model").from_pretrained(folder).eval()
    processor = getattr(transformers, f"{kind}ImageProcessorPil").from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padded = {"padding": "max_length", "max_length": 9, "padding_side": "right", "truncation": True}
    ids = tokenizer(texts, return_tensors="pt", **padded)["input_ids"]
    images = processor(images=list(frames), input_data_format="channels_last", return_tensors="pt")
    with torch.inference_mode():
        return model(input_ids=ids, **images)


@pytest.mark.parametrize("shape", [(16, 16), (20, 30), (31, 17)])
def test_vectors_and_probabilities_equal_transformers(folder, shape):
    frames = snow(3, *shape)
    extractor, encoder = create_extractor(f"siglip:{folder}?frames=4"), create_text_encoder(f"siglip:{folder}")
    vectors, times = extractor(film(frames))
    texts = encoder.encode(TEXTS)
    expected = plain(folder, frames, TEXTS)
    torch.testing.assert_close(vectors, expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts, expected.text_embeds, atol=1e-5, rtol=0)
    scale, bias = extractor.scale_and_bias()
    probability = torch.sigmoid(scale * vectors @ texts.T + bias)
    torch.testing.assert_close(probability, torch.sigmoid(expected.logits_per_image), atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [0.125, 0.375, 0.625])
    assert (extractor.dim, encoder.dim) == (16, 16)


def test_frames_are_decoded_at_the_size_the_model_reads(folder):
    assert create_extractor(f"siglip:{folder}").request() == {"fps": 1.0, "short_side": 16}


def test_a_text_does_not_depend_on_its_neighbours_nor_on_capitals(folder):
    encoder = create_text_encoder(f"siglip:{folder}")
    (alone,) = encoder.encode(["a dog"])
    beside = encoder.encode(["A Dog", "the rain rain rain rain rain"])
    torch.testing.assert_close(beside[0], alone, atol=1e-6, rtol=0)
    assert encoder.encode(["dog " * 50]).shape == (1, 16)


def test_another_model_is_refused(tmp_path):
    from joint_models import save_xclip

    other = save_xclip(tmp_path)
    with pytest.raises(ValueError, match=r"siglip are of the kind xclip; expected siglip or siglip2"):
        create_extractor(f"siglip:{other}").spec(), create_extractor(f"siglip:{other}").request()
    with pytest.raises(ValueError, match=r"kind xclip; expected siglip or siglip2"):
        create_text_encoder(f"siglip:{other}").encode(["dog"])
