"""AVCA: loss terms against the formulas written out row by row, and released weights against a naive model."""

import itertools
import math
from pathlib import Path

import pytest
import torch

import avshot.methods.avca as avca
from avshot.method import Inputs
from avshot.registry import create_method, load_official
from avshot.types import Batch, Classes, Features
from passed import passing
from shaken import shaken

INPUTS = Inputs(audio=10, visual=12, text={"w2v": 8})
SMALL = {"hidden": 16, "width": 12, "embedding": 6, "heads": 2, "head_dim": 5, "feedforward": 7}


def make_classes(count=5, dim=8, seed=0):
    text = torch.nn.functional.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)
    return Classes(tuple(f"c{i}" for i in range(count)), {"w2v": text}, torch.ones(count, dtype=torch.bool))


def make_batch(size=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    classes = make_classes()

    def clips(labels):
        audio = torch.randn(size, 10, generator=generator)
        return Batch(Features.averaged(audio, torch.randn(size, 12, generator=generator)), labels, classes)

    labels = torch.arange(size) % 5
    other = clips((labels + 2) % 5)
    positive = clips(labels)
    return Batch(positive.features, labels, classes, negative=other)


def small(**overrides):
    torch.manual_seed(0)
    return shaken(create_method("avca", INPUTS, preset="ucf-main", **(SMALL | overrides)))


def distance(x, y):
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True)))


def triplet(anchor, positive, negative):
    return sum(
        max(0.0, distance(a, p) - distance(a, n) + 1.0) for a, p, n in zip(anchor, positive, negative, strict=True)
    ) / len(anchor)


def squared(left, right):
    pairs = [(float(x), float(y)) for p, q in zip(left, right, strict=True) for x, y in zip(p, q, strict=True)]
    return sum((x - y) ** 2 for x, y in pairs) / len(pairs)


def embedded(model, batch):
    phi_a, phi_v, theta_a, theta_v = model.net.embed(batch.features)
    w = batch.classes.text["w2v"][batch.labels]
    theta_w = model.net.word_projection(w)
    rho_a, rho_v, rho_w = (model.net.decoder(theta) for theta in (theta_a, theta_v, theta_w))
    return phi_a, phi_v, theta_a, theta_v, w, theta_w, rho_a, rho_v, rho_w


@torch.no_grad()
def test_loss_terms_equal_the_papers_equations():
    model, batch = small(), make_batch()
    phi_a, phi_v, a, v, w, t, rho_a, rho_v, rho_w = embedded(model, batch)
    _, _, a_, v_, _, t_, rho_a_, rho_v_, _ = embedded(model, batch.negative)
    back_a, back_v = model.net.audio_reconstruction(a), model.net.visual_reconstruction(v)
    expected = {
        "triplet": triplet(a, t, a_) + triplet(v, t, v_) + triplet(t, a, t_) + triplet(t, v, t_),
        "reconstruction": squared(rho_a, w) + squared(rho_v, w) + squared(rho_w, w),
        "decoded_triplet": triplet(rho_w, rho_a, rho_a_) + triplet(rho_w, rho_v, rho_v_),
        "word_triplet": triplet(t, a, a_) + triplet(t, v, v_) + triplet(a, t, t_) + triplet(v, t, t_),
        "regularisation": squared(back_v, phi_v) + squared(back_a, phi_a) + squared(v, t) + squared(a, t),
    }
    got = {name: float(value) for name, value in model.loss(batch).items()}
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-4)


@torch.no_grad()
def test_a_missing_modality_drops_out_of_the_loss_and_of_the_score():
    model, batch = small(), make_batch()
    silent = Batch(batch.features.only("visual"), batch.labels, batch.classes, batch.negative)
    _, _, _, v, w, t, _, rho_v, rho_w = embedded(model, silent)
    *_, t_, _, rho_v_, _ = embedded(model, batch.negative)
    v_ = embedded(model, batch.negative)[3]
    terms = model.loss(silent)
    assert float(terms["triplet"]) == pytest.approx(triplet(v, t, v_) + triplet(t, v, t_), rel=1e-4)
    assert float(terms["reconstruction"]) == pytest.approx(squared(rho_v, w) + squared(rho_w, w), rel=1e-4)
    assert float(terms["decoded_triplet"]) == pytest.approx(triplet(rho_w, rho_v, rho_v_), rel=1e-4)

    features = batch.features
    other_audio = Features.averaged(features.audio[:, 0] + 3, features.visual[:, 0]).only("visual")
    assert torch.equal(model.score(other_audio, batch.classes), model.score(features.only("visual"), batch.classes))
    heard = model.score(features.only("audio"), batch.classes)
    theta_a = model.net.embed(features.only("audio"))[2]
    torch.testing.assert_close(heard, -torch.cdist(theta_a, model.net.word_projection(batch.classes.text["w2v"])))
    assert not torch.allclose(heard, model.score(features, batch.classes))


def test_position_vectors_are_trained_only_when_asked():
    assert "net.position" not in dict(small().named_parameters())
    assert "net.position" in small().state_dict()
    assert "net.position" in dict(small(train_positions=True).named_parameters())


@torch.no_grad()
def test_paper_variants_change_the_block():
    features, classes = make_batch().features, make_classes()
    released = small().score(features, classes)
    assert not torch.allclose(small(norm_first=False).score(features, classes), released)
    assert len(small(share_feedforward=False).net.blocks[0].feedforward) == 2
    assert small(share_feedforward=False, norm_first=False).score(features, classes).isfinite().all()


def test_batch_without_negatives_is_refused():
    batch = make_batch()
    with pytest.raises(ValueError, match="negative"):
        small().loss(Batch(batch.features, batch.labels, batch.classes))


def test_published_presets_hold_the_published_values():
    rates = {
        name: (c.dropout_encoder, c.dropout_projection, c.dropout_decoder, p.recipe.batch_size, c.momentum)
        for name, p in avca.AVCA.presets.items()
        for c in [p.config]
    }
    assert rates["ucf-main"] == (0.2, 0.3, 0.5, 256, 0.1)
    assert rates["ucf-cls"] == (0.2, 0.3, 0.5, 256, 0.99)
    assert rates["activitynet-cls"] == rates["activitynet-main"] == (0.2, 0.2, 0.1, 256, 0.99)
    assert rates["vggsound-main"] == (0, 0, 0.1, 64, 0.1)
    assert rates["vggsound-cls"] == (0, 0, 0, 256, 0.99)
    decays = {name: p.recipe.weight_decay for name, p in avca.AVCA.presets.items()}
    assert all(decay == (0 if name.startswith("paper-") else 1e-5) for name, decay in decays.items())
    assert rates["paper-ucf-main"] == (0.2, 0.3, 0.5, 256, 0.1)
    assert rates["paper-activitynet-main"] == (0.2, 0.2, 0.1, 256, 0.1)
    assert rates["paper-vggsound-main"] == (0, 0, 0.1, 64, 0.1)


# --- the model as the paper describes it, and what the released training step does besides ----------------------------


def dense(net, x, count):
    """Linear, batch norm by running statistics, ReLU, one row: section 3.1 in eval mode."""
    for i in range(count):
        linear, norm = net.fc[4 * i], net.fc[4 * i + 1]
        x = linear.weight @ x + linear.bias
        x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        x = x.clamp(min=0)
    return x


def layer_normed(norm, x):
    centred = x - x.mean()
    return centred / (centred.square().mean() + norm.eps).sqrt() * norm.weight + norm.bias


def attended(attention, rows, heads):
    """Multi-head self-attention over two tokens, number by number."""
    query, key, value = ([net.weight @ row for row in rows] for net in (attention.to_q, attention.to_k, attention.to_v))
    size, out = len(query[0]) // heads, []
    for i in range(2):
        parts = []
        for h in range(heads):
            at = slice(h * size, (h + 1) * size)
            weights = [math.exp(float(query[i][at] @ key[j][at]) / math.sqrt(size)) for j in range(2)]
            parts.append((weights[0] * value[0][at] + weights[1] * value[1][at]) / sum(weights))
        linear = attention.to_out[0]
        out.append(linear.weight @ torch.cat(parts) + linear.bias)
    return out


@torch.no_grad()
def test_the_paper_preset_is_section_3_1_clip_by_clip():
    torch.manual_seed(0)
    model = shaken(create_method("avca", INPUTS, preset="paper-ucf-main", **SMALL)).eval()
    net, batch = model.net, make_batch()
    (block,) = net.blocks
    assert len(block.feedforward) == 2
    assert not [name for name in model.state_dict() if "position" in name]
    scores = model.score(batch.features, batch.classes)
    words = [dense(net.word_projection, w, 1) for w in batch.classes.text["w2v"]]
    for i, (audio, visual) in enumerate(zip(*batch.features.pooled(), strict=True)):
        phi = [dense(net.audio_encoder, audio, 2), dense(net.visual_encoder, visual, 2)]  # eq. 1
        mixed = attended(block.attention, phi, heads=2)
        rows = [layer_normed(block.attention_norm, phi[m] + mixed[m]) for m in (0, 1)]  # residual, then the norm
        for m in (0, 1):
            first, last = block.feedforward[m].net[0], block.feedforward[m].net[3]  # f_3 and f_4, one pair each
            inner = first.weight @ rows[m] + first.bias
            fed = last.weight @ (inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))) + last.bias
            rows[m] = layer_normed(block.feedforward_norm, rows[m] + fed)
        theta_v = dense(net.visual_projection, rows[1] + phi[1], 2)  # eq. 2
        expected = [-distance(theta_v, word) for word in words]  # eq. 3
        assert scores[i].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_unread_passes_move_batch_statistics_as_the_released_step_does():
    rates = {"dropout_encoder": 0.0, "dropout_projection": 0.0, "dropout_decoder": 0.0, "momentum": 0.99}
    batch, terms, rows = make_batch(), {}, {}
    for unread in (False, True):
        model = small(unread_passes=unread, **rates).train()
        norms = [model.net.visual_projection.fc[1], model.net.word_projection.fc[1], model.net.visual_encoder.fc[5]]
        assert norms[2].momentum == 0.99
        with passing(norms[0]) as projected, passing(norms[1]) as words, passing(norms[2]) as encoded:
            terms[unread] = model.loss(batch)
        rows[unread] = (projected, words, encoded)
    assert all(torch.equal(terms[True][name], terms[False][name]) for name in TERMS)  # no loss reads them
    assert [len(part) for part in rows[False]] == [2, 2, 2]
    projected, words, encoded = rows[True]
    assert [len(projected), len(words), len(encoded)] == [4, 3, 3]
    for part in rows[True]:  # last, the clips once more
        torch.testing.assert_close(part[-1], part[0])
    torch.testing.assert_close(model.net.visual_encoder.fc[5].running_mean, encoded[0].mean(dim=0), atol=0.02, rtol=0)
    with torch.no_grad():  # before that, what is reconstructed of the clips
        phi_a, phi_v = (
            net(value)
            for net, value in zip(
                (model.net.audio_encoder, model.net.visual_encoder), batch.features.pooled(), strict=True
            )
        )
        tokens = torch.stack([phi_a, phi_v], dim=1) + model.net.position
        mixed = phi_v + model.net.blocks[0](tokens, torch.ones(len(batch), 1, 2, dtype=torch.bool))[:, 1]
        back = model.net.visual_reconstruction(model.net.visual_projection(mixed))
        torch.testing.assert_close(projected[2], model.net.visual_projection.fc[0](back), atol=1e-4, rtol=1e-4)
    with passing(model.eval().net.visual_projection.fc[1]) as kept:
        model.loss(batch)
        assert len(kept) == 2  # in training alone
        kept.clear()


# --- what the thesis takes away or measures otherwise -----------------------------------------------------------------

TERMS = ("triplet", "reconstruction", "decoded_triplet", "word_triplet", "regularisation")


@pytest.mark.parametrize("name", TERMS)
@torch.no_grad()
def test_a_loss_term_is_weighted_or_left_out(name):
    batch = make_batch()
    full = small().loss(batch)
    assert set(full) == set(TERMS)
    without = small(**{name: 0}).loss(batch)
    assert set(without) == set(TERMS) - {name}
    assert all(torch.equal(without[key], full[key]) for key in without)
    torch.testing.assert_close(small(**{name: 2.5}).loss(batch)[name], 2.5 * full[name])


def with_other(features, modality):
    """The same clips with other features of one modality."""
    audio, visual = features.audio[:, 0], features.visual[:, 0]
    return Features.averaged(audio + 3 * (modality == "audio"), visual + 3 * (modality == "visual"))


@torch.no_grad()
def test_without_cross_attention_a_branch_is_its_encoder_and_projection():
    features = make_batch().features
    mixed, apart = small(), small(cross_attention=False)
    for modality, theta in (("visual", 2), ("audio", 3)):  # the picture and theta_a, the sound and theta_v
        other = with_other(features, modality)
        assert torch.equal(apart.net.embed(features)[theta], apart.net.embed(other)[theta])
        assert not torch.allclose(mixed.net.embed(features)[theta], mixed.net.embed(other)[theta])
    phi_a, _, theta_a, _ = apart.net.embed(features)
    assert torch.equal(theta_a, apart.net.audio_projection(phi_a))
    assert not [name for name in apart.state_dict() if "blocks" in name or "position" in name]


@torch.no_grad()
def test_one_branch_has_its_own_losses_and_still_reads_the_other_modality():
    model, batch = small(branches="visual"), make_batch()
    _, phi_v, _, v, w, t, _, rho_v, rho_w = embedded(model, batch)
    _, _, _, v_, _, t_, _, rho_v_, _ = embedded(model, batch.negative)
    expected = {
        "triplet": triplet(v, t, v_) + triplet(t, v, t_),
        "reconstruction": squared(rho_v, w) + squared(rho_w, w),
        "decoded_triplet": triplet(rho_w, rho_v, rho_v_),
        "word_triplet": triplet(t, v, v_) + triplet(v, t, t_),
        "regularisation": squared(model.net.visual_reconstruction(v), phi_v) + squared(v, t),
    }
    got = {name: float(value) for name, value in model.loss(batch).items()}
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-4)
    gone = ("audio_projection", "audio_reconstruction")
    assert not [name for name in model.state_dict() if name.startswith(tuple(f"net.{part}" for part in gone))]
    other = with_other(batch.features, "audio")
    assert not torch.allclose(model.score(other, batch.classes), model.score(batch.features, batch.classes))

    audio = small(branches="audio", evaluate="audio")
    theta_a, theta_w = audio.net.embed(batch.features)[2], audio.net.word_projection(batch.classes.text["w2v"])
    torch.testing.assert_close(audio.score(batch.features, batch.classes), -torch.cdist(theta_a, theta_w))
    assert set(audio.loss(batch)) == set(TERMS)


@pytest.mark.parametrize("cross_attention", [True, False])
@pytest.mark.parametrize("branches", ["both", "audio", "visual"])
def test_every_parameter_that_a_variant_has_learns(cross_attention, branches):
    evaluate = "visual" if branches == "both" else branches
    model, batch = small(cross_attention=cross_attention, branches=branches, evaluate=evaluate).train(), make_batch()
    sum(model.loss(batch).values()).backward()
    silent = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is None}
    unread = {"audio": "visual_encoder", "visual": "audio_encoder"}  # without attention nothing reads the other one
    assert silent == ({unread[branches]} if branches in unread and not cross_attention else set())


@torch.no_grad()
def test_evaluating_theta_a_theta_v_or_both():
    batch = make_batch(size=4)
    features = Features.cat(
        [batch.features, batch.features.only("audio"), batch.features.only("visual")]
    )  # four clips with both, four without picture, four without sound
    models = {how: small(evaluate=how) for how in ("audio", "visual", "sum", "mean", "min")}
    scores = {how: model.score(features, batch.classes) for how, model in models.items()}
    net = models["sum"].net
    theta_w = net.word_projection(batch.classes.text["w2v"])
    _, _, theta_a, theta_v = net.embed(features)
    for i in range(12):
        for j in range(5):
            a, v = distance(theta_a[i], theta_w[j]), distance(theta_v[i], theta_w[j])
            if 4 <= i < 8:
                v = a
            elif i >= 8:
                a = v
            expected = {"audio": a, "visual": v, "sum": a + v, "mean": (a + v) / 2, "min": min(a, v)}
            assert {how: -float(scores[how][i, j]) for how in scores} == pytest.approx(expected, abs=1e-4)
    assert not torch.allclose(scores["audio"][:4], scores["visual"][:4])
    nothing = batch.features.only("audio").only("visual")
    assert all(model.score(nothing, batch.classes).isfinite().all() for model in models.values())
    assert torch.equal(models["audio"].embeddings(features, batch.classes)[0][:4], theta_a[:4])


def test_branches_that_cannot_be_evaluated_are_refused():
    with pytest.raises(ValueError, match=r"only the branch 'audio'.*evaluate='audio'"):
        small(branches="audio")
    with pytest.raises(ValueError, match="evaluate is 'loudest'; expected one of audio, visual, sum"):
        small(evaluate="loudest")
    with pytest.raises(ValueError, match="branches is 'text'"):
        small(branches="text")


# --- released weights ------------------------------------------------------------------------------------------------


def official_state_dict(audio=512, visual=512, hidden=512, width=300, inner=300, out=64, text=300):
    """Random tensors of the names and shapes of a released AVCA checkpoint."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    tensors = {"pos_emb1D": draw(2, width)}

    def linear(name, inputs, outputs, bias=True):
        tensors[f"{name}.weight"] = draw(outputs, inputs) / inputs**0.5
        if bias:
            tensors[f"{name}.bias"] = 0.1 * draw(outputs)

    def norm(name, size, running=True):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + 0.2 * draw(size), 0.3 * draw(size)
        if running:
            tensors[f"{name}.running_mean"] = 0.2 * draw(size)
            tensors[f"{name}.running_var"] = 0.5 + torch.rand(size, generator=generator)
            tensors[f"{name}.num_batches_tracked"] = torch.tensor(1000)

    def layers(name, *sizes):
        for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            linear(f"{name}.fc.{4 * i}", inputs, outputs)
            norm(f"{name}.fc.{4 * i + 1}", outputs)

    layers("A_enc", audio, hidden, width)
    layers("V_enc", visual, hidden, width)
    attention, feed = "cross_attention.layers.0.0", "cross_attention.layers.0.1"
    norm(f"{attention}.norm", width, running=False)
    linear(f"{attention}.fn.to_qkv", width, 3 * inner, bias=False)
    linear(f"{attention}.fn.to_out.0", inner, width)
    norm(f"{feed}.norm", width, running=False)
    linear(f"{feed}.fn.net.0", width, 64)
    linear(f"{feed}.fn.net.3", 64, width)
    layers("W_proj", text, out)
    layers("D", out, text)
    for side in "AV":
        layers(f"{side}_proj", width, hidden, out)
        layers(f"{side}_rec", out, width)
    return tensors


def naive_distances(tensors, audio, visual, text, heads=3):
    """The released model in eval mode, written from its formulas with plain matrix products in double precision."""
    t = {key: value.double() for key, value in tensors.items()}

    def linear(name, x):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def layers(name, x, count):
        for i in range(count):
            x, bn = linear(f"{name}.fc.{4 * i}", x), f"{name}.fc.{4 * i + 1}"
            x = (x - t[f"{bn}.running_mean"]) / (t[f"{bn}.running_var"] + 1e-5).sqrt()
            x = (x * t[f"{bn}.weight"] + t[f"{bn}.bias"]).clamp(min=0)
        return x

    def layer_norm(name, x):
        centred = x - x.mean()
        return centred / (centred.square().mean() + 1e-5).sqrt() * t[f"{name}.weight"] + t[f"{name}.bias"]

    def attend(x):
        attention = "cross_attention.layers.0.0"
        rows = [t[f"{attention}.fn.to_qkv.weight"] @ layer_norm(f"{attention}.norm", row) for row in x]
        size = len(rows[0]) // (3 * heads)
        mixed = torch.zeros(2, heads * size, dtype=torch.double)
        for h in range(heads):
            query, key, value = ([row[part * heads * size + h * size :][:size] for row in rows] for part in range(3))
            for i in range(2):
                weights = [math.exp(float(query[i] @ key[j]) / math.sqrt(size)) for j in range(2)]
                mixed[i, h * size : (h + 1) * size] = (weights[0] * value[0] + weights[1] * value[1]) / sum(weights)
        return x + linear(f"{attention}.fn.to_out.0", mixed)

    def feed(x):
        name = "cross_attention.layers.0.1"
        inner = linear(f"{name}.fn.net.0", torch.stack([layer_norm(f"{name}.norm", row) for row in x]))
        return x + linear(f"{name}.fn.net.3", inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))))

    theta_w = layers("W_proj", text.double(), 1)
    out = []
    for a, v in zip(layers("A_enc", audio.double(), 2), layers("V_enc", visual.double(), 2), strict=True):
        tokens = feed(attend(torch.stack([a, v]) + t["pos_emb1D"]))
        theta_v = layers("V_proj", (v + tokens[1])[None], 2)[0]
        out.append([(theta_v - word).square().sum().sqrt() for word in theta_w])
    return torch.tensor(out)


@pytest.mark.parametrize("sizes", [{}, {"audio": 128, "visual": 4096, "inner": 240}], ids=["main", "cls-4-heads"])
def test_released_weights_give_the_authors_distances(sizes):
    tensors = official_state_dict(**sizes)
    heads = 4 if sizes else 3
    model = load_official("avca", tensors, **({"heads": 4} if sizes else {}))
    assert not model.training
    generator = torch.Generator().manual_seed(5)
    audio = torch.randn(6, sizes.get("audio", 512), generator=generator)
    visual = torch.randn(6, sizes.get("visual", 512), generator=generator)
    classes = make_classes(count=7, dim=300)
    with torch.no_grad():
        scores = model.score(Features.averaged(audio, visual), classes)
    expected = naive_distances(tensors, audio, visual, classes.text["w2v"], heads=heads)
    torch.testing.assert_close(-scores, expected.float(), atol=1e-4, rtol=0)
    assert expected.std() > 0.01


def test_released_weights_have_the_documented_size():
    tensors = official_state_dict()
    assert len(tensors) == 96
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(v.numel() for k, v in tensors.items() if not k.endswith(buffers)) == 1_693_108
    model = load_official("avca", tensors, train_positions=True)
    assert sum(p.numel() for p in model.parameters()) == 1_693_108
    without = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert load_official("avca", without).state_dict().keys() == load_official("avca", tensors).state_dict().keys()


def test_released_weights_with_a_tensor_too_few_or_too_many_are_refused():
    tensors = official_state_dict()
    less = {k: v for k, v in tensors.items() if k != "D.fc.0.bias"}
    with pytest.raises(ValueError, match=r"missing 'D\.fc\.0\.bias'; unexpected nothing"):
        load_official("avca", less)
    with pytest.raises(ValueError, match="unexpected 'extra'"):
        load_official("avca", tensors | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"A_enc\.fc\.0\.weight.*missing"):
        load_official("avca", {"weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"V_proj\.fc\.4\.bias.*expected \(64,\)"):
        load_official("avca", tensors | {"V_proj.fc.4.bias": torch.zeros(3)})


def test_released_weights_load_from_files(tmp_path):
    from safetensors.torch import save_file

    tensors = official_state_dict()
    save_file(tensors, tmp_path / "avca.safetensors")
    torch.save({"epoch": 7, "model": tensors, "metric": 0.27}, tmp_path / "avca.pt")
    wanted = load_official("avca", tensors).state_dict()
    for name in ("avca.safetensors", "avca.pt"):
        got = load_official("avca", tmp_path / name).state_dict()
        assert all(torch.equal(got[key], value) for key, value in wanted.items())


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        load_official("avca", tmp_path / "nothing.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("not a checkpoint")
        with pytest.raises(ValueError, match="could not be read as plain tensors"):
            load_official("avca", tmp_path / name)
    torch.save({"model": {}, "when": Path("code")}, tmp_path / "objects.pt")
    with pytest.raises(ValueError, match="could not be read as plain tensors"):
        load_official("avca", tmp_path / "objects.pt")
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    with pytest.raises(ValueError, match="'epoch'"):
        load_official("avca", str(tmp_path / "numbers.pt"))


def test_a_method_without_a_reader_names_those_that_have_one():
    with pytest.raises(ValueError, match=r"'devise' has no reader.*avca"):
        load_official("devise", {"w": torch.zeros(1)})
    with pytest.raises(ValueError, match="does not exist"):
        load_official("nonsense", {"w": torch.zeros(1)})
