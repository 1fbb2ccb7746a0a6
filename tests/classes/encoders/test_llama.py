"""LLaMA's class vectors: the mean of transformers' hidden states over the words, whatever stands beside a text."""

import pytest
import torch

from avshot.classes.embed import create_text_encoder

WORDS = ["a", "dog", "barking", "rain", "loud"]
TEXTS = ["a dog barking", "rain", "loud rain a dog"]


def saved(folder, *, end="</s>", wrapped=True):
    """A tiny LLaMA as it is released: without a padding token, with a head, its texts begin with <s>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if wrapped:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token=end, padding_side="left"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model.model, vocabulary


def test_a_text_is_the_mean_state_of_its_words(tmp_path):
    model, vocabulary = saved(tmp_path)
    encoder = create_text_encoder(f"llama:{tmp_path}")
    vectors = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim, vectors.shape, encoder.checked) == ("llama", 16, (3, 16), "random weights")
    for vector, text in zip(vectors, TEXTS, strict=True):
        ids = torch.tensor([[1, *(vocabulary[word] for word in text.split())]])
        with torch.inference_mode():
            states = model(input_ids=ids).last_hidden_state[0, 1:]  # <s> is no word
        expected = states.mean(dim=0)
        torch.testing.assert_close(vector, expected / expected.norm(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoder.encode(TEXTS[1:2]), vectors[1:2], atol=1e-5, rtol=1e-4)


def test_texts_without_words_and_tokenizers_without_an_end_are_said(tmp_path):
    saved(tmp_path)
    with pytest.raises(ValueError, match="no words in a text"):
        create_text_encoder(f"llama:{tmp_path}").encode(["</s>"])
    with pytest.raises(ValueError, match="empty text"):
        create_text_encoder(f"llama:{tmp_path}").encode([" "])
    saved(tmp_path / "endless", end=None)
    with pytest.raises(ValueError, match="neither padding nor an end of text"):
        create_text_encoder(f"llama:{tmp_path / 'endless'}").encode(TEXTS)
    with pytest.raises(ValueError, match="cannot be loaded"):
        create_text_encoder(f"llama:{tmp_path / 'none'}").encode(TEXTS)
