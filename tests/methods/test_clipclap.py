"""ClipClap: loss terms against loops over the formulas, and released weights against a naive model."""

import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method, get_method, load_official
from avshot.types import Batch, Classes, Features
from passed import passing
from shaken import shaken

INPUTS = Inputs(audio=10, visual=6, text={"clip": 6, "clap": 10})
SMALL = {"width": 9, "hidden": 11, "dim_out": 5}


def make_classes(count=4, widths=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    text = {
        name: torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)
        for name, width in (widths or INPUTS.text).items()
    }
    return Classes(tuple(f"c{i}" for i in range(count)), text, torch.ones(count, dtype=torch.bool))


def make_batch(size=7, seed=1, classes=None):
    generator = torch.Generator().manual_seed(seed)
    features = Features.averaged(torch.randn(size, 10, generator=generator), torch.randn(size, 6, generator=generator))
    return Batch(features, torch.arange(size) % 4, classes or make_classes())


def small(inputs=INPUTS, **overrides):
    torch.manual_seed(0)
    return shaken(create_method("clipclap", inputs, preset="ucf-cls", **(SMALL | overrides)))


def squared(left, right):
    pairs = [(float(x), float(y)) for p, q in zip(left, right, strict=True) for x, y in zip(p, q, strict=True)]
    return sum((x - y) ** 2 for x, y in pairs) / len(pairs)


def cross_entropy(theta_o, theta_w, labels):
    total = 0.0
    for clip, label in zip(theta_o.tolist(), labels.tolist(), strict=True):
        scores = [sum(x * y for x, y in zip(clip, row, strict=True)) for row in theta_w.tolist()]
        total -= math.log(math.exp(scores[label]) / sum(math.exp(s) for s in scores))
    return total / len(labels)


def pieces(model, batch):
    """theta_o, w, theta_w of the clips' words, theta_w of the classes, rho_o, rho_w, layer by layer."""
    text = torch.cat([batch.classes.text["clip"], batch.classes.text["clap"]], dim=1)
    joined = torch.cat([batch.features.visual[:, 0], batch.features.audio[:, 0]], dim=1)
    theta_o = model.clip_projection(model.clip_encoder(joined))
    w_all = model.text_encoder(text)
    theta_all = model.text_projection(w_all)
    w, theta_w = w_all[batch.labels], theta_all[batch.labels]
    return theta_o, w, theta_w, theta_all, model.clip_decoder(theta_o), model.text_decoder(theta_w)


@torch.no_grad()
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.0, 2.0, 0.5)])
def test_loss_terms_equal_the_theses_equations(weights):
    names = ("cross_entropy", "regression", "reconstruction")
    model, batch = small(**dict(zip(names, weights, strict=True))), make_batch()
    theta_o, w, theta_w, theta_all, rho_o, rho_w = pieces(model, batch)
    expected = {
        "cross_entropy": weights[0] * cross_entropy(theta_o, theta_all, batch.labels),
        "regression": weights[1] * squared(theta_o, theta_w),
        "reconstruction": weights[2] * (squared(rho_o, w) + squared(rho_w, w)),
    }
    got = {name: float(value) for name, value in model.loss(batch).items()}
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert expected["regression"] > 0.01


def test_the_target_of_the_reconstruction_carries_a_gradient_as_in_the_code_unless_told_otherwise():
    # With zero decoders, the target is all that can move: its gradient is that of 2 * mean(w ** 2).
    gradients = {}
    for detach in (False, True):
        model, batch = small(detach_target=detach), make_batch()
        for decoder in (model.clip_decoder, model.text_decoder):
            for parameter in decoder.parameters():
                parameter.data.zero_()
        term = model.loss(batch)["reconstruction"]
        w = model.text_encoder(model.join_text(batch.classes)[batch.labels])
        assert term.item() == pytest.approx(2 * w.square().mean().item(), rel=1e-5)
        weight = model.text_encoder.fc[0].weight
        gradients[detach] = torch.autograd.grad(term, weight, retain_graph=True)[0]
        wanted = torch.autograd.grad(2 * w.square().mean(), weight)[0]
        torch.testing.assert_close(gradients[detach], torch.zeros_like(wanted) if detach else wanted)
    assert gradients[False].abs().sum() > 0


@torch.no_grad()
def test_words_of_clips_and_classes_have_batch_statistics_of_their_own():
    batch = make_batch()  # classes 0, 1 and 2 come twice: other statistics than those of the list of classes
    terms = {}
    for apart in (True, False):
        model = small(project_per_clip=apart, dropout=0.0).train()
        text = model.join_text(batch.classes)
        theta_o = model.embed(batch.features)[0]
        words = model.embed_classes(batch.classes)[batch.labels]
        if apart:
            words = model.text_projection(model.text_encoder(text[batch.labels]))
        terms[apart] = model.loss(batch)["regression"].item()
        assert terms[apart] == pytest.approx(squared(theta_o, words), rel=1e-4)
    assert terms[True] != pytest.approx(terms[False], rel=1e-3)


@torch.no_grad()
def test_score_is_the_negative_distance_in_the_common_space():
    model, batch = small(), make_batch()
    theta_o, _, _, theta_all, _, _ = pieces(model, batch)
    expected = torch.tensor([[-math.dist(o, w) for w in theta_all.tolist()] for o in theta_o.tolist()])
    torch.testing.assert_close(model.score(batch.features, batch.classes), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("changes", "clip", "entries"),
    [
        ({}, ("visual", "audio"), ("clip", "clap")),
        ({"modality": "audio"}, ("audio",), ("clap",)),  # thesis Table 5.3
        ({"modality": "visual"}, ("visual",), ("clip",)),
        ({"text": "audio"}, ("visual", "audio"), ("clap",)),  # thesis Table 5.2
        ({"text": "visual"}, ("visual", "audio"), ("clip",)),
        ({"modality": "audio", "text": "audio"}, ("audio",), ("clap",)),
    ],
)
def test_a_modality_takes_its_text_along_and_a_text_can_be_left_out_alone(changes, clip, entries):
    model, batch, widths = small(**changes), make_batch(), {"visual": 6, "audio": 10, "clip": 6, "clap": 10}
    assert model.clip_encoder.fc[0].in_features == sum(widths[side] for side in clip)
    assert model.text_encoder.fc[0].in_features == sum(widths[entry] for entry in entries)
    joined = torch.cat([getattr(batch.features, side)[:, 0] for side in clip], dim=1)
    text = torch.cat([batch.classes.text[entry] for entry in entries], dim=1)
    theta_o = model.clip_projection(model.clip_encoder(joined))
    theta_w = model.text_projection(model.text_encoder(text))
    torch.testing.assert_close(model.score(batch.features, batch.classes), -torch.cdist(theta_o, theta_w))


def test_settings_that_do_not_exist_or_contradict_are_refused():
    with pytest.raises(ValueError, match="modality is 'video'; expected one of both, audio, visual"):
        small(modality="video")
    with pytest.raises(ValueError, match="text is 'clip'; expected one of both, audio, visual"):
        small(text="clip")
    with pytest.raises(ValueError, match="modality 'audio' is matched to its own text; text is 'visual'"):
        small(modality="audio", text="visual")


@torch.no_grad()
def test_one_text_encoder_serves_too_and_the_order_of_two_does_not_matter():
    batch = make_batch()
    alone = small(Inputs(10, 6, {"words": 8}), modality="audio")
    words = make_classes(widths={"words": 8})
    assert alone.score(batch.features, words).shape == (7, 4)
    turned = batch.classes.with_text(dict(reversed(batch.classes.text.items())))
    assert list(turned.text) == ["clap", "clip"]
    assert torch.equal(small().score(batch.features, turned), small().score(batch.features, batch.classes))


def test_a_missing_modality_enters_as_zeros_and_a_clip_with_nothing_not_at_all():
    model, batch = small(dropout=0.0), make_batch()
    silent = batch.features.only("visual")
    zeros = Features.averaged(torch.zeros(7, 10), batch.features.visual[:, 0])
    with torch.no_grad():
        assert torch.equal(model.score(silent, batch.classes), model.score(zeros, batch.classes))

    # In training, the first clip has neither modality: the rest gives the same terms without it.
    features = Features.cat([batch.features[:1].only("visual").only("audio"), batch.features[1:]])
    for train in (False, True):
        gone = (
            small(dropout=0.0, project_per_clip=False).train(train).loss(Batch(features, batch.labels, batch.classes))
        )
        model = small(dropout=0.0, project_per_clip=False).train(train)
        rest = model.loss(Batch(batch.features[1:], batch.labels[1:], batch.classes))
        for name in ("cross_entropy", "regression"):
            assert gone[name].item() == pytest.approx(rest[name].item(), rel=1e-4)


def test_the_released_step_passes_each_batch_once_more():
    batch, found = make_batch(), {}
    for unread in (False, True):
        model = small(unread_passes=unread, dropout=0.0).train()
        with passing(model.clip_projection.fc[1]) as clips, passing(model.text_encoder.fc[1]) as words:
            model.loss(batch)
        found[unread] = (clips, words)
    assert [len(part) for part in found[False]] == [1, 2]
    clips, words = found[True]
    torch.testing.assert_close(clips[1], clips[0])
    assert [len(part) for part in words] == [4, 7, 7]  # all classes, the words of the clips, and these once more
    torch.testing.assert_close(words[2], words[1])


def test_published_presets_hold_the_published_values():
    presets = get_method("clipclap").presets
    found = {name: (p.recipe.epochs, p.recipe.lr) for name, p in presets.items() if name != "default"}
    assert found == {"ucf-cls": (20, 7e-5), "activitynet-cls": (15, 1e-4), "vggsound-cls": (15, 1e-4)}
    for name in found:
        config, recipe = presets[name].config, presets[name].recipe
        assert (recipe.batches_per_epoch, recipe.batch_size, recipe.weight_decay) == (300, 64, 1e-5)
        assert (recipe.schedule, presets[name].selection.beta_grid) == ("plateau", "clipclap")
        assert (config.width, config.hidden, config.dim_out, config.dropout) == (512, 512, 64, 0.1)


# --- released weights ------------------------------------------------------------------------------------------------

LAYERS = {"O_enc": 1, "W_enc": 1, "O_proj": 2, "D_o": 2, "W_proj": 1, "D_w": 1}


def official_state_dict(clip=1536, text=1536):
    """Random tensors of the names and shapes of a released ClipClap checkpoint."""
    generator = torch.Generator().manual_seed(3)
    sizes = {
        "O_enc": (clip, 512), "W_enc": (text, 512), "O_proj": (512, 512, 64), "D_o": (64, 512, 512),
        "W_proj": (512, 64), "D_w": (64, 512),
    }  # fmt: skip
    tensors = {}

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    for name, widths in sizes.items():
        for i in range(len(widths) - 1):
            linear, norm = f"{name}.fc.{4 * i}", f"{name}.fc.{4 * i + 1}"
            tensors[f"{linear}.weight"] = draw(widths[i + 1], widths[i]) / widths[i] ** 0.5
            tensors[f"{linear}.bias"] = 0.1 * draw(widths[i + 1])
            tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = (
                1 + 0.2 * draw(widths[i + 1]),
                0.3 * draw(widths[i + 1]),
            )
            tensors[f"{norm}.running_mean"] = 0.2 * draw(widths[i + 1])
            tensors[f"{norm}.running_var"] = 0.5 + torch.rand(widths[i + 1], generator=generator)
            tensors[f"{norm}.num_batches_tracked"] = torch.tensor(6000)
    return tensors


def naive_distances(tensors, clip, text):
    """The released model in eval mode, with plain matrix products in double precision."""
    t = {key: value.double() for key, value in tensors.items()}

    def net(name, x):
        for i in range(LAYERS[name]):
            x = x @ t[f"{name}.fc.{4 * i}.weight"].T + t[f"{name}.fc.{4 * i}.bias"]
            bn = f"{name}.fc.{4 * i + 1}"
            x = (x - t[f"{bn}.running_mean"]) / (t[f"{bn}.running_var"] + 1e-5).sqrt()
            x = (x * t[f"{bn}.weight"] + t[f"{bn}.bias"]).clamp(min=0)
        return x

    theta_o, theta_w = net("O_proj", net("O_enc", clip.double())), net("W_proj", net("W_enc", text.double()))
    return torch.stack([(theta_o - row).square().sum(dim=1).sqrt() for row in theta_w], dim=1)


@torch.no_grad()
@pytest.mark.parametrize(("clip", "text"), [(1536, 1536), (512, 512), (1024, 1024), (1536, 512), (1536, 1024)], ids=str)
def test_released_weights_give_the_authors_distances(clip, text):
    tensors = official_state_dict(clip, text)
    model = load_official("clipclap", tensors)
    assert not model.training
    generator = torch.Generator().manual_seed(5)
    visual, audio = (torch.nn.functional.normalize(torch.randn(6, n, generator=generator)) for n in (512, 1024))
    classes = make_classes(count=7, widths={"clip": 512, "clap": 1024})
    parts = {1536: (visual, audio), 512: (visual,), 1024: (audio,)}[clip]
    words = {1536: ("clip", "clap"), 512: ("clip",), 1024: ("clap",)}[text]
    expected = naive_distances(
        tensors, torch.cat(parts, dim=1), torch.cat([classes.text[name] for name in words], dim=1)
    )
    scores = model.score(Features.averaged(audio, visual), classes)
    torch.testing.assert_close(-scores, expected.float(), atol=1e-4, rtol=0)
    assert expected.std() > 0.01


def test_released_weights_have_the_documented_size():
    tensors = official_state_dict()
    assert len(tensors) == 56
    inputs = Inputs(audio=1024, visual=512, text={"clip": 512, "clap": 1024})
    for model in (load_official("clipclap", tensors), create_method("clipclap", inputs, preset="vggsound-cls")):
        assert sum(parameter.numel() for parameter in model.parameters()) == 2_237_824
        assert len(model.state_dict()) == 56


def test_released_weights_that_do_not_fit_are_refused():
    tensors = official_state_dict()
    for name in ("D_w.fc.0.bias", "O_enc.fc.0.weight", "W_enc.fc.0.weight", "O_proj.fc.4.weight"):
        less = {key: value for key, value in tensors.items() if key != name}
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            load_official("clipclap", less)
    with pytest.raises(ValueError, match="missing nothing; unexpected 'extra'"):
        load_official("clipclap", tensors | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"W_proj\.fc\.0\.bias.*expected \(64,\)"):
        load_official("clipclap", tensors | {"W_proj.fc.0.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"O_enc\.fc\.0\.weight' takes 300 numbers; expected 1536"):
        load_official("clipclap", tensors | {"O_enc.fc.0.weight": torch.zeros(512, 300)})
    with pytest.raises(ValueError, match=r"O_proj\.fc\.0\.weight' has shape \(512,\); expected \[out, in\]"):
        load_official("clipclap", tensors | {"O_proj.fc.0.weight": torch.zeros(512)})
    assert load_official("clipclap", tensors, dropout=0.3).config.dropout == 0.3
