"""What makes vectors: which turns it has, what it learns, and that what it makes is cut off and never negative."""

import pytest
import torch

from avshot.nn.synthesis import Synthesis, SynthesisConfig
from few_shot_clips import AUDIO, NAMES, TEXT, VISUAL, some_batch, some_classes

SMALL = {"diffusion_steps": 4, "diffusion_hidden": 6, "noise": 3, "generator_hidden": 6, "critic_hidden": 6}


def made(**fields):
    torch.manual_seed(0)
    config = SynthesisConfig(**(SMALL | fields))
    return Synthesis(config, 8, NAMES, text=TEXT, audio=AUDIO, visual=VISUAL)


def vectors():
    return torch.rand(5, 8, generator=torch.Generator().manual_seed(3))


def ignored(value):
    return value.sum(dim=1)


@pytest.mark.parametrize("detach_features", [True, False])
def test_diffusion_teaches_what_it_learns_from_only_by_request(detach_features):
    model, told = (
        made(detach_features=detach_features, diffusion_weight=3.0),
        some_classes().text["w2v"][[0, 1, 2, 3, 2]],
    )
    real = vectors().requires_grad_()
    torch.manual_seed(1)
    terms = model.losses(real, told, ignored)
    torch.manual_seed(1)
    torch.testing.assert_close(terms["diffusion"], 3 * model.diffusion.loss(real, told).mean())
    terms["diffusion"].backward()
    assert (real.grad is None) is detach_features
    assert all(parameter.grad.any() for parameter in model.parameters() if parameter.ndim > 1)


def test_a_gan_has_its_own_turns_and_the_terms_of_the_block():
    model, told = made(generator="wgan", critic_steps=3), some_classes().text["w2v"][[0, 1, 2, 3, 2]]
    critic, maker = model.game("synthesis", "novel")
    assert (critic.parameters, critic.steps, critic.pool) == (("synthesis.gan.critic",), 3, "novel")
    assert (maker.parameters, maker.steps, maker.pool) == (("synthesis.gan.generator",), 1, "novel")
    real = vectors().requires_grad_()
    torch.manual_seed(1)
    terms = model.losses(real, told, ignored)
    assert set(terms) == {*critic.terms, *maker.terms}
    torch.manual_seed(1)
    everywhere = torch.ones(5, 8, dtype=torch.bool)
    for name, value in model.gan.terms(real, everywhere, told, ignored).items():
        torch.testing.assert_close(terms[name], value)
    sum(terms.values()).backward()
    assert real.grad is None
    assert not made().game("synthesis", "")
    assert not model.plain_terms
    assert made().plain_terms == ("diffusion",)


@pytest.mark.parametrize("generator", ["diffusion", "wgan"])
def test_what_is_made_is_cut_off_and_never_negative(generator):
    told = torch.randn(200, TEXT, generator=torch.Generator().manual_seed(4))
    model = made(generator=generator)
    found = model.make(told)
    assert found.min() == 0
    assert found.max() > 0
    assert not found.requires_grad
    raw = made(generator=generator, clip_synthetic=False, detach_synthetic=False)
    torch.manual_seed(2)
    free = raw.make(told)
    assert free.min() < 0
    assert free.requires_grad is (generator == "diffusion")  # the GAN block never lets gradients through
    torch.manual_seed(2)
    torch.testing.assert_close(model.make(told), free.detach().clamp(min=0))


def test_nothing_is_made_without_a_generator():
    model = made(generator="none")
    assert not model.makes
    assert not list(model.parameters())
    assert model.losses(vectors(), vectors(), ignored) == {}
    with pytest.raises(ValueError, match='set it to "diffusion" or "wgan"'):
        model.make(vectors())
    with pytest.raises(ValueError, match="expected one of diffusion, wgan, none"):
        made(generator="gan")


def test_prototypes_hear_of_training_clips_alone():
    model, batch = made(condition="prototypes"), some_batch()
    assert not model.eval().told(batch).any()
    told = model.train().told(batch)
    assert told.any(dim=1).all()
    assert torch.equal(told[2], told[4])  # clips of one class
    assert torch.equal(model.eval().told(batch), told)
