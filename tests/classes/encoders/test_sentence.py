"""What follows the transformer of a sentence encoder: pooling, dense layers, and Instructor's instruction."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from avshot.classes.embed import create_text_encoder

WORDS = ["represent", "the", "sound", "of", "a", "dog", "rain", "guitar", "loud"]
TEXTS = ["a dog", "rain", "the loud guitar of a dog"]
ORDER = "represent the sound "


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A tiny encoder of the T5 family, as a checkpoint of the whole model with its decoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    model = T5ForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    return folder, model.encoder, vocabulary


def states(plain, text):
    """Last hidden states of one text, without padding: `[token, 16]`, the last of them of the end token."""
    _, model, vocabulary = plain
    ids = [vocabulary[word] for word in text.split()] + [vocabulary["</s>"]]
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).last_hidden_state[0]


def unit(vector):
    return vector / vector.square().sum().sqrt()


def check(got, expected):
    for row, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(row, unit(wanted), atol=1e-5, rtol=0)


def with_modules(plain, target, *, mode="mean_tokens", activation="Identity", weights="model.safetensors", bias=False):
    """The model in the layout of sentence-transformers, with a dense layer 16 -> 6."""
    folder = shutil.copytree(plain[0], target)
    parts = ["Transformer", "Pooling", "Dense", "Normalize"]
    paths = ["", "1_Pooling", "2_Dense", "3_Normalize"]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{part}"}
        for i, (part, path) in enumerate(zip(parts, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    for name in ("1_Pooling", "2_Dense"):
        (folder / name).mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    about = {"in_features": 16, "out_features": 6, "bias": bias}
    about["activation_function"] = f"torch.nn.modules.activation.{activation}"
    (folder / "2_Dense" / "config.json").write_text(json.dumps(about))
    tensors = {"linear.weight": torch.randn(6, 16, generator=torch.Generator().manual_seed(1))}
    tensors |= {"linear.bias": torch.arange(6.0)} if bias else {}
    if weights.endswith(".bin"):
        torch.save(tensors, folder / "2_Dense" / weights)
    else:
        save_file(tensors, folder / "2_Dense" / weights)
    return folder, tensors


def test_the_encoder_of_a_t5_averages_its_tokens(plain):
    encoder = create_text_encoder(f"sentence:{plain[0]}")
    check(encoder.encode(TEXTS), [states(plain, text).mean(dim=0) for text in TEXTS])
    assert (encoder.name, encoder.dim) == ("sentence", 16)


def test_an_instruction_is_read_and_left_out_of_the_mean(plain):
    encoder = create_text_encoder(f"sentence:{plain[0]}?instruction={ORDER}")
    expected = [states(plain, ORDER + text)[3:].mean(dim=0) for text in TEXTS]
    check(encoder.encode(TEXTS), expected)
    bare = create_text_encoder(f"sentence:{plain[0]}").encode(TEXTS)
    assert not torch.allclose(encoder.encode(TEXTS), bare, atol=1e-2)
    assert encoder.spec.endswith(ORDER)
    with pytest.raises(ValueError, match="empty instruction"):
        create_text_encoder(f"sentence:{plain[0]}?instruction=")


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_instructor_s_layout_mean_dense_unit_length(plain, tmp_path, weights):
    folder, tensors = with_modules(plain, tmp_path / "instructor", weights=weights)
    encoder = create_text_encoder(f"sentence:{folder}?instruction={ORDER}")
    expected = [tensors["linear.weight"] @ states(plain, ORDER + text)[3:].mean(dim=0) for text in TEXTS]
    check(encoder.encode(TEXTS), expected)
    assert encoder.dim == 6


def test_first_token_activation_and_bias(plain, tmp_path):
    folder, tensors = with_modules(plain, tmp_path / "other", mode="cls_token", activation="Tanh", bias=True)
    first = [states(plain, text)[0] for text in TEXTS]
    expected = [(tensors["linear.weight"] @ state + tensors["linear.bias"]).tanh() for state in first]
    check(create_text_encoder(f"sentence:{folder}").encode(TEXTS), expected)


BROKEN = {
    "pools max_tokens": lambda folder: (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_max_tokens": true}'
    ),
    "lacks 1_Pooling/config.json": lambda folder: (folder / "1_Pooling" / "config.json").unlink(),
    "lacks 2_Dense/pytorch_model.bin": lambda folder: (folder / "2_Dense" / "model.safetensors").unlink(),
    "does not fit its config": lambda folder: save_file(
        {"linear.weight": torch.zeros(3, 3)}, folder / "2_Dense" / "model.safetensors"
    ),
    "fit its config ('in_features')": lambda folder: (folder / "2_Dense" / "config.json").write_text("{}"),
    "activation 'Swish'": lambda folder: (folder / "2_Dense" / "config.json").write_text(
        '{"in_features": 16, "out_features": 6, "activation_function": "Swish"}'
    ),
    "is no JSON": lambda folder: (folder / "modules.json").write_text("["),
    "is no list of parts": lambda folder: (folder / "modules.json").write_text('["Pooling"]'),
    "has a part 'LSTM'": lambda folder: (folder / "modules.json").write_text('[{"type": "a.LSTM", "path": "1"}]'),
}


@pytest.mark.parametrize("words", BROKEN)
def test_parts_that_are_missing_or_unknown_are_named(plain, tmp_path, words):
    folder, _ = with_modules(plain, tmp_path / "broken")
    BROKEN[words](folder)
    with pytest.raises(ValueError, match="sentence:") as caught:
        create_text_encoder(f"sentence:{folder}").encode(TEXTS)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
