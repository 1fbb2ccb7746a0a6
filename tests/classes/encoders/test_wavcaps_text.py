"""The text tower of WavCaps: BERT's first state through two layers, read from a file in the published layout."""

import pytest
import torch

from avshot.classes.embed import create_text_encoder

WORDS = ["a", "dog", "barking", "rain", "can", "be", "heard", "."]
TEXTS = ["a dog barking can be heard.", "rain"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[UNK]", "[SEP]", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder, vocabulary


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    return BertModel(config, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def parts():
    generator = torch.Generator().manual_seed(1)
    shapes = {"0.weight": (12, 128), "0.bias": (12,), "2.weight": (12, 12), "2.bias": (12,)}
    projection = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return bert(), projection


def saved(path, parts, drop=(), more=None):
    model, projection = parts
    state = {f"text_encoder.text_encoder.{name}": value for name, value in model.state_dict().items()}
    state |= {f"text_proj.{name}": value for name, value in projection.items()}
    state |= {f"audio_proj.{name}": value for name, value in projection.items()}
    state |= {"audio_encoder.audio_enc.audio_feats_extractor.log_trans.melW": torch.zeros(513, 64)}
    state |= {"audio_encoder.audio_enc.norm.weight": torch.zeros(16), "temp": torch.tensor(0.07)}
    state |= {"text_encoder.text_encoder.embeddings.position_ids": torch.arange(40)[None]} | (more or {})
    torch.save({"model": {name: value for name, value in state.items() if name not in drop}}, path)
    return path


@torch.no_grad()
def test_a_text_is_the_first_state_projected(tokenizer, parts, tmp_path):
    file = saved(tmp_path / "w.pt", parts)
    encoder = create_text_encoder(f"wavcaps:{file}?tokenizer={tokenizer[0]}")
    got = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim, got.shape) == ("wavcaps", 12, (2, 12))
    model, layers = parts
    for text, row in zip(TEXTS, got, strict=True):
        ids = [1, *(tokenizer[1][word] for word in text.replace(".", " .").split()), 3]
        state = model(input_ids=torch.tensor([ids])).last_hidden_state[0, 0]
        hidden = (layers["0.weight"] @ state + layers["0.bias"]).clamp(min=0)
        out = layers["2.weight"] @ hidden + layers["2.bias"]
        torch.testing.assert_close(row, out / out.square().sum().sqrt(), atol=1e-5, rtol=0)
    long, cut = encoder.encode(["dog " * 60, "dog " * 28])  # 28 words beside [CLS] and [SEP]
    torch.testing.assert_close(long, cut)
    assert encoder.encode([]).shape == (0, 12)


@pytest.mark.parametrize(
    ("drop", "more", "words"),
    [
        (["text_encoder.text_encoder.encoder.layer.1.output.dense.weight"], {}, "encoder.layer.1.output.dense"),
        (["text_encoder.text_encoder.embeddings.word_embeddings.weight"], {}, "no BERT whose sizes can be told"),
        ([], {"text_proj.2.bias": torch.zeros(3)}, "text_proj"),
        (["text_proj.0.weight"], {}, "no two layers text_proj"),
        ([], {"text_encoder.gpt.weight": torch.zeros(3)}, "the parameter 'text_encoder.gpt.weight'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tokenizer, parts, tmp_path, drop, more, words):
    file = saved(tmp_path / "wrong.pt", parts, drop, more)
    with pytest.raises(ValueError, match=r"wrong\.pt") as caught:
        create_text_encoder(f"wavcaps:{file}?tokenizer={tokenizer[0]}").encode(TEXTS)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(parts, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        create_text_encoder(f"wavcaps:{tmp_path}/none.pt").encode(["dog"])
    file = saved(tmp_path / "w.pt", parts)
    with pytest.raises(ValueError, match="tokenizer of text encoder"):
        create_text_encoder(f"wavcaps:{file}?tokenizer={tmp_path}").encode(["dog"])
