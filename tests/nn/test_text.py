"""Class embeddings in the order a method was built for."""

import pytest
import torch

from avshot.nn.text import text_entries
from avshot.types import Classes

CLIP, CLAP = torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(2, 4)


def make_classes(**text):
    return Classes(("a", "b"), text, torch.ones(2, dtype=torch.bool))


def test_entries_are_found_by_name_whatever_their_order():
    for classes in (make_classes(clip=CLIP, clap=CLAP), make_classes(clap=CLAP, clip=CLIP)):
        first, second = text_entries(classes, {"clip": 3, "clap": 4})
        assert torch.equal(first, CLIP)
        assert torch.equal(second, CLAP)
    (only,) = text_entries(make_classes(clip=CLIP, clap=CLAP), {"clap": 4})
    assert torch.equal(only, CLAP)


def test_entries_of_other_names_are_taken_in_their_order():
    first, second = text_entries(make_classes(zebra=CLIP, ape=CLAP), {"clip": 3, "clap": 4})
    assert torch.equal(first, CLIP)
    assert torch.equal(second, CLAP)


@pytest.mark.parametrize("text", [{"clip": CLIP}, {"clip": CLAP, "clap": CLIP}, {"x": CLAP, "y": CLIP}])
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(ValueError, match=r"built for class embeddings \{'clip': 3, 'clap': 4\}.*got \{"):
        text_entries(make_classes(**text), {"clip": 3, "clap": 4})
