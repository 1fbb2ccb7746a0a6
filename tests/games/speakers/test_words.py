"""The small speaker: what it was taught, how it draws words, and its earlier selves."""

import math

import pytest
import torch

from avshot.errors import BadSetting
from avshot.games.judge import drift, judge
from avshot.games.limits import perfect_success
from avshot.games.measures import measure
from avshot.games.named import build, build_source
from avshot.games.rei import Rei
from avshot.games.res import Res
from avshot.games.scene import KINDS, telling

GAME = Rei(build_source("symbolic"))


def test_it_names_what_tells_and_prefers_colours():
    speaker, episodes = build("speakers", "words"), GAME.draw(600, 0, "test")
    rounds = judge(GAME, episodes, speaker, build("listeners", "exact"), generator=torch.Generator().manual_seed(0))
    found = measure(rounds)
    assert found["score"] > perfect_success(KINDS) - 0.04
    assert 0.8 < found["colours"] < 0.97
    assert 1.1 < found["words"] < 1.5
    true = 0
    for episode, each in zip(episodes, rounds, strict=True):
        target, other = episode.items[episode.target], episode.items[1 - episode.target]
        words = telling(target.things, other.things)
        true += not words or set(each.message.split()) <= set(words)
    assert true / len(rounds) > 0.95


def test_it_describes_one_thing_among_others():
    game = Res(build_source("rendered?width=64&height=48"))
    rounds = judge(game, game.draw(60, 0), build("speakers", "words"), build("listeners", "exact"))
    silent = judge(game, game.draw(60, 0), build("speakers", "silent"), build("listeners", "exact"))
    assert measure(rounds)["score"] > measure(silent)["score"] + 0.2


def test_words_are_drawn_with_the_probabilities_of_the_policy():
    speaker = build("speakers", "words")
    (episode,) = GAME.draw(1, 3)
    sight = GAME.speaker_sees(episode)
    first = speaker.step(speaker.look([sight]), torch.zeros(1, 1, dtype=torch.long)).logits[0, 0].softmax(-1)
    said = speaker.say([sight] * 3000, torch.Generator().manual_seed(0))
    for token in range(16):
        p = first[token].item()
        share = sum(message.tokens[0] == token for message in said) / 3000
        assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 3000) + 1e-3)
    likeliest = speaker.say([sight])[0]
    assert likeliest.tokens[0] == int(first.argmax())
    assert likeliest == speaker.say([sight])[0]


def test_a_message_ends_with_its_end_or_is_cut_off():
    speaker = build("speakers", "words?longest=2")
    sights = [GAME.speaker_sees(e) for e in GAME.draw(200, 0)]
    messages = speaker.say(sights, torch.Generator().manual_seed(1))
    for message in messages:
        assert 1 <= len(message.tokens) <= 2
        assert speaker.end not in message.tokens[:-1]
        assert len(message.words) == len(message.tokens) - (message.tokens[-1] == speaker.end)
    assert any(message.tokens[-1] != speaker.end for message in messages)


def test_a_token_depends_on_what_was_said_before_alone():
    speaker = build("speakers", "words")
    context = speaker.look([GAME.speaker_sees(GAME.draw(1, 0)[0])])
    first, second = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 9, 15]])
    a, b = (speaker.step(context, tokens).logits for tokens in (first, second))
    assert torch.equal(a[:, :2], b[:, :2])
    assert not torch.equal(a[:, 2], b[:, 2])


def test_an_earlier_self_speaks_in_the_block_and_gradients_stay_right():
    speaker = build("speakers", "words")
    sights = [GAME.speaker_sees(e) for e in GAME.draw(4, 0)]
    context, tokens = speaker.look(sights), torch.zeros(4, 1, dtype=torch.long)
    first = speaker.copied()
    at_first = speaker.step(context, tokens).logits.detach()
    with torch.no_grad():
        for each in speaker.trained().values():
            each.add_(0.1)
    now = speaker.step(context, tokens).logits
    expected = torch.autograd.grad(now.square().sum(), list(speaker.trained().values()), retain_graph=True)
    with speaker.as_of(first):
        assert torch.equal(speaker.step(context, tokens).logits, at_first)
        assert not speaker.step(context, tokens).logits.requires_grad
    found = torch.autograd.grad(now.square().sum(), list(speaker.trained().values()))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert torch.equal(speaker.step(context, tokens).logits, now)


def test_drift_is_the_kl_of_the_first_message_distribution():
    """Messages of one token: the KL is a sum over 16 words."""
    speaker = build("speakers", "words?longest=2")
    speaker.longest = 1
    first = speaker.copied()
    with torch.no_grad():
        for each in speaker.trained().values():
            each.add_(0.15 * torch.randn(each.shape, generator=torch.Generator().manual_seed(0)))
    episodes = GAME.draw(2000, 0)
    context = speaker.look([GAME.speaker_sees(e) for e in episodes])
    tokens = torch.zeros(2000, 1, dtype=torch.long)
    with torch.no_grad():
        now = speaker.step(context, tokens).logits[:, 0].log_softmax(-1)
        with speaker.as_of(first):
            then = speaker.step(context, tokens).logits[:, 0].log_softmax(-1)
    exact = (now.exp() * (now - then)).sum(1).mean().item()
    assert drift(GAME, episodes, speaker, first, seed=0) == pytest.approx(exact, rel=0.15, abs=0.02)
    assert drift(GAME, episodes[:100], speaker, speaker.copied(), seed=0) == 0


def test_settings_that_cannot_be():
    with pytest.raises(BadSetting, match="longest at least 2"):
        build("speakers", "words?longest=1")
