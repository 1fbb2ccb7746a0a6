"""Every equation against a loop written from its formula, and the properties that the thesis's text implies."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.games import objectives as o

seeds = st.integers(0, 2**31)


def batch(seed, messages=3, longest=4, words=6):
    """Logits, tokens and a mask whose messages have 1 to `longest` tokens."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(messages, longest, words, generator=draw, dtype=torch.float64)
    tokens = torch.randint(words, (messages, longest), generator=draw)
    lengths = torch.randint(1, longest + 1, (messages,), generator=draw)
    mask = torch.arange(longest)[None] < lengths[:, None]
    return logits, tokens, mask, draw


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@given(seeds)
@settings(deadline=None)
def test_log_probabilities_of_tokens(seed):
    logits, tokens, mask, _ = batch(seed)
    found = o.token_log_probs(logits, tokens)
    for m in range(3):
        for k in range(4):
            total = sum(math.exp(x) for x in logits[m, k].tolist())
            assert found[m, k].item() == pytest.approx(logits[m, k, tokens[m, k]].item() - math.log(total), abs=1e-5)
    sums = o.message_sums(found, mask)
    for m in range(3):
        own = [found[m, k].item() for k in range(4) if mask[m, k]]
        assert sums[m].item() == pytest.approx(sum(own), abs=1e-5)


def test_words_that_are_not_allowed_have_no_probability():
    logits, tokens = torch.zeros(1, 1, 4), torch.tensor([[1]])
    allowed = torch.tensor([[[True, True, False, False]]])
    assert o.token_log_probs(logits, tokens, allowed).exp().item() == pytest.approx(0.5)
    assert o.token_log_probs(logits, torch.tensor([[2]]), allowed).item() < -1e30


@given(seeds, st.floats(0, 2))
@settings(deadline=None)
def test_shaped_rewards_by_a_loop(seed, beta):
    _, _, mask, draw = batch(seed)
    now, first = (torch.randn(3, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    rewards = torch.randn(3, generator=draw, dtype=torch.float64)
    found = o.shaped_rewards(rewards, now, first, mask, beta)
    for m in range(3):
        last = max(k for k in range(4) if mask[m, k])
        for k in range(4):
            expected = 0.0
            if mask[m, k]:
                expected = -beta * (now[m, k] - first[m, k]).item() + (rewards[m].item() if k == last else 0)
            assert found[m, k].item() == pytest.approx(expected)


def test_drift_is_paid_for_and_not_rewarded():
    """The sign of equation 7.2, which is printed the other way round: a policy moved away gets less."""
    first = torch.randn(16, generator=torch.Generator().manual_seed(0)).log_softmax(0)
    moved = (first + torch.randn(16, generator=torch.Generator().manual_seed(1))).log_softmax(0)
    mask, rewards = torch.ones(16, 1, dtype=torch.bool), torch.ones(16)
    paid = o.shaped_rewards(rewards, moved[:, None], first[:, None], mask, 0.2)
    assert (moved.exp() * paid[:, 0]).sum() < 1 - 0.01
    same = o.shaped_rewards(rewards, first[:, None], first[:, None], mask, 0.2)
    assert (first.exp() * same[:, 0]).sum().item() == pytest.approx(1)


@given(seeds, st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_advantages_by_their_definition(seed, gamma, smoothing):
    _, _, mask, draw = batch(seed)
    rewards, values = (torch.randn(3, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    found = o.advantages(rewards, values, mask, gamma, smoothing)
    for m in range(3):
        n = int(mask[m].sum())
        value = [*values[m, :n].tolist(), 0.0]
        surprise = [rewards[m, k].item() + gamma * value[k + 1] - value[k] for k in range(n)]
        for k in range(4):
            expected = sum((gamma * smoothing) ** (j - k) * surprise[j] for j in range(k, n)) if k < n else 0.0
            assert found[m, k].item() == pytest.approx(expected, abs=1e-9)


@given(seeds)
@settings(deadline=None)
def test_whitening(seed):
    _, _, mask, draw = batch(seed)
    found = o.whitened(torch.randn(3, 4, generator=draw, dtype=torch.float64), mask)
    own = found[mask]
    assert own.mean().item() == pytest.approx(0, abs=1e-6)
    if len(own) > 1:
        assert own.std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    assert (found[~mask] == 0).all()


@given(seeds, st.floats(0.05, 1))
@settings(deadline=None)
def test_the_clipped_loss_by_a_loop(seed, clip):
    _, _, mask, draw = batch(seed)
    new, old, gains = (torch.randn(3, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    terms = []
    for m in range(3):
        for k in range(4):
            if mask[m, k]:
                ratio, gain = math.exp((new[m, k] - old[m, k]).item()), gains[m, k].item()
                terms.append(min(ratio * gain, min(max(ratio, 1 - clip), 1 + clip) * gain))
    assert o.clipped_loss(new, old, gains, mask, clip).item() == pytest.approx(-sum(terms) / len(terms))


@given(seeds)
@settings(deadline=None)
def test_at_a_ratio_of_one_ppo_has_the_policy_gradient(seed):
    logits, tokens, mask, draw = batch(seed)
    gains = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    slopes = []
    for policy_gradient in (False, True):
        own = logits.clone().requires_grad_()
        now = own.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
        by_hand, clipped = -(gains * now)[mask].mean(), o.clipped_loss(now, now.detach(), gains, mask, 1.0)
        (by_hand if policy_gradient else clipped).backward()
        slopes.append(own.grad)
    torch.testing.assert_close(*slopes)


@given(seeds, st.floats(0.01, 2), st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)), st.integers(1, 5))
@settings(deadline=None)
def test_kto_by_a_loop(seed, beta, weights, n):
    draw = torch.Generator().manual_seed(seed)
    ratios, mismatched = (torch.randn(n, generator=draw, dtype=torch.float64) for _ in range(2))
    good = torch.rand(n, generator=draw) < 0.5
    drift = o.kto_drift(mismatched)
    kl = max(sum(mismatched.tolist()) / n, 0)
    assert drift.item() == pytest.approx(kl)
    terms = []
    for ratio, understood in zip(ratios.tolist(), good.tolist(), strict=True):
        if understood:
            terms.append(weights[0] * (1 - sigmoid(beta * (ratio - kl))))
        else:
            terms.append(weights[1] * (1 - sigmoid(beta * (kl - ratio))))
    assert o.kto_loss(ratios, drift, good, beta, weights).item() == pytest.approx(sum(terms) / n)


def test_kto_begins_at_a_half_and_its_kl_has_no_gradient():
    ratios = torch.zeros(3, requires_grad=True)
    loss = o.kto_loss(ratios, o.kto_drift(torch.zeros(3)), torch.tensor([True, False, True]), 0.1, (1.0, 1.0))
    assert loss.item() == 0.5
    mismatched = torch.ones(3, requires_grad=True)
    assert not o.kto_drift(mismatched).requires_grad
    assert o.kto_drift(torch.zeros(0)).item() == 0
    loss.backward()
    assert (ratios.grad.sign() == torch.tensor([-1.0, 1.0, -1.0])).all()  # good ones likelier, bad ones less


@given(seeds, st.floats(0.05, 0.99))
@settings(deadline=None)
def test_the_nucleus_is_the_smallest_set(seed, share):
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(seed))
    for row, kept in zip(logits.softmax(-1).tolist(), o.nucleus(logits, share).tolist(), strict=True):
        expected, total = set(), 0.0
        for i in sorted(range(9), key=lambda i: -row[i]):
            if total >= share - 1e-6 and abs(total - share) > 1e-5:
                break
            if total >= share:
                break
            expected.add(i)
            total += row[i]
        assert {i for i, k in enumerate(kept) if k} == expected


def test_a_nucleus_of_one_is_everything():
    assert o.nucleus(torch.tensor([50.0, 0.0, -50.0]), 1.0).all()


@given(seeds, st.integers(2, 4))
@settings(deadline=None)
def test_groups_by_a_loop(seed, size):
    draw = torch.Generator().manual_seed(seed)
    rewards = torch.randn(3 * size, generator=draw, dtype=torch.float64)
    groups = torch.arange(3 * size) // size
    order = torch.randperm(3 * size, generator=draw)
    rewards, groups = rewards[order], groups[order]
    others, within = o.leave_one_out(rewards, groups), o.within_group(rewards, groups)
    for i in range(3 * size):
        own = [rewards[j].item() for j in range(3 * size) if groups[j] == groups[i]]
        rest = [rewards[j].item() for j in range(3 * size) if groups[j] == groups[i] and j != i]
        assert others[i].item() == pytest.approx(rewards[i].item() - sum(rest) / len(rest))
        mean = sum(own) / size
        deviation = math.sqrt(sum((x - mean) ** 2 for x in own) / size)
        assert within[i].item() == pytest.approx((rewards[i].item() - mean) / (deviation + 1e-4))
