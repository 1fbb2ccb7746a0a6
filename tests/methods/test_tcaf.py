"""TCaF against the formulas, written out clip by clip without any of our layers."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from avshot.method import Inputs
from avshot.methods.tcaf import Tcaf, from_official
from avshot.registry import create_method, get_method
from avshot.types import Batch, Classes, Features
from passed import passing

SMALL = {"dim": 12, "encoder_hidden": 9, "layers": 2, "heads": 2, "head_dim": 4, "feedforward": 6, "position_dim": 8}
SIZES = {"audio": 5, "visual": 7, "text": 6, "hidden": 9, "dim": 12, "inner": 8, "ff": 6, "pos": 8, "out": 4, "dec": 10}
PLAIN = {"dim_out": 4, "decoder_hidden": 8, "feature_noise": 0.0, "drop_modality": 0.0}  # no random changes of features
UCF = {
    "audio": 128,
    "visual": 4096,
    "text": 300,
    "hidden": 512,
    "dim": 300,
    "inner": 512,
    "ff": 128,
    "pos": 64,
    "out": 64,
    "dec": 512,
}


def official_state(sizes: dict[str, int], layers: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names and shapes of the authors' code."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def linear(name: str, rows: int, columns: int, *, bias: bool = True) -> None:
        state[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
        if bias:
            state[f"{name}.bias"] = 0.3 * torch.randn(rows, generator=generator)

    def norm(name: str, width: int, *, batch: bool) -> None:
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(width, generator=generator)
        if batch:
            state[f"{name}.running_mean"] = 0.2 * torch.randn(width, generator=generator)
            state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
            state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def block(name: str, *widths: int) -> None:
        for i, (columns, rows) in enumerate(itertools.pairwise(widths)):
            linear(f"{name}.fc.{4 * i}", rows, columns)
            norm(f"{name}.fc.{4 * i + 1}", rows, batch=True)

    s = sizes
    state["cls_token"] = torch.randn(1, 1, s["dim"], generator=generator)
    block("A_enc", s["audio"], s["hidden"], s["dim"])
    block("V_enc", s["visual"], s["hidden"], s["dim"])
    block("W_proj", s["text"], s["out"])
    block("D_w", s["out"], s["text"])
    block("O_proj", s["dim"], s["dec"], s["out"])
    block("D_o", s["out"], s["dec"], s["text"])
    position = "position_encoder_block"
    state[f"{position}.fourier_randn"] = 10 * torch.randn(2, s["pos"] // 2, generator=generator)
    state[f"{position}.modal_embedding.weight"] = torch.randn(2, s["pos"], generator=generator)
    state[f"{position}.pad_embedding.weight"] = torch.randn(1, s["pos"], generator=generator)
    linear(f"{position}.fourier_embeddings", s["pos"], s["pos"])
    for name in ("audio", "video"):
        linear(f"{position}.out_proj_{name}", s["dim"], s["dim"] + s["pos"])
        state[f"{position}.out_proj_{name}.weight"] = state[f"{position}.out_proj_{name}.weight"][..., None]
    for name in [key for key in state if key.startswith(position)]:
        state[name.replace(position, "audiovisual_embeddings")] = state[name]
    for i in range(layers):
        layer = f"Audio_visual_transformer.layers.{i}"
        for part in "qkv":
            linear(f"{layer}.attn.to_{part}", s["inner"], s["dim"], bias=False)
        linear(f"{layer}.attn.to_out.0", s["dim"], s["inner"])
        linear(f"{layer}.ff.net.0", s["ff"], s["dim"])
        linear(f"{layer}.ff.net.3", s["dim"], s["ff"])
        norm(f"{layer}.norm", s["dim"], batch=False)
    return state


class Naive:
    """The authors' model in eval mode, one unpadded clip at a time, float64, from the formulas."""

    def __init__(self, state: dict[str, Tensor], heads: int, pattern: str = "cross") -> None:
        self.w = {name: value.double() for name, value in state.items()}
        self.heads, self.pattern = heads, pattern
        self.layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("Audio_visual_transformer"))

    def linear(self, name: str, x: Tensor) -> Tensor:
        out = x @ self.w[f"{name}.weight"].flatten(1).T
        return out + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else out

    def block(self, name: str, x: Tensor, count: int) -> Tensor:
        for i in range(count):
            x = self.linear(f"{name}.fc.{4 * i}", x)
            n = f"{name}.fc.{4 * i + 1}"
            x = (x - self.w[f"{n}.running_mean"]) / (self.w[f"{n}.running_var"] + 1e-5).sqrt()
            x = (x * self.w[f"{n}.weight"] + self.w[f"{n}.bias"]).clamp(min=0)
        return x

    def place(self, x: Tensor, times: Tensor, modality: int) -> Tensor:
        p, rows = "position_encoder_block", []
        for vector, t in zip(x, times.double(), strict=True):
            phase = 2 * math.pi * (torch.stack([t, t]) @ self.w[f"{p}.fourier_randn"])
            when = self.linear(f"{p}.fourier_embeddings", torch.cat([phase.sin(), phase.cos()]))
            e = self.w[f"{p}.modal_embedding.weight"][modality] + when
            rows.append(self.linear(f"{p}.out_proj_{('audio', 'video')[modality]}", torch.cat([vector, e])))
        return torch.stack(rows)

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attend(self, name: str, x: Tensor, kinds: list[int]) -> Tensor:
        q, k, v = (self.linear(f"{name}.to_{part}", x) for part in "qkv")
        d = q.shape[1] // self.heads
        out = torch.zeros_like(q)
        for h in range(self.heads):
            part = slice(h * d, (h + 1) * d)
            for i, mine in enumerate(kinds):
                seen = [j for j, other in enumerate(kinds) if self.allowed(mine, other)]
                logits = torch.stack([(q[i, part] * k[j, part]).sum() / math.sqrt(d) for j in seen])
                weight = logits.exp() / logits.exp().sum()
                out[i, part] = sum(a * v[j, part] for a, j in zip(weight, seen, strict=True))
        return self.linear(f"{name}.to_out.0", out)

    def allowed(self, mine: int, other: int) -> bool:
        if 0 in (mine, other) or self.pattern == "full":
            return True
        return (mine == other) == (self.pattern == "self")

    def theta_o(self, audio: Tensor, visual: Tensor, audio_time: Tensor, visual_time: Tensor) -> Tensor:
        audio, visual = audio.double() / 255, visual.double()
        visual = visual / visual.square().sum(dim=0).sqrt()  # over time
        x = torch.cat(
            [
                self.w["cls_token"][0],
                self.place(self.block("A_enc", audio, 2), audio_time, 0),
                self.place(self.block("V_enc", visual, 2), visual_time, 1),
            ]
        )
        kinds = [0] + [1] * len(audio) + [2] * len(visual)
        for i in range(self.layers):
            layer = f"Audio_visual_transformer.layers.{i}"
            x = x + self.attend(f"{layer}.attn", self.norm(f"{layer}.norm", x), kinds)
            h = self.linear(f"{layer}.ff.net.0", self.norm(f"{layer}.norm", x))
            h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
            x = x + self.linear(f"{layer}.ff.net.3", h)
        return self.block("O_proj", x[0], 2)

    def distances(self, clips: list[tuple[Tensor, ...]], text: Tensor) -> Tensor:
        theta_w = self.block("W_proj", text.double(), 1)
        return torch.stack([(self.theta_o(*clip) - theta_w).square().sum(dim=1).sqrt() for clip in clips])


def raw_clips(sizes: dict[str, int], lengths: list[tuple[int, int]], seed: int = 1) -> list[tuple[Tensor, ...]]:
    g = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randint(0, 256, (a, sizes["audio"]), generator=g).float(),
            torch.rand(v, sizes["visual"], generator=g) * 3,
            torch.arange(a) * 0.96,
            torch.arange(v) * 0.64,
        )
        for a, v in lengths
    ]


def as_features(clips: list[tuple[Tensor, ...]], sizes: dict[str, int]) -> Features:
    return Features.from_sequences(
        *(list(part) for part in zip(*clips, strict=True)), dims=(sizes["audio"], sizes["visual"])
    )


def some_classes(count: int, dim: int, encoder: str = "w2v", seed: int = 2) -> Classes:
    text = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return Classes(
        tuple(f"class {i}" for i in range(count)),
        {encoder: torch.nn.functional.normalize(text, dim=1)},
        torch.arange(count) < count - 1,
    )


@pytest.mark.parametrize("pattern", ["cross", "self", "full"])
def test_released_weights_give_the_authors_distances(pattern):
    state = official_state(SIZES, layers=3)
    clips = raw_clips(SIZES, [(3, 4), (1, 1), (5, 2), (2, 6)])
    classes = some_classes(5, SIZES["text"])
    model = from_official(state, head_dim=4, attention=pattern)
    assert not model.training
    assert (model.config.layers, model.config.heads, model.config.dim_out) == (3, 2, 4)
    with torch.no_grad():
        ours = -model.score(as_features(clips, SIZES), classes)
    naive = Naive(state, heads=2, pattern=pattern).distances(clips, classes.text["w2v"])
    torch.testing.assert_close(ours.double(), naive, atol=1e-4, rtol=0)
    assert naive.std() > 0.05  # the distances differ, so agreement means something


def test_released_weights_of_full_size():
    state = official_state(UCF, layers=6)
    clips = raw_clips(UCF, [(4, 6), (3, 2)])
    classes = some_classes(4, 300)
    model = from_official(state)
    assert (model.config.heads, model.config.head_dim, model.config.layers) == (8, 64, 6)
    with torch.no_grad():
        ours = -model.score(as_features(clips, UCF), classes)
    naive = Naive(state, heads=8).distances(clips, classes.text["w2v"])
    torch.testing.assert_close(ours.double(), naive, atol=1e-4, rtol=0)


def test_index_time_is_the_authors_inference():
    state = official_state(SIZES, layers=2)
    clips = raw_clips(SIZES, [(3, 4), (2, 2)])
    classes = some_classes(3, SIZES["text"])
    indexed = [(a, v, torch.arange(len(a)).float(), torch.arange(len(v)).float()) for a, v, _, _ in clips]
    real = from_official(state, head_dim=4)
    index = from_official(state, head_dim=4, index_time_at_inference=True)
    with torch.no_grad():
        expected = real.score(as_features(indexed, SIZES), classes)
        assert torch.equal(index.score(as_features(clips, SIZES), classes), expected)
        assert not torch.allclose(real.score(as_features(clips, SIZES), classes), expected, atol=1e-3)


@torch.no_grad()
def test_a_zero_under_the_softmax_masks_nothing():
    """Thesis eq. 3.10 to 3.12 print 0 for pairs of one modality; the authors' code, and ours, leave them out."""
    model = small(layers=1).eval()
    fusion, attention = model.fusion, model.fusion.layers[0].attn
    steps, _, kinds = fusion.tokens(as_features(raw_clips(SIZES, [(3, 4)]), SIZES))
    tokens = fusion.layers[0].norm(torch.cat([fusion.class_token[0], steps[0]]))
    kinds = [0, *kinds.tolist()]
    read = torch.tensor([[0 in (i, j) or i != j for j in kinds] for i in kinds])
    q, k, v = attention.to_q(tokens), attention.to_k(tokens), attention.to_v(tokens)
    size = q.shape[1] // model.config.heads
    made, hidden = {"printed": torch.zeros_like(q), "left out": torch.zeros_like(q)}, []
    for h in range(model.config.heads):
        part = slice(h * size, (h + 1) * size)
        for i in range(len(tokens)):
            logits = [
                float(q[i, part] @ k[j, part]) / math.sqrt(size) if read[i, j] else 0.0 for j in range(len(tokens))
            ]
            powers = {"printed": [math.exp(x) for x in logits]}
            powers["left out"] = [p * bool(read[i, j]) for j, p in enumerate(powers["printed"])]
            for form, weights in powers.items():
                made[form][i, part] = sum(w / sum(weights) * v[j, part] for j, w in enumerate(weights))
            hidden += [sum(p for j, p in enumerate(powers["printed"]) if not read[i, j]) / sum(powers["printed"])] * (
                i > 0
            )
    ours = attention(tokens[None], tokens[None], read[None])[0]
    torch.testing.assert_close(ours, attention.to_out(made["left out"]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours, attention.to_out(made["printed"]), atol=1e-2)
    assert min(hidden) > 0.2  # of what is read, where the mask is a 0: 3 or 4 of 8 pairs


@torch.no_grad()
def test_in_a_layer_a_step_of_sound_reads_no_other_step_of_sound():
    model = small(layers=1).eval()
    features = as_features(raw_clips(SIZES, [(3, 4)]), SIZES)
    other = dataclasses.replace(features, audio=features.audio.clone())
    other.audio[0, 2] += 5.0
    before, after = (model.fusion(part).tokens[0] for part in (features, other))
    assert torch.equal(before[1:3], after[1:3])  # the first two steps of sound
    assert not torch.allclose(before[4:], after[4:], atol=1e-4)  # every step of the picture does
    assert not torch.allclose(before[0], after[0], atol=1e-4)  # and so does the class token


@torch.no_grad()
def test_released_settings_are_the_authors_program_whatever_the_preset():
    """The default preset with `released`: its scores are the naive model's, with step numbers for times."""
    assert {"visual_scaling", "index_time_at_inference"} <= set(Tcaf.released)
    state = official_state(SIZES, layers=2)
    clips, classes = raw_clips(SIZES, [(3, 4), (2, 2)]), some_classes(3, SIZES["text"])
    like = from_official(state, head_dim=4)
    sizes = {
        name: getattr(like.config, name)
        for name in ("dim", "encoder_hidden", "layers", "heads", "head_dim", "feedforward", "dim_out")
    }
    sizes |= {"decoder_hidden": like.config.decoder_hidden, "position_dim": like.config.position_dim}
    model = create_method("tcaf", like.inputs, **(sizes | dict(Tcaf.released))).eval()
    model.load_state_dict(like.state_dict())
    indexed = [(a, v, torch.arange(len(a)).float(), torch.arange(len(v)).float()) for a, v, _, _ in clips]
    naive = Naive(state, heads=like.config.heads).distances(indexed, classes.text["w2v"])
    scores = model.score(as_features(clips, SIZES), classes)
    torch.testing.assert_close(-scores.double(), naive, atol=1e-4, rtol=0)


def test_the_released_step_passes_each_batch_once_more_with_step_numbers_for_times():
    rates = {f"dropout_{name}": 0.0 for name in ("encoder", "position", "transformer", "output", "text")}
    batch, found = some_batch(), {}
    for unread in (False, True):
        model = small(unread_passes=unread, index_time_at_inference=True, **rates).train()
        with passing(model.project_output.fc[1]) as clips, passing(model.project_text.fc[1]) as words:
            model.loss(batch)
        found[unread] = (clips, words)
    assert [len(part) for part in found[False]] == [1, 2]
    assert [len(part) for part in found[True]] == [2, 3]
    features = batch.features
    numbered = dataclasses.replace(
        features,
        audio_time=torch.arange(features.audio.shape[1]).float().expand_as(features.audio_time),
        visual_time=torch.arange(features.visual.shape[1]).float().expand_as(features.visual_time),
    )
    with torch.no_grad():
        own, again = (model.project_output.fc[0](model.fused(part)) for part in (features, numbered))
    torch.testing.assert_close(found[True][0][0], own, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[True][0][1], again, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(own, again, atol=1e-3)
    torch.testing.assert_close(found[True][1][2], found[True][1][1])  # the words of the clips


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("O_proj.fc.5.bias"), "O_proj.fc.5.bias"),
        (lambda s: s.pop("V_enc.fc.0.weight"), "V_enc.fc.0.weight"),
        (lambda s: s.update(surprise=torch.zeros(1)), "surprise"),
        (lambda s: s.update({"D_o.fc.0.weight": torch.zeros(3, 4)}), r"D_o.fc.0.weight' has shape \(3, 4\)"),
    ],
)
def test_released_weights_that_do_not_fit_are_named(change, words):
    state = official_state(SIZES, layers=1)
    change(state)
    with pytest.raises(ValueError, match=words):
        from_official(state, head_dim=4)


def test_head_width_that_does_not_divide():
    with pytest.raises(ValueError, match="head_dim"):
        from_official(official_state(SIZES, layers=1))


@pytest.mark.parametrize(
    ("preset", "dims", "count"),
    [
        ("ucf-cls", (128, 4096), 7_269_972),
        ("activitynet-cls", (128, 4096), 7_269_972),
        ("vggsound-cls", (128, 4096), 8_655_028),
        ("ucf-main", (512, 512), 4_521_764),
        ("activitynet-main", (512, 512), 5_161_908),
        ("vggsound-main", (512, 512), 8_848_308),
    ],
)
def test_parameter_counts_of_the_authors_code(preset, dims, count):
    with torch.device("meta"):
        model = create_method("tcaf", Inputs(*dims, {"w2v": 300}), preset=preset)
    padding = 64  # their embedding of padding, which nothing reads and we leave out
    # Shared position block counted once, buffers (Fourier frequencies, running statistics) not counted.
    assert sum(p.numel() for p in model.parameters()) + padding == count


def small(**fields) -> Tcaf:
    torch.manual_seed(0)
    return create_method("tcaf", Inputs(5, 7, {"w2v": 6}), **{**SMALL, **PLAIN, **fields})  # type: ignore[return-value]


def some_batch(clips: int = 9) -> Batch:
    g = torch.Generator().manual_seed(5)
    lengths = [(1 + i % 3, 1 + (i * 2) % 5) for i in range(clips)]
    features = as_features(raw_clips(SIZES, lengths), SIZES)
    return Batch(features, torch.randint(0, 4, (clips,), generator=g), some_classes(4, 6))


@pytest.mark.parametrize("per_clip", [True, False])
def test_loss_terms_against_loops(per_clip):
    model = small(project_per_clip=per_clip)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = some_batch()
    text = batch.classes.text["w2v"]
    model.train()
    terms = model.loss(batch)
    with torch.no_grad():
        theta_o = model.embed(batch.features)
        theta_all = model.project_text(text)
        theta_w = model.project_text(text[batch.labels]) if per_clip else theta_all[batch.labels]
        rho_o, rho_w = model.decode_output(theta_o), model.decode_text(theta_w)
    n, ce, reg, rec = len(batch), 0.0, 0.0, 0.0
    for i, y in enumerate(batch.labels.tolist()):
        logits = [float(sum(a * b for a, b in zip(theta_o[i], row, strict=True))) for row in theta_all]
        ce += (math.log(sum(math.exp(z) for z in logits)) - logits[y]) / n
        for d in range(theta_o.shape[1]):
            reg += float((theta_o[i, d] - theta_w[i, d]) ** 2) / (n * theta_o.shape[1])
        for d in range(text.shape[1]):
            errors = (rho_o[i, d] - text[y, d]) ** 2 + (rho_w[i, d] - text[y, d]) ** 2
            rec += float(errors) / (n * text.shape[1])
    assert terms["cross_entropy"].item() == pytest.approx(ce, rel=1e-4)
    assert terms["regression"].item() == pytest.approx(reg, rel=1e-4)
    assert terms["reconstruction"].item() == pytest.approx(rec, rel=1e-4)


@pytest.mark.parametrize("attention", ["cross", "self", "full"])
@pytest.mark.parametrize("class_token", [True, False])
def test_every_variant_trains_and_scores_a_clip_by_itself(attention, class_token):
    model = small(attention=attention, class_token=class_token)
    batch = some_batch()
    sum(model.loss(batch).values()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
    model.eval()
    features = batch.features
    lone = Features.cat([features, features.only("audio"), features.only("visual")])
    padded = lone._padded_to(11, 13)
    noisy = dataclasses.replace(
        padded, audio=torch.where(padded.audio_mask[..., None], padded.audio, torch.full_like(padded.audio, 1e4))
    )
    with torch.no_grad():
        together = model.score(lone, batch.classes)
        alone = torch.cat([model.score(lone[i], batch.classes) for i in range(len(lone))])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.score(noisy, batch.classes), together, atol=1e-5, rtol=1e-5)
        order = [2, 0, 3, 1]
        swapped = batch.classes.select([batch.classes.names[i] for i in order])
        torch.testing.assert_close(model.score(lone, swapped), together[:, order])
    assert torch.isfinite(together).all()
    assert not torch.allclose(together[: len(features)], together[-len(features) :], atol=1e-3)


def test_published_presets_say_where_they_come_from():
    presets = get_method("tcaf").presets
    assert all("TCAF" in preset.source for name, preset in presets.items() if name != "default")
    vgg = presets["vggsound-cls"]
    assert (vgg.config.layers, vgg.config.dropout_transformer, vgg.recipe.lr, vgg.recipe.schedule) == (
        8,
        0.5,
        6e-5,
        "constant",
    )
    anet = presets["activitynet-main"].config
    assert (anet.heads, anet.head_dim, anet.encoder_hidden, anet.train_visual_steps) == (3, 128, 128, 60)


# --- what the thesis takes away or adds -------------------------------------------------------------------------------


@torch.no_grad()
def test_a_loss_term_with_weight_0_is_left_out():
    batch = some_batch()
    full = small().eval().loss(batch)
    assert set(full) == {"cross_entropy", "regression", "reconstruction"}
    for name in full:
        without = small(**{name: 0}).eval().loss(batch)
        assert set(without) == set(full) - {name}
        assert all(torch.equal(without[key], full[key]) for key in without)


@torch.no_grad()
def test_triplet_loss_against_a_loop():
    model, batch = small(triplet=0.5, margin=0.7).eval(), some_batch(clips=8)
    batch = dataclasses.replace(batch, labels=torch.tensor([0, 0, 1, 2, 2, 2, 0, 0]))
    theta_o, theta_w = model.embed(batch.features), model.project_text(batch.classes.text["w2v"][batch.labels])
    after = [2, 2, 3, 6, 6, 6, 2, 2]  # the next clip of another class, going round

    def t(anchor, positive, negative):
        return max(0.0, math.dist(anchor.tolist(), positive.tolist()) - math.dist(anchor, negative.tolist()) + 0.7)

    total = sum(
        t(theta_o[i], theta_w[i], theta_o[j]) + t(theta_w[i], theta_o[i], theta_w[j]) for i, j in enumerate(after)
    )
    assert total > 0
    assert model.loss(batch)["triplet"].item() == pytest.approx(0.5 * total / 8, rel=1e-4)
    alike = dataclasses.replace(batch, labels=torch.full((8,), 3))
    assert model.loss(alike)["triplet"].item() == 0.0


def test_no_feed_forward_leaves_attention_alone():
    model, batch = small(feedforward=0).eval(), some_batch()
    assert not [name for name in model.state_dict() if ".ff." in name]
    fusion = model.fusion
    with torch.no_grad():
        tokens, mask, modality = fusion.tokens(batch.features)
        tokens = torch.cat([fusion.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        modality = torch.cat([torch.zeros(1, dtype=torch.long), modality])
        mask = torch.cat([torch.ones(len(mask), 1, dtype=torch.bool), mask], dim=1)
        allowed = ((modality[:, None] == 0) | (modality == 0) | (modality[:, None] != modality)) & mask[:, None]
        for layer in fusion.layers:
            normed = layer.norm(tokens)
            tokens = tokens + layer.attn(normed, normed, allowed)
        torch.testing.assert_close(fusion(batch.features).clip, tokens[:, 0], atol=1e-5, rtol=1e-5)
    model.train()
    sum(model.loss(batch).values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_averaged_input_is_one_step_per_modality():
    model, batch = small(average_input=True, visual_scaling="none").eval(), some_batch()
    features = batch.features
    scores = model.score(features, batch.classes)
    steps = []
    for name in ("audio", "visual"):
        value, time = getattr(features, name), getattr(features, f"{name}_time")
        lengths = getattr(features, f"{name}_mask").sum(dim=1).tolist()
        steps += [
            torch.stack([value[i, :n].mean(dim=0) for i, n in enumerate(lengths)])[:, None],
            torch.stack([time[i, :n].mean() for i, n in enumerate(lengths)])[:, None],
        ]
    whole = Features.averaged(steps[0][:, 0], steps[2][:, 0])
    whole = dataclasses.replace(whole, audio_time=steps[1], visual_time=steps[3])
    plain = small(visual_scaling="none").eval()
    torch.testing.assert_close(scores, plain.score(whole, batch.classes))
    assert not torch.allclose(scores, plain.score(features, batch.classes), atol=1e-3)
    # A clip that lacks a modality still lacks it.
    torch.testing.assert_close(
        model.score(features.only("audio"), batch.classes), plain.score(whole.only("audio"), batch.classes)
    )
    with pytest.raises(ValueError, match='visual_scaling="none"'):
        small(average_input=True, visual_scaling="time")
