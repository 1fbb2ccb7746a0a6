"""The Wasserstein GAN of features: its terms against loops, who learns from what, and that it learns a distribution."""

import pytest
import torch

from avshot.nn.class_head import ClassHead
from avshot.nn.wgan import Wgan, WganConfig, adversarial_curriculum, augmented_terms, misjudged
from avshot.types import Classes
from few_shot_clips import cross_entropy

NAMES = ("dog", "cat", "bell")
CLASSES = Classes(NAMES, {"made": torch.eye(3)}, torch.tensor([True, True, False]))
LABELS = torch.tensor([0, 2, 1, 2, 0])


def rows(seed, dim=4, count=5):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def masked():
    mask = torch.ones(5, 4, dtype=torch.bool)
    mask[1, 2:], mask[4] = False, False  # one row lacks a modality, one has nothing
    return rows(1) * mask, mask


def made(**fields):
    torch.manual_seed(0)
    gan = Wgan(WganConfig(noise=3, generator_hidden=6, critic_hidden=6, **fields), 2, 4)
    with torch.no_grad():
        for parameter in gan.critic.parameters():
            parameter.mul_(20)
    return gan


def drawn_again(gan, told, mask):
    """What the terms made, and their mixing weights, from the same seed."""
    torch.manual_seed(5)
    return gan.generator.make(told) * mask, torch.rand(5, 1)


def test_terms_against_loops():
    gan, (real, mask), told = made(penalty=7.0, classified=0.5), masked(), rows(2, 2)
    torch.manual_seed(5)
    terms = gan.terms(real, mask, told, lambda value: value.sum(dim=1))
    fake, mix = drawn_again(gan, told, mask)
    gap = steep = liked = known = 0.0
    for i in range(4):  # the fifth row has nothing
        one = told[i : i + 1]
        judged = [gan.critic(x[i : i + 1], one).item() for x in (real, fake)]
        gap += (judged[1] - judged[0]) / 4
        liked += judged[1] / 4
        known += fake[i].sum().item() / 4
        point = (mix[i] * real[i] + (1 - mix[i]) * fake[i]).detach().requires_grad_()
        (slope,) = torch.autograd.grad(gan.critic(point[None], one).sum(), point)
        steep += (slope.square().sum().sqrt().item() - 1) ** 2 / 4
    assert set(terms) == {"critic", "gradient_penalty", "adversarial", "classified"}
    assert terms["critic"].item() == pytest.approx(gap, rel=1e-4)
    assert terms["gradient_penalty"].item() == pytest.approx(7 * steep, rel=1e-4)
    assert terms["adversarial"].item() == pytest.approx(-liked, rel=1e-4)
    assert terms["classified"].item() == pytest.approx(0.5 * known, rel=1e-4)


def test_classifier_terms_against_loops():
    gan, (real, mask), told = made(synthetic=2.0), masked(), rows(2, 2)
    head = ClassHead(4, NAMES)
    gan.requires_grad_(False)
    torch.manual_seed(5)
    terms = augmented_terms(gan, head, real, mask, told, LABELS, CLASSES)
    torch.manual_seed(5)
    gan.generator.make(told)  # drawn before the players are looked at
    fake = gan.generator.make(told) * mask
    with torch.no_grad():
        expected = sum(cross_entropy(head(real[i]), LABELS[i]) for i in range(4)) / 4
        made_up = sum(cross_entropy(head(fake[i]), LABELS[i]) for i in (1, 3)) / 2  # rows of the novel class
    assert set(terms) == {"cross_entropy", "synthetic"}
    assert terms["cross_entropy"].item() == pytest.approx(expected, rel=1e-4)
    assert terms["synthetic"].item() == pytest.approx(2 * made_up, rel=1e-4)
    base = Classes(NAMES, CLASSES.text, torch.ones(3, dtype=torch.bool))
    assert augmented_terms(gan, head, real, mask, told, LABELS, base)["synthetic"].item() == 0


def test_no_term_teaches_another_player():
    gan, (real, mask), told = made(), masked(), rows(2, 2)
    head = ClassHead(4, NAMES)
    learns = {"critic": gan.critic, "generator": gan.generator, "classifier": head}
    whose = {
        "critic": "critic",
        "gradient_penalty": "critic",
        "classified": "generator",
        "cross_entropy": "classifier",
        "synthetic": "classifier",
    }
    for term, player in whose.items():
        for module in learns.values():
            module.zero_grad(set_to_none=True)
        augmented_terms(gan, head, real, mask, told, LABELS, CLASSES)[term].backward()
        for name, module in learns.items():
            taught = any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())
            assert taught == (name == player), (term, name)


def test_misjudged_may_leave_the_classifier_alone():
    head, value = ClassHead(4, NAMES), rows(3).requires_grad_()
    plain, held = (misjudged(head, value, LABELS, CLASSES, learning=learning) for learning in (True, False))
    torch.testing.assert_close(held, plain)
    held.sum().backward()
    assert head.weight.grad is None
    assert value.grad.any()


def test_the_curriculum_takes_turns_on_each_pool():
    base, novel = adversarial_curriculum(5, makers=("gan.generator", "head"))
    assert (base.name, base.best, novel.name, novel.best) == ("base", "B", "novel", "")
    assert [(t.pool, t.steps, t.optimiser) for t in base.turns] == [("base", 5, "critic"), ("base", 1, "makers")]
    assert [(t.pool, t.steps, t.optimiser) for t in novel.turns] == [
        ("base", 5, "critic"),
        ("novel", 5, "critic"),
        ("base", 1, "makers"),
        ("novel", 1, "makers"),
    ]
    assert base.share + novel.share == pytest.approx(1)


def test_the_generator_learns_where_the_vectors_of_a_class_lie():
    """A game of two circles round its end, so what is made is averaged over the second half of the training."""
    torch.manual_seed(0)
    gan = Wgan(WganConfig(noise=4, generator_hidden=64, critic_hidden=64), 2, 2)
    centres, told, steps = torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), torch.eye(2), 1200
    before = (gan.make(told.repeat(200, 1)).unflatten(0, (-1, 2)).mean(dim=0) - centres).norm(dim=1)
    players = [
        (torch.optim.Adam(player.parameters(), 1e-2, betas=(0.0, 0.9)), terms, player)
        for player, terms in ((gan.critic, ("critic", "gradient_penalty")), (gan.generator, ("adversarial",)))
    ]
    found = []
    for step in range(steps):
        optimiser, names, player = players[step % 6 == 5]
        gan.requires_grad_(False)
        player.requires_grad_()
        label = torch.randint(0, 2, (64,))
        real = centres[label] + 0.3 * torch.randn(64, 2)
        terms = gan.terms(real, torch.ones(64, 2, dtype=torch.bool), told[label], lambda value: value.sum(dim=1))
        optimiser.zero_grad()
        sum(terms[name] for name in names).backward()
        optimiser.step()
        if step > steps / 2 and step % 10 == 0:
            made = gan.make(told.repeat(50, 1))
            assert not made.requires_grad
            found.append(made.unflatten(0, (-1, 2)).mean(dim=0))
    after = (torch.stack(found).mean(dim=0) - centres).norm(dim=1)
    assert before.min() > 1.3
    assert after.max() < 1.1  # 0.8 here; the centres are 3.2 apart
