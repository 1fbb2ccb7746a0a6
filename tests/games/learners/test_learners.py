"""Every learner: one step from its formula, state on disk, and what several of them share."""

from itertools import pairwise

import pytest
import torch

from avshot.errors import BadSetting
from avshot.games.episode import Message
from avshot.games.judge import judge
from avshot.games.learners.learner import Rollouts, Said, log_ratios, padded
from avshot.games.named import build, build_source, names_in
from avshot.games.objectives import message_sums, token_log_probs
from avshot.games.rei import Rei

every_learner = pytest.mark.parametrize("name", names_in("learners"))
GAME = Rei(build_source("symbolic"), Rei.Config(differ=("shape", "material", "size")))


def rollouts(learner, number=0, rewards=None):
    """Three episodes with what the speaker says of them and what the colour-blind listener makes of it."""
    episodes = [e for e in GAME.draw(3, 0, start=3 * number) for _ in range(learner.messages)]
    sights = [GAME.speaker_sees(e) for e in episodes]
    messages = learner.speaker.say(sights, torch.Generator().manual_seed(number), learner.allowed())
    answers = build("listeners", "exact?ignores=color").answer([GAME.listener_sees(e) for e in episodes], messages)
    won = torch.tensor([GAME.reward(e, a) for e, a in zip(episodes, answers, strict=True)])
    won = won if rewards is None else torch.tensor(rewards)
    return Rollouts(sights, messages, won, won > 0, torch.arange(len(episodes)) // learner.messages)


def made(spec):
    return build("learners", spec, build("speakers", "words"))


def weights(learner):
    return torch.cat([value.flatten() for value in learner.speaker.copied().values()])


@every_learner
def test_an_update_changes_the_speaker_by_finite_numbers(name):
    learner = made(name)
    before = weights(learner)
    for number in range(3):
        numbers = learner.update(rollouts(learner, number))
        assert all(torch.isfinite(torch.tensor(value)) for value in numbers.values())
        assert "loss" in numbers
    assert (weights(learner) != before).any()
    assert weights(learner).isfinite().all()
    assert learner.updates == 3


@every_learner
def test_a_learner_goes_on_from_its_state_to_the_same_weights(name):
    through = made(name)
    for number in range(4):
        through.update(rollouts(through, number))
    first = made(name)
    for number in range(2):
        first.update(rollouts(first, number))
    state = {key: value.clone() for key, value in first.state().items()}
    again = made(name)
    again.load(state)
    assert again.updates == 2
    for number in range(2, 4):
        again.update(rollouts(again, number))
    assert torch.equal(weights(again), weights(through))


@every_learner
def test_what_won_becomes_likelier_and_what_lost_less(name):
    learner = made(name)
    given = rollouts(learner)
    wins = torch.arange(len(given.messages)) % 2 == 0
    given = Rollouts(given.sights, given.messages, wins.float() * 2 - 1, wins, given.groups)
    said = Said.of(learner.speaker, given.sights, given.messages)
    for _ in range(5):
        learner.update(given)
    with torch.no_grad():
        moved = log_ratios(learner.speaker, said, learner.first)
    assert moved[wins].mean() > moved[~wins].mean()


def test_the_first_step_of_kto_costs_a_half():
    learner = made("kto")
    numbers = learner.update(rollouts(learner))
    assert numbers == {"loss": 0.5, "drift": 0.0, "kl": 0.0}


def test_kto_by_hand_after_some_updates():
    """Loss of the fourth update, computed message by message from the formula."""
    learner = made("kto?beta=0.5&rate=0.01")
    for number in range(3):
        learner.update(rollouts(learner, number))
    given = rollouts(learner, 3)

    def log_ratio(sight, message):
        with torch.no_grad():
            now = token_log_probs(
                learner.speaker.step(learner.speaker.look([sight]), torch.tensor([message.tokens])).logits,
                torch.tensor([message.tokens]),
            ).sum()
            with learner.speaker.as_of(learner.first):
                first = token_log_probs(
                    learner.speaker.step(learner.speaker.look([sight]), torch.tensor([message.tokens])).logits,
                    torch.tensor([message.tokens]),
                ).sum()
        return float(now - first)

    n = len(given.messages)
    kl = max(sum(log_ratio(given.sights[i], given.messages[(i + 1) % n]) for i in range(n)) / n, 0)
    terms = []
    for sight, message, good in zip(given.sights, given.messages, given.good.tolist(), strict=True):
        margin = 0.5 * (log_ratio(sight, message) - kl) * (1 if good else -1)
        terms.append(1 - float(torch.sigmoid(torch.tensor(margin))))
    numbers = learner.update(given)
    assert numbers["loss"] == pytest.approx(sum(terms) / n, abs=1e-5)
    assert numbers["kl"] == pytest.approx(kl, abs=1e-5)


def test_a_batch_of_one_has_no_kl_and_one_of_one_sign_goes_on():
    learner = made("kto")
    learner.update(rollouts(learner, rewards=[1.0, 1.0, 1.0]))
    given = rollouts(learner, 1)
    one = Rollouts(given.sights[:1], given.messages[:1], given.rewards[:1], given.good[:1], given.groups[:1])
    assert learner.update(one)["kl"] == 0


def test_kto_learns_again_from_what_it_remembers():
    plain, replaying = made("kto"), made("kto?replay=4")
    for number in range(3):
        given = rollouts(plain, number)
        for learner in (plain, replaying):
            learner.update(given)
            learner.remember(given)
    assert (plain.remembers, replaying.remembers) == (False, True)
    assert (weights(plain) != weights(replaying)).any()


def test_nlpo_with_a_nucleus_of_one_is_ppo():
    ppo, nlpo = made("ppo"), made("nlpo?share=1")
    for number in range(3):
        assert ppo.update(rollouts(ppo, number)) == nlpo.update(rollouts(nlpo, number))
    assert torch.equal(weights(ppo), weights(nlpo))


def test_nlpo_says_only_what_is_in_the_nucleus_of_its_snapshot():
    learner = made("nlpo?share=0.5&refresh=2")
    sights = [GAME.speaker_sees(e) for e in GAME.draw(200, 0)]
    messages = learner.speaker.say(sights, torch.Generator().manual_seed(0), learner.allowed())
    said = Said.of(learner.speaker, sights, messages)
    with torch.no_grad():
        chances = said.step(learner.speaker).logits.softmax(-1)
    spoken = chances.gather(-1, said.tokens[..., None]).squeeze(-1)[said.mask]
    likelier = (chances > chances.gather(-1, said.tokens[..., None])).float()
    before = (chances * likelier).sum(-1)[said.mask]  # probability of all words likelier than the one that was said
    assert (before < 0.5).all()
    assert (spoken > 0).all()


def test_the_snapshot_is_taken_anew_every_so_many_updates():
    learner = made("nlpo?refresh=2&rate=0.01")
    snapshots = []
    for number in range(4):
        learner.update(rollouts(learner, number))
        snapshots.append({k: v.clone() for k, v in learner._snapshot.items()})
    same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in pairwise(snapshots)]
    assert same == [True, False, True]


def test_the_first_gradient_of_ppo_is_that_of_the_policy():
    """Ratio 1: the step of PPO's first epoch is minus A grad log pi, averaged over tokens."""
    learner = made("ppo?epochs=1&beta=0")
    given = rollouts(learner, rewards=[1.0, -1.0, 1.0])
    said = Said.of(learner.speaker, given.sights, given.messages)
    rewards = torch.zeros(said.mask.shape)
    for m, reward in enumerate([1.0, -1.0, 1.0]):
        n = int(said.mask[m].sum())
        for k in range(n):  # values are 0 at first, so an advantage is the discounted reward of the end
            rewards[m, k] = 0.95 ** (n - 1 - k) * reward
    own = rewards[said.mask]
    gains = (rewards - own.mean()) / (own.std(unbiased=False) + 1e-8) * said.mask
    loss = -(gains * said.log_probs(learner.speaker)).sum() / said.mask.sum()
    slopes = torch.autograd.grad(loss, list(learner.speaker.trained().values()))
    caught = []
    learner._step = lambda total: caught.append(torch.autograd.grad(total, list(learner.speaker.trained().values())))
    learner.update(given)
    for expected, found in zip(slopes, caught[0], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_reinforce_by_hand():
    learner = made("reinforce?beta=0.2&decay=0.5")
    usual, known = 0.0, 0.0
    for number in range(3):
        given = rollouts(learner, number)
        said = Said.of(learner.speaker, given.sights, given.messages)
        with torch.no_grad():
            now = message_sums(said.log_probs(learner.speaker), said.mask)
            drift = log_ratios(learner.speaker, said, learner.first)
        rewards = given.rewards - 0.2 * drift
        usual, known = 0.5 * usual + 0.5 * float(rewards.mean()), 0.5 * known + 0.5
        expected = -sum((r - usual / known) * p for r, p in zip(rewards.tolist(), now.tolist(), strict=True)) / 3
        assert learner.update(given)["loss"] == pytest.approx(expected, abs=1e-5)


def test_group_learners_compare_messages_about_one_episode():
    for name in ("rloo", "grpo"):
        learner = made(f"{name}?messages=2&beta=0")
        before = weights(learner)
        learner.update(rollouts(learner, rewards=[1.0, 1.0, -1.0, -1.0, 1.0, 1.0]))
        assert torch.equal(weights(learner), before)  # within each episode there is nothing to compare
        with pytest.raises(BadSetting, match=f"{name}: messages is 1; it compares at least 2"):
            made(f"{name}?messages=1")


def test_messages_are_padded_and_masked():
    tokens, mask = padded([Message("a", (3, 9)), Message("", (9,))], 9)
    assert tokens.tolist() == [[3, 9], [9, 9]]
    assert mask.tolist() == [[True, True], [True, False]]


LEARNING = [(name, seed) for name in ("kto", "reinforce") for seed in (0, 1, 2)]


def success(speaker, listener, game, n=1500):
    rounds = judge(game, game.draw(n, 0, "test"), speaker, build("listeners", listener))
    return sum(each.score for each in rounds) / n


def trained(spec, listener, game, seed, updates=600):
    learner = made(spec)
    other = build("listeners", listener)
    for number in range(updates):
        episodes = game.draw(3, seed, start=3 * number)
        sights = [game.speaker_sees(e) for e in episodes]
        messages = learner.speaker.say(sights, torch.Generator().manual_seed(seed * 1_000_003 + number))
        answers = other.answer([game.listener_sees(e) for e in episodes], messages)
        won = torch.tensor([game.reward(e, a) for e, a in zip(episodes, answers, strict=True)])
        learner.update(Rollouts(sights, messages, won, won > 0, torch.arange(3)))
    return learner.speaker


@pytest.mark.parametrize(("name", "seed"), LEARNING)
def test_a_speaker_learns_that_its_listener_is_colour_blind(name, seed):
    """Inventory 7.2: at most .65 before, at least .80 after 1800 interactions."""
    before = success(build("speakers", "words"), "exact?ignores=color", GAME)
    after = success(trained(name, "exact?ignores=color", GAME, seed), "exact?ignores=color", GAME)
    assert before <= 0.65
    assert after >= 0.80
