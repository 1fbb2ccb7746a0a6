"""`semantic_weight`: a number, or the number of classes whatever it is."""

import pytest
import torch

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise
from avshot.method import replace_fields


def related(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 12, generator=generator) + 0.8 * torch.randn(1, 12, generator=generator)


@pytest.mark.parametrize("count", [4, 9])
def test_classes_means_their_number(count):
    shared = OptimiseConfig(margin=0.0, growth=1.2)
    by_name, said = optimise(related(count), replace_fields(shared, {"semantic_weight": "classes"}))
    by_number, _ = optimise(related(count), replace_fields(shared, {"semantic_weight": count}))
    assert torch.equal(by_name, by_number)
    assert said.settings["semantic_weight"] == "classes"
    assert not torch.equal(by_name, optimise(related(count), shared)[0])


def test_a_class_with_the_same_vector_as_another_does_not_count():
    vectors = related(6)
    doubled = torch.cat([vectors, vectors[:2]])
    config = OptimiseConfig(margin=0.0, growth=1.2, semantic_weight="classes")
    assert torch.equal(optimise(doubled, config)[0][:6], optimise(vectors, config)[0])


def test_weight_and_alpha_are_one_setting():
    """Adam's steps do not know the scale of the loss: only the ratio of its two terms counts."""
    weighted = OptimiseConfig(alpha=0.5, semantic_weight=9.0, margin=0.0, growth=1.2)
    shifted = OptimiseConfig(alpha=0.1, semantic_weight=1.0, margin=0.0, growth=1.2)
    assert torch.allclose(optimise(related(9), weighted)[0], optimise(related(9), shifted)[0], atol=1e-5)


@pytest.mark.parametrize("wrong", ["class", -1.0, float("nan"), float("inf")])
def test_other_weights_are_refused(wrong):
    with pytest.raises(ValueError, match="semantic_weight"):
        replace_fields(OptimiseConfig(), {"semantic_weight": wrong})
