"""MBT: the two transformers against loops, and that they exchange through the bottleneck alone."""

import pytest
import torch

from few_shot_clips import LENGTHS, TOKENS, small, some_features, with_other


def made(**fields):
    return small("mbt", **(TOKENS | {"layers": 4, "exchange": 2, "bottlenecks": 3} | fields))


def naive_tokens(model, features):
    """Class tokens of one clip, layer by layer without padding; layers are the model's own."""
    fusion, config = model.fusion, model.config
    audio, visual, _ = fusion.steps(features)
    streams = {
        name: torch.cat([fusion.class_tokens[side : side + 1], rows])
        for side, (name, rows) in enumerate((("audio", audio), ("visual", visual)))
    }
    there = {name for name, rows in (("audio", audio), ("visual", visual)) if len(rows)}
    bottleneck = fusion.bottlenecks
    for number in range(config.layers):
        written = []
        for name in streams:
            layer, x = fusion.layers[name][number], streams[name]
            if number < config.layers - config.exchange:
                streams[name] = layer(x[None])[0]
                continue
            out = layer(torch.cat([bottleneck, x])[None])[0]
            streams[name] = out[len(bottleneck) :]
            if name in there:
                written.append(out[: len(bottleneck)])
        if written:
            bottleneck = sum(written) / len(written)
    return {name: streams[name][0] for name in there}


@torch.no_grad()
def test_class_tokens_and_logits_against_a_loop():
    model, features = made(), some_features()
    tokens, there = model.fusion(features)
    scores = model.logits(features)
    for i, (a, v) in enumerate(LENGTHS):
        own = naive_tokens(model, features[i])
        assert there[i].tolist() == [a > 0, v > 0]
        logits = []
        for side, name in enumerate(("audio", "visual")):
            if name in own:
                torch.testing.assert_close(tokens[i, side], own[name], atol=1e-5, rtol=1e-4)
                logits.append(model.head(model.project_output(own[name][None]))[0])
        torch.testing.assert_close(scores[i], sum(logits) / len(logits), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_modalities_exchange_through_the_bottleneck_alone():
    features = some_features([(6, 5)] * 3)
    other = with_other(features, "visual")
    model = made()
    before, after = (model.fusion(clips)[0] for clips in (features, other))
    assert not torch.isclose(before[:, 0], after[:, 0]).all(dim=1).any()  # the picture reaches the sound ...
    for layer in (2, 3):  # ... but not when nothing that picture wrote is kept
        hook = model.fusion.layers["visual"][layer].register_forward_hook(
            lambda m, args, out: torch.cat([torch.zeros_like(out[:, :3]), out[:, 3:]], dim=1)
        )
        model.fusion(features)
        if layer == 3:
            break
        cut = [model.fusion(clips)[0] for clips in (features, other)]
        assert torch.equal(cut[0][:, 0], cut[1][:, 0])
        assert not torch.isclose(cut[0][:, 1], cut[1][:, 1]).all(dim=1).any()
        hook.remove()


@torch.no_grad()
def test_nothing_crosses_before_the_second_layer_of_exchange():
    """What a modality writes in the first of them is read in the next."""
    features = some_features([(6, 5)] * 3)
    model, heard = made(), []
    for layer in model.fusion.layers["audio"]:
        layer.register_forward_hook(lambda m, args, out: heard.append(out))
    for clips in (features, with_other(features, "visual")):
        model.fusion(clips)
    for number in (0, 1, 2):
        assert torch.equal(heard[number], heard[4 + number])
    assert not torch.isclose(heard[3], heard[7]).all()


@torch.no_grad()
def test_a_clip_with_nothing_has_the_score_of_its_biases():
    model = made()
    scores = model.logits(some_features([(0, 0), (2, 2)]))
    assert torch.equal(scores[0], model.head.bias)
    assert not torch.isclose(scores[1], scores[0]).all()


def test_errors_say_what_is_wrong():
    for exchange in (0, 1, 5):
        with pytest.raises(ValueError, match=rf"exchange is {exchange}; expected 2 to layers = 4"):
            made(exchange=exchange)
    with pytest.raises(ValueError, match="bottlenecks is 0"):
        made(bottlenecks=0)
