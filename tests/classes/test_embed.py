"""Text encoders and the join of names to vectors."""

import pytest
import torch

from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.optimise import optimise_classes


def test_wordllama_gives_unit_rows_that_know_meaning():
    encoder = create_text_encoder("wordllama")
    dog, puppy, guitar = encoder.encode(["a dog barking", "a puppy barks", "playing guitar"])
    assert encoder.dim == len(dog) == 256
    assert float(dog.norm()) == pytest.approx(1, abs=1e-6)
    assert dog @ puppy > dog @ guitar + 0.1


def test_classes_are_joined_by_name_and_optimised():
    names = ["dog barking", "playing guitar", "rain falling", "wolf howling"]
    classes = embed_classes(names, seen=[True, True, False, False])
    again = embed_classes(names[::-1], phrases={name: name for name in names})
    assert torch.allclose(again.select(names).text["wordllama"], classes.text["wordllama"], atol=1e-6)
    optimised, outcomes = optimise_classes(classes)
    assert optimised.names == classes.names
    assert outcomes["wordllama"].growth > 1
