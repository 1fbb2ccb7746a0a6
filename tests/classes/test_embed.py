"""Text encoders and the join of names to vectors."""

import pytest
import torch

from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.optimise.optimise import optimise_classes


def test_wordllama_gives_unit_rows_that_know_meaning():
    encoder = create_text_encoder("wordllama")
    dog, puppy, guitar = encoder.encode(["a dog barking", "a puppy barks", "playing guitar"])
    assert encoder.dim == len(dog) == 256
    assert float(dog.norm()) == pytest.approx(1, abs=1e-6)
    assert dog @ puppy > dog @ guitar + 0.1


def test_classes_are_joined_by_name_and_optimised():
    names = ["dog barking", "playing guitar", "rain falling", "wolf howling"]
    classes = embed_classes(names)
    again = embed_classes(names[::-1], phrases={name: name for name in names})
    assert torch.allclose(again.select(names).text["wordllama"], classes.text["wordllama"], atol=1e-6)
    optimised, outcomes = optimise_classes(classes)
    assert optimised.names == classes.names
    assert outcomes["wordllama"].growth > 1


def test_texts_of_a_class_are_averaged_as_unit_vectors():
    encoder = create_text_encoder("wordllama")
    texts = ["a dog barking", "woof woof woof woof"]
    classes = embed_classes(["dog"], phrases={"dog": texts})
    mean = encoder.encode(texts).mean(dim=0)
    assert torch.allclose(classes.text["wordllama"][0], mean / mean.norm(), atol=1e-6)


def test_identifiers_are_spoken():
    spelled = embed_classes(["PlayingFlute", "playing flute"]).text["wordllama"]
    assert torch.equal(spelled[0], spelled[1])


def test_flags_and_shapes():
    classes = embed_classes(["dog", "cat"])
    assert classes.seen.tolist() == [False, False]
    assert classes.dims == {"wordllama": 256}
    assert create_text_encoder("wordllama").encode([]).shape == (0, 256)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("word2vec", "'word2vec' does not exist; text encoders: clap, clip, .*sentence, .*vectors, .*wordllama"),
        ("clip", "clip needs a file, folder or id, as in clip:PLACE"),
        ("vectors:", "vectors needs a file"),
        ("wordllama:x", "wordllama takes no file or id"),
    ],
)
def test_bad_specs_say_what_to_write(spec, message):
    with pytest.raises(ValueError, match=message):
        create_text_encoder(spec)


def test_what_cannot_be_embedded_is_named():
    with pytest.raises(ValueError, match="No phrase for 1 classes: 'cat'"):
        embed_classes(["dog", "cat"], phrases={"dog": "dog"})
    with pytest.raises(ValueError, match="Text '' has no direction"):
        embed_classes(["dog"], phrases={"dog": ["dog", ""]})
    with pytest.raises(ValueError, match="unique; repeated: dog"):
        embed_classes(["dog", "dog"])
    with pytest.raises(ValueError, match="Got 0 class names"):
        embed_classes([])
