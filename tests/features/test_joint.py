"""What every extractor that shares a space with texts promises, on tiny checkpoints."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import joint_models
from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.encoder import TextEncoder
from avshot.classes.phrase import phrases
from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, create_extractor, extractor_of
from avshot.features.joint import JointExtractor
from avshot.media import Media
from avshot.registry import EXTRACTORS, TEXT_ENCODERS

# name -> how a checkpoint is made, the options that keep it small
SAVED = {
    "siglip": ("save_siglip", "frames=2"),
    "xclip": ("save_xclip", "window=1"),
    "videoprism": ("save_videoprism", "window=1"),
    "pe_audio": ("save_pe", "window=0.5"),
    "pe_video": ("save_pe", "window=1&frames=2"),
    "pe_av": ("save_pe", "window=1&frames=2"),
    "embeddinggemma_audio": ("save_gemma", "window=0.5"),
    "embeddinggemma_video": ("save_gemma", "window=1"),
    "imagebind_audio": ("save_imagebind", ""),
    "imagebind_video": ("save_imagebind", ""),
}
ELSEWHERE = {"clip", "clap", "wavcaps"}  # tested in files of their own


def joint_names():
    return {name for name in EXTRACTORS.names() if issubclass(EXTRACTORS.get_class(name, Extractor), JointExtractor)}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    made = {}
    for kind in sorted({save for save, _ in SAVED.values()}):
        made[kind] = getattr(joint_models, kind)(tmp_path_factory.mktemp(kind))
    return made


@pytest.fixture(params=SAVED)
def extractor(request, places):
    save, options = SAVED[request.param]
    return create_extractor(f"{request.param}:{places[save]}?{options}")


def clip(extractor, seconds=2.0):
    """A clip with all that the extractor asks for."""
    wanted = extractor.request()
    fps, rate = wanted.get("fps", 1.0), wanted.get("rate", 16000)
    height, width = wanted.get("size") or (wanted.get("short_side", 8),) * 2
    frames = joint_models.snow(round(seconds * fps), height, width)
    return Media(
        frames, (np.arange(len(frames)) + 0.5) / fps, joint_models.noise(round(seconds * rate)), rate, "ok", 2.0
    )


def test_every_joint_extractor_is_tested():
    assert set(SAVED) | ELSEWHERE == joint_names()


@pytest.mark.parametrize("name", sorted(set(SAVED) | ELSEWHERE))
def test_facts_for_a_listing(name):
    cls = EXTRACTORS.get_class(name, Extractor)
    assert cls.text in TEXT_ENCODERS.names()
    assert issubclass(TEXT_ENCODERS.get_class(cls.text, TextEncoder), TextEncoder)
    assert cls.licence
    assert cls.checked == "random weights"
    assert cls.modality in ("audio", "visual")


def test_unit_vectors_in_order_and_none_for_an_empty_clip(extractor):
    media = clip(extractor)
    vectors, times = extractor(media)
    assert vectors.dtype == times.dtype == torch.float32
    assert vectors.shape == (len(times), extractor.dim)
    assert len(times) >= 1
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(times)))
    assert (times.diff() > 0).all()
    assert 0 < times[0] <= times[-1] < 2
    vectors.requires_grad_()  # usable in a training
    empty = Media(media.frames[:0], np.zeros(0), media.waveform[:0], media.rate, "no_audio", 0.0)
    vectors, times = extractor(empty)
    assert (vectors.shape, times.shape) == ((0, extractor.dim), (0,))


def test_a_spec_identifies_the_weights_and_makes_the_same_extractor(extractor):
    media = clip(extractor)
    before = extractor(media)[0]
    spec = extractor.spec()
    assert spec == json.loads(json.dumps(spec))
    assert spec["weights"].startswith("sha256:")
    assert "device" not in spec
    assert torch.equal(extractor_of(spec)(media)[0], before)
    copy = pickle.loads(pickle.dumps(extractor))
    assert "_model" in vars(extractor)
    assert "_model" not in vars(copy)


def test_the_paired_texts_have_the_width_of_the_vectors(extractor):
    options = ""
    if extractor.text == "imagebind":
        options = f"?tokenizer={Path(extractor.checkpoint).with_name('tokenizer')}"
    encoder = create_text_encoder(extractor.text_spec() + options)
    assert encoder.dim == extractor.dim
    scale_and_bias = extractor.scale_and_bias()
    assert scale_and_bias is None or scale_and_bias[0] > 0
    texts = phrases(["dog", "guitar"], prompts="clip-vggsound")  # ensembles: any, for each text encoder
    classes = embed_classes(["dog", "guitar"], [encoder], phrases=texts)
    mean = encoder.encode(texts["dog"]).mean(dim=0)
    torch.testing.assert_close(classes.text[encoder.name][0], mean / mean.norm(), atol=1e-6, rtol=0)


# A weight of the side that describes clips, and one of the side that reads texts.
LACKING = {
    "siglip": ("vision_model.head.probe", "text_model.head.weight"),
    "xclip": ("visual_projection.weight", "text_projection.weight"),
    "videoprism": ("video_model.head.per_dim_scale", "text_model.layernorm.weight"),
    "pe_audio": ("audio_model.audio_head.proj.weight", "audio_model.text_audio_head.proj.weight"),
    "pe_video": (
        "video_model.video_encoder.embedder.vision_model.timm_model.attn_pool.latent",
        "video_model.text_video_head.layer_norm.bias",
    ),
    "pe_av": ("video_model.video_encoder.norm.weight", "text_audio_video_head.proj.weight"),
    "embeddinggemma_audio": ("audio_tower.output_proj.weight", "language_model.norm.weight"),
    "embeddinggemma_video": ("embed_vision.embedding_projection.weight", "language_model.norm.weight"),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_checkpoint_without_all_its_weights_is_refused(name, places, tmp_path):
    """transformers fills what is not there with random numbers, and says so in a log at most."""
    from safetensors.torch import load_file, save_file

    save, options = SAVED[name]
    for number, lost in enumerate(LACKING[name]):
        folder = Path(shutil.copytree(places[save], tmp_path / str(number)))
        weights = load_file(folder / "model.safetensors")
        del weights[lost]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        extractor = create_extractor(f"{name}:{folder}?{options}")
        text = create_text_encoder(extractor.text_spec())
        with pytest.raises(BadSetting, match=r"(lack|lacks) 1 (tensors|of its weights)"):
            extractor(clip(extractor)) if number == 0 else text.encode(["dog"])
