"""The equations of the learners, as functions of tensors.

Shapes: `[message]` and `[message, token]`; a mask is True at a message's own tokens, its end among them. phi of the
thesis is a ratio of probabilities, pi_new / pi_old of a token in PPO, pi / pi_0 of a whole message in KTO; here its
logarithm is taken. All losses are to be made small.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def token_log_probs(logits: Tensor, tokens: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Log-probability `[message, token]` of each token under logits `[message, token, word]`.

    Args:
        logits: See above.
        tokens: `[message, token]`.
        allowed: `[message, token, word]`: words that may be said; the others have no probability. A token that was said
            though it is not allowed now keeps a finite, very small probability.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min / 4)
    return logits.float().log_softmax(dim=-1).gather(-1, tokens[..., None]).squeeze(-1)


def message_sums(values: Tensor, mask: Tensor) -> Tensor:
    """Sum `[message]` of values `[message, token]` over each message's own tokens."""
    return (values * mask).sum(dim=1)


def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values `[message, token]` over all messages' own tokens."""
    return (values * mask).sum() / mask.sum()


def shaped_rewards(rewards: Tensor, log_probs: Tensor, reference: Tensor, mask: Tensor, beta: float) -> Tensor:
    """Reward `[message, token]` of each token: minus beta times its drift, and what was won at the last one.

    Thesis, equation 7.2, which subtracts beta KL but defines that KL as log pi_0 - log pi: as printed it would pay for
    drift. Here the drift is log pi - log pi_0, as in the papers it follows.

    Args:
        rewards: `[message]`.
        log_probs: Of the policy that spoke, `[message, token]`.
        reference: Of the first policy pi_0.
        mask: See above.
        beta: Weight of the drift.
    """
    shaped = -beta * (log_probs - reference) * mask
    last = mask.sum(dim=1) - 1
    return shaped.index_put((torch.arange(len(rewards)), last), rewards.to(shaped.dtype), accumulate=True)


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, smoothing: float) -> Tensor:
    """Generalised advantage estimates `[message, token]` (Schulman et al. 2016, equation 16); 0 outside of messages.

    Args:
        rewards: Of each token.
        values: What was expected at each token, before it was said.
        mask: See above.
        gamma: Discount of a token.
        smoothing: Lambda: 0 looks one token ahead, 1 to the end.
    """
    rewards, values = rewards * mask, values * mask
    following = torch.nn.functional.pad(values[:, 1:], (0, 1))
    steps = (rewards + gamma * following - values) * mask
    found = torch.zeros_like(steps)
    ahead = torch.zeros_like(steps[:, 0])
    for k in reversed(range(steps.shape[1])):
        ahead = steps[:, k] + gamma * smoothing * ahead
        found[:, k] = ahead
    return found * mask


def whitened(values: Tensor, mask: Tensor) -> Tensor:
    """Values at mean 0 and deviation 1 over all messages' own tokens; 0 elsewhere and where there is one token."""
    mean = token_mean(values, mask)
    deviation = token_mean((values - mean) ** 2, mask).sqrt()
    return (values - mean) / (deviation + 1e-8) * mask


def clipped_loss(new: Tensor, old: Tensor, gains: Tensor, mask: Tensor, clip: float) -> Tensor:
    """PPO (thesis, equation 7.1): minus the mean over tokens of min(phi A, clip(phi, 1 - clip, 1 + clip) A).

    The thesis prints it as a loss, without the minus.

    Args:
        new: Log-probabilities `[message, token]`, with gradient.
        old: Those of the policy that spoke.
        gains: Advantages A.
        mask: See above.
        clip: How far the ratio may go from 1; 1 in the thesis, so that it lies in [0, 2].
    """
    ratio = ((new - old) * mask).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -token_mean(torch.minimum(ratio * gains, bounded * gains), mask)


def kto_drift(mismatched: Tensor) -> Tensor:
    """The KL of KTO: mean log-ratio of messages under *another* episode's sight, at least 0, without gradient.

    Args:
        mismatched: Log phi `[message]` of message i + 1 under sight i; empty for a batch of one, which has a KL of 0.
    """
    return mismatched.detach().mean().clamp(min=0) if len(mismatched) else torch.zeros(())


def kto_loss(log_ratios: Tensor, drift: Tensor, good: Tensor, beta: float, weights: Sequence[float]) -> Tensor:
    """KTO (thesis, equations 7.3 and 7.4; Ethayarajh et al. 2024, equation 8): mean over messages.

    lambda+ (1 - sigmoid(beta (log phi - KL))) for good ones, lambda- (1 - sigmoid(beta (KL - log phi))) for bad ones.
    At the first step, where log phi and KL are 0, it is half of the mean weight.

    Args:
        log_ratios: Log phi `[message]`, with gradient.
        drift: From `kto_drift`.
        good: Whether each was understood, `[message]`.
        beta: Steepness.
        weights: lambda+ and lambda-.
    """
    margin = beta * torch.where(good, log_ratios - drift, drift - log_ratios)
    weight = torch.where(good, weights[0], weights[1])
    return (weight * (1 - margin.sigmoid())).mean()


def nucleus(logits: Tensor, share: float) -> Tensor:
    """Words `[..., word]` of the smallest set whose probability is at least `share`; all where `share` is 1."""
    if share >= 1:
        return torch.ones_like(logits, dtype=torch.bool)
    chances, order = logits.float().softmax(dim=-1).sort(dim=-1, descending=True)
    before = chances.cumsum(dim=-1) - chances
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before < share)


def leave_one_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """Reward `[message]` less the mean of the other messages about the same episode (RLOO, Ahmadian et al. 2024)."""
    sums, counts = _by_group(rewards, groups)
    return rewards - (sums - rewards) / (counts - 1)


def within_group(rewards: Tensor, groups: Tensor) -> Tensor:
    """Reward `[message]` less its group's mean, over its deviation (GRPO, Shao et al. 2024); 0 where all are equal."""
    sums, counts = _by_group(rewards, groups)
    centred = rewards - sums / counts
    squares, _ = _by_group(centred**2, groups)
    return centred / ((squares / counts).sqrt() + 1e-4)


def _by_group(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of each message's group, and how many there are in it."""
    same = (groups[:, None] == groups[None]).to(values.dtype)
    return same @ values, same.sum(1)
