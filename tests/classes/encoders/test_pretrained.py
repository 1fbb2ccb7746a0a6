"""Text towers through transformers: tiny random weights, saved and read back without a network."""

import re

import pytest
import torch

from avshot.classes.embed import create_text_encoder, embed_classes
from joint_models import SMALL, TEXTS, save_tokenizer


@pytest.fixture(scope="module", autouse=True)
def quiet():
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()
    logging.set_verbosity(before)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    size = save_tokenizer(folder, "<start>", "<end>", "<pad>")
    text = {
        **SMALL,
        "vocab_size": size,
        "max_position_embeddings": 8,
        "bos_token_id": 1,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {**SMALL, "image_size": 8, "patch_size": 4}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
    model.save_pretrained(folder)
    return str(folder), model


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    from transformers import ClapConfig, ClapModel

    folder = tmp_path_factory.mktemp("clap")
    size = save_tokenizer(folder, "<s>", "</s>", "<pad>")
    text = {
        **SMALL,
        "vocab_size": size,
        "max_position_embeddings": 12,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 3,
    }
    audio = {
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "spec_size": 32,
        "num_mel_bins": 16,
        "window_size": 4,
        "patch_size": 4,
    }
    torch.manual_seed(0)
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=10)).eval()
    model.save_pretrained(folder)
    return str(folder), model


@pytest.fixture(scope="module")
def sentence(tmp_path_factory):
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("sentence")
    size = save_tokenizer(folder, "[CLS]", "[SEP]", "[PAD]")
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SMALL, vocab_size=size, max_position_embeddings=16)).eval()
    model.save_pretrained(folder)
    return str(folder), model


def tokens_of(encoder, text):
    return torch.tensor([encoder._tokenizer(text)["input_ids"]])


def test_clip_tower_is_the_projected_state_at_the_end_token(clip):
    encoder = create_text_encoder(f"clip:{clip[0]}")
    got = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim, got.shape) == ("clip", 12, (4, 12))
    with torch.no_grad():
        for text, row in zip(TEXTS, got, strict=True):  # one by one, without padding
            ids = tokens_of(encoder, text)
            state = clip[1].text_model(input_ids=ids).last_hidden_state[0, -1]
            wanted = clip[1].text_projection(state)
            assert torch.allclose(row, wanted / wanted.norm(), atol=1e-5)


def test_clip_cuts_long_texts_instead_of_failing(clip):
    encoder = create_text_encoder(f"clip:{clip[0]}")
    long, cut = encoder.encode(["dog cat dog cat dog cat rain rain rain rain", "dog cat dog cat dog cat"])
    assert torch.allclose(long, cut, atol=1e-6)


def test_clap_tower(clap):
    encoder = create_text_encoder(f"clap:{clap[0]}")
    got = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim, got.shape) == ("clap", 10, (4, 10))
    with torch.no_grad():
        for text, row in zip(TEXTS, got, strict=True):
            pooled = clap[1].text_model(input_ids=tokens_of(encoder, text)).pooler_output
            wanted = clap[1].text_projection(pooled)[0]
            assert torch.allclose(row, wanted / wanted.norm(), atol=1e-5)
    assert encoder.encode(["dog " * 50]).shape == (1, 10)


def test_sentence_tower_averages_real_tokens(sentence):
    encoder = create_text_encoder(f"sentence:{sentence[0]}")
    got = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim) == ("sentence", 16)
    with torch.no_grad():
        for text, row in zip(TEXTS, got, strict=True):
            wanted = sentence[1](input_ids=tokens_of(encoder, text)).last_hidden_state[0].mean(dim=0)
            assert torch.allclose(row, wanted / wanted.norm(), atol=1e-5)
    assert encoder.encode([]).shape == (0, 16)
    with pytest.raises(ValueError, match="empty text"):
        encoder.encode(["dog", " "])


def test_ensembles_are_normalised_averaged_and_normalised(clip, clap):
    from avshot.classes.phrase import phrases

    texts = phrases(["dog", "guitar"], prompts="clip-vggsound")
    classes = embed_classes(["guitar", "dog"], [f"clip:{clip[0]}", f"clap:{clap[0]}"], phrases=texts)
    assert classes.dims == {"clip": 12, "clap": 10}
    mean = create_text_encoder(f"clip:{clip[0]}").encode(texts["dog"]).mean(dim=0)
    assert torch.allclose(classes.text["clip"][1], mean / mean.norm(), atol=1e-6)


def test_two_encoders_of_one_kind_keep_their_specs(clip):
    spec = f"clip:{clip[0]}"
    assert list(embed_classes(["dog"], [spec, spec + "/"]).text) == [spec, spec + "/"]


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"clip:.*cannot be loaded .*give a Hugging Face id"):
        create_text_encoder(f"clip:{tmp_path}").encode(["dog"])


def copied(folder, target):
    import shutil

    return shutil.copytree(folder, target)


def rewritten(folder, change):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


BROKEN = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "cut weights": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:-100]
    ),
    "weights of nothing": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a promise": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
    "config that is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config without a type": lambda folder: (folder / "config.json").write_text("{}"),
    "config of a list": lambda folder: (folder / "config.json").write_text("[]"),
    "other sizes": lambda folder: rewritten(folder, lambda w: w.update({"text_projection.weight": torch.zeros(3, 3)})),
    "lacking weights": lambda folder: rewritten(folder, lambda w: w.pop("text_projection.weight")),
    "nan": lambda folder: rewritten(folder, lambda w: w["text_projection.weight"].fill_(float("nan"))),
    "few words": lambda folder: (
        rewritten(folder, lambda w: w.update({"text_model.embeddings.token_embedding.weight": torch.zeros(2, 16)})),
        (folder / "config.json").write_text(
            re.sub(r'"vocab_size": \d+', '"vocab_size": 2', (folder / "config.json").read_text())
        ),
    ),
    "tokenizer that is no JSON": lambda folder: (folder / "tokenizer.json").write_text("{"),
    "tokenizer of a list": lambda folder: (folder / "tokenizer.json").write_text("[]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders_are_named(clip, tmp_path, case):
    folder = copied(clip[0], tmp_path / "broken")
    BROKEN[case](folder)
    with pytest.raises(ValueError, match=r"clip:.*broken"):
        create_text_encoder(f"clip:{folder}").encode(["dog"])


def test_a_pooler_that_is_not_used_may_lack(sentence, tmp_path):
    folder = copied(sentence[0], tmp_path / "no-pooler")
    rewritten(folder, lambda w: [w.pop(key) for key in list(w) if key.startswith("pooler.")])
    whole = create_text_encoder(f"sentence:{sentence[0]}").encode(TEXTS)
    assert torch.equal(create_text_encoder(f"sentence:{folder}").encode(TEXTS), whole)
    rewritten(folder, lambda w: w.pop("encoder.layer.0.output.dense.weight"))
    with pytest.raises(ValueError, match=r"sentence:.*lacks 1 of its weights \(encoder\.layer\.0"):
        create_text_encoder(f"sentence:{folder}").encode(["dog"])
