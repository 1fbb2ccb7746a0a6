import os
import pickle
import shutil

import numpy as np
import pytest
import torch

from avshot.features.extractor import create_extractor
from avshot.features.extractors.clip import ClipImage
from avshot.media import Media

SIDE = 32


def film(frames):
    return Media(frames, np.arange(len(frames)) / 5, np.zeros(0, np.float32), 16000, "no_audio", len(frames) / 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIP with random weights and its image processor, saved as users' checkpoints are."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 20, "eos_token_id": 19},
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(path)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(path)
    return str(path)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE + 8, 3), dtype=np.uint8)


def reference(folder, frames):
    """Normalisation and crop written out by hand, then transformers directly."""
    from transformers import CLIPModel

    crop = frames[:, :, 4 : 4 + SIDE].astype(np.float64) / 255
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    pixels = torch.tensor((crop - mean) / deviation).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        out = CLIPModel.from_pretrained(folder).eval().get_image_features(pixel_values=pixels).pooler_output
    return out / out.norm(dim=1, keepdim=True)


def test_embeddings_equal_transformers_in_rgb_order(folder, frames):
    extractor = create_extractor(f"clip:{folder}?frames=2")
    assert extractor.dim == 12
    assert extractor.request() == {"fps": 2.0, "short_side": SIDE}
    vectors, times = extractor(film(frames))
    expected = reference(folder, frames)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(times, torch.arange(5) / 5)
    blue_first = reference(folder, frames[..., ::-1].copy())
    assert (vectors - blue_first).abs().max() > 1e-3


def test_middle_frame_and_no_frames(folder, frames):
    extractor = ClipImage(folder)
    vectors, times = extractor(film(frames))
    torch.testing.assert_close(vectors, reference(folder, frames)[2:3], atol=1e-5, rtol=0)
    assert times.tolist() == pytest.approx([0.4])
    vectors, times = extractor(film(frames[:0]))
    assert vectors.shape == (0, 12)
    assert times.shape == (0,)


def test_black_frames_at_the_ends_are_left_out(folder, frames):
    black = np.full((4, *frames.shape[1:]), 16, np.uint8)
    long = film(np.concatenate([black, frames, black, black]))
    vectors, times = ClipImage(folder, frames="5")(long)
    torch.testing.assert_close(vectors, reference(folder, frames), atol=1e-5, rtol=0)
    torch.testing.assert_close(times, torch.arange(4, 9) / 5)
    vectors, times = ClipImage(folder)(long)  # the middle of what is lit
    torch.testing.assert_close(vectors, reference(folder, frames)[2:3], atol=1e-5, rtol=0)
    assert times.tolist() == pytest.approx([1.2])
    assert len(ClipImage(folder)(film(black))[0]) == 0


def test_spec_names_the_weights_and_pickling_drops_them(folder, frames, tmp_path):
    extractor = ClipImage(folder)
    before = extractor(film(frames))[0]
    copy = pickle.loads(pickle.dumps(extractor))
    assert "_model" in vars(extractor)
    assert "_model" not in vars(copy)
    assert torch.equal(copy(film(frames))[0], before)
    spec = extractor.spec()
    assert spec["weights"].startswith("sha256:")
    assert "device" not in spec
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    assert ClipImage(str(other)).spec()["weights"] != spec["weights"]


def test_scale_is_the_models_and_names_its_text_encoder(folder):
    from transformers import CLIPModel

    extractor = ClipImage(folder)
    expected = CLIPModel.from_pretrained(folder).logit_scale.exp().item()
    assert extractor.scale_and_bias() == (pytest.approx(expected), 0.0)
    assert extractor.text_spec() == f"clip:{folder}"


def test_a_checkpoint_without_all_its_weights_is_refused(folder, frames, tmp_path):
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"other' of extractor 'clip' lack 1 tensors \(visual_projection\.weight\)"):
        ClipImage(str(other))(film(frames))
