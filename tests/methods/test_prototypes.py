"""Prototypes: scikit-learn's discriminant analysis and nearest centroid as oracles, mixed means, missing modalities."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid

from avshot.method import Inputs
from avshot.nn.few_shots import Played, best_weight
from avshot.nn.left_out import SHARES
from avshot.registry import create_method, get_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_task(counts=(9, 8, 10, 7, 9, 8), few=(), noise=0.7, seed=0):
    """Clips whose features are noisy linear images of their class embeddings; classes in `few` are not seen ones."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(len(counts), 5, generator=generator)
    seen = torch.tensor([i not in few for i in range(len(counts))])
    classes = Classes(tuple(f"c{i}" for i in range(len(counts))), {"words": text}, seen)
    labels = torch.cat([torch.full((n,), i) for i, n in enumerate(counts)])
    parts = [
        text[labels] @ torch.randn(5, width, generator=generator)
        + noise * torch.randn(len(labels), width, generator=generator)
        for width in (4, 3)
    ]
    return Batch(Features.averaged(*parts), labels, classes)


def fitted(batch, parts=2, **overrides):
    model = create_method("prototypes", INPUTS, **overrides).eval()
    cuts = np.array_split(np.random.default_rng(0).permutation(len(batch)), parts)
    torch.manual_seed(0)
    model.adapt([Batch(batch.features[c], batch.labels[c], batch.classes) for c in cuts], batch.classes)
    return model


def standardised(features, like=None):
    value = torch.cat(features.pooled(), dim=1).double()
    like = value if like is None else torch.cat(like.pooled(), dim=1).double()
    return ((value - like.mean(dim=0)) / like.std(dim=0, unbiased=False)).numpy()


def differences(scores):
    """Scores up to what all classes of a clip share."""
    return np.asarray(scores.double()) - np.asarray(scores.double()).mean(axis=1, keepdims=True)


@pytest.mark.parametrize("shrinkage", [0.1, 0.5])
def test_full_classes_are_scikit_learns_discriminant_analysis(shrinkage):
    batch, new = make_task(), make_task(seed=1).features
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(6, 1 / 6))
    x, y = standardised(batch.features), batch.labels.numpy()
    # Its covariance weighs classes by their priors; ours by their clips: the sum of both is taken from ours.
    oracle.priors = np.bincount(y) / len(y)
    oracle.fit(x, y)
    expected = oracle.decision_function(standardised(new, batch.features)) - np.log(oracle.priors_)
    scores = fitted(batch, shrinkage=shrinkage).score(new, batch.classes)
    np.testing.assert_allclose(
        differences(scores), expected - expected.mean(axis=1, keepdims=True), rtol=1e-3, atol=1e-3
    )


def test_an_isotropic_covariance_makes_the_nearest_mean_win():
    batch, new = make_task(), make_task(seed=1).features
    oracle = NearestCentroid().fit(standardised(batch.features), batch.labels.numpy())
    found = fitted(batch, covariance="isotropic").score(new, batch.classes).argmax(dim=1)
    assert found.tolist() == oracle.predict(standardised(new, batch.features)).tolist()


def by_hand(batch, weight, few, classes):
    """Means, covariance and scores in loops, in double precision."""
    x = standardised(batch.features)
    labels, text = batch.labels.numpy(), batch.classes.text["words"].double().numpy()
    means = np.stack([x[labels == c].mean(axis=0) for c in range(len(text))])
    residual = x - means[labels]
    covariance = sum(np.outer(r, r) for r in residual) / len(x)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / 7 * np.eye(7)
    base = [c for c in range(len(text)) if c not in few]
    blocks = []
    for block in (slice(0, 4), slice(4, 7)):
        best = None
        for penalty in (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3):
            centred = text[base] - text[base].mean(axis=0)
            alpha = penalty * (centred**2).sum() / len(base)
            error = 0.0
            for left in base:
                rest = [c for c in base if c != left]
                ridge = Ridge(alpha=alpha).fit(text[rest], means[rest][:, block])
                error += ((ridge.predict(text[[left]])[0] - means[left, block]) ** 2).sum()
            if best is None or error < best[0] * (1 - 1e-9):
                best = (error, alpha)
        blocks.append(
            Ridge(alpha=best[1]).fit(text[base], means[base][:, block]).predict(classes.text["words"].double())
        )
    named = np.concatenate(blocks, axis=1)
    mixed = []
    for i, name in enumerate(classes.names):
        c = batch.classes.names.index(name) if name in batch.classes.names else None
        share = 1.0 if c is None else weight if c in few else 0.0
        mixed.append(share * named[i] + (0 if c is None else (1 - share) * means[c]))
    return np.stack(mixed), covariance


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_means_are_mixed_where_clips_are_few_and_named_where_there_are_none(weight):
    few = (4, 5)
    batch, new = make_task((9, 8, 10, 7, 2, 3), few), make_task(seed=1).features
    extra = torch.randn(1, 5, generator=torch.Generator().manual_seed(9))
    text = torch.cat([batch.classes.text["words"], extra])
    classes = Classes(
        (*batch.classes.names, "new"), {"words": text}, torch.cat([batch.classes.seen, torch.tensor([False])])
    )
    means, covariance = by_hand(batch, weight, few, classes)
    x = standardised(new, batch.features)
    expected = np.array([[-0.5 * (a - m) @ np.linalg.solve(covariance, a - m) for m in means] for a in x])
    scores = fitted(batch, text_weight=weight, shrinkage=0.1).score(new, classes)
    np.testing.assert_allclose(
        differences(scores), expected - expected.mean(axis=1, keepdims=True), rtol=2e-3, atol=2e-3
    )


def test_a_clip_without_a_modality_is_judged_by_the_marginal_gaussians():
    batch, new = make_task(), make_task(seed=1).features
    means, covariance = by_hand(batch, 0.0, (), batch.classes)
    x, model = standardised(new, batch.features), fitted(batch, shrinkage=0.1)
    for modality, block in (("audio", slice(0, 4)), ("visual", slice(4, 7))):
        part = covariance[block, block]
        expected = np.array(
            [[-0.5 * (a - m) @ np.linalg.solve(part, a - m) for m in means[:, block]] for a in x[:, block]]
        )
        scores = model.score(new.only(modality), batch.classes)
        np.testing.assert_allclose(
            differences(scores), expected - expected.mean(axis=1, keepdims=True), rtol=2e-3, atol=2e-3
        )
    assert model.score(new.only("audio").only("visual"), batch.classes).abs().max() == 0


def test_a_clip_without_a_modality_stays_out_of_its_means():
    batch = make_task()
    deaf = torch.zeros(len(batch), dtype=torch.bool)
    deaf[::3] = True
    hidden = Features.cat(
        [batch.features[i].only("visual") if deaf[i] else batch.features[i] for i in range(len(batch))]
    )
    model = fitted(Batch(hidden, batch.labels, batch.classes))
    row, _ = model.classifier.rows_of(batch.classes.text["words"])
    audio = batch.features.pooled()[0]
    scaled = (audio - audio[~deaf].mean(dim=0)) / audio[~deaf].std(dim=0, unbiased=False)
    expected = torch.stack([scaled[~deaf & (batch.labels == c)].mean(dim=0) for c in range(6)])
    torch.testing.assert_close(model.classifier.mean[row][:, :4], expected, atol=1e-5, rtol=1e-5)


def test_a_class_whose_clips_all_lack_a_modality_has_that_part_of_its_mean_from_its_name():
    batch = make_task(noise=0.05)
    mute = batch.labels == 2
    hidden = Features.cat(
        [batch.features[i].only("visual") if mute[i] else batch.features[i] for i in range(len(batch))]
    )
    model = fitted(Batch(hidden, batch.labels, batch.classes))
    heard = batch.features[mute].only("audio")
    assert (model.score(heard, batch.classes).argmax(dim=1) == 2).float().mean() > 0.9


def test_what_playing_few_shots_finds_against_loops():
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(5).repeat(8)
    centres = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    value = centres[labels] + 1.2 * torch.randn(40, 3, generator=generator, dtype=torch.float64)
    means = torch.stack([value[labels == c].mean(dim=0) for c in range(5)])
    named = means + 1.5 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    precision = torch.eye(3, dtype=torch.float64)[None]
    real, pattern = torch.ones(40, 3, dtype=torch.bool), torch.zeros(40, dtype=torch.long)
    lift, shown, name = torch.tensor([[0.1, 0.2, 0.0, 0.3, 0.1]]), torch.tensor([0.5]), torch.tensor([0.3])
    clips = Played(value, real, pattern, labels, means, named, precision, lift.double(), shown.double(), name.double())
    torch.manual_seed(7)
    found = best_weight(clips, 2, 4)
    torch.manual_seed(7)
    margins = [[] for _ in range(11)]
    for _ in range(4):
        order = torch.randperm(40)
        drawn = {c: [i for i in order.tolist() if labels[i] == c][:2] for c in range(5)}
        for w in range(11):
            for i in range(40):
                for c in range(5):
                    own = (1 - w / 10) * value[drawn[c]].mean(dim=0) + w / 10 * named[c]
                    near = [float((value[i] - means[k]).square().sum() / 2 - lift[0, k]) for k in range(5)]
                    doubt = (1 - w / 10) ** 2 * shown + (w / 10) ** 2 * name
                    near[c] = float((value[i] - own).square().sum() / 2 - doubt)
                    margin = min(near[k] for k in range(5) if k != c) - near[c]
                    if labels[i] != c:
                        margins[w].append((margin, -1 / 32))
                    elif i not in drawn[c]:
                        margins[w].append((margin, 1 / 6))
    gain = [max(sum(vote for other, vote in found if other >= margin) for margin, _ in found) for found in margins]
    assert found == pytest.approx(int(np.argmax(np.round(gain, 9))) / 10)
    assert 0 < found < 1


def test_classes_too_small_to_play_with_give_half():
    value, labels = torch.eye(3), torch.arange(3)
    none = torch.zeros(1)
    real, pattern = torch.ones(3, 3).bool(), torch.zeros(3).long()
    clips = Played(value, real, pattern, labels, value, value, torch.eye(3)[None], none.expand(1, 3), none, none)
    assert best_weight(clips, 1, 2) == 0.5


def test_the_weight_follows_what_names_know():
    """Names that say all are trusted where clips are few and noisy, names that say nothing are not."""
    told, untold = make_task((20,) * 10 + (1, 1), (10, 11), noise=3.0), make_task((20,) * 10 + (5, 5), (10, 11), 0.1)
    untold.classes.text["words"].copy_(torch.randn(12, 5, generator=torch.Generator().manual_seed(5)))
    assert fitted(told).weight > 0.5
    assert fitted(untold).weight < 0.3


def scored_by_hand(batch, new, few, weight):
    """What the class says in its first lines, in loops: the share and scale by clips left out, and the lift."""
    x, labels = standardised(batch.features), batch.labels.numpy()
    means, _ = by_hand(batch, weight, few, batch.classes)
    own = np.stack([x[labels == c].mean(axis=0) for c in range(len(means))])
    counts, told = np.bincount(labels), [i for i in range(len(x)) if labels[i] not in few]
    best = None
    for share in reversed(SHARES):
        farther, distances = {}, []
        for i in told:
            c, keep = labels[i], np.arange(len(x)) != i
            moved = own.copy()
            moved[c] = x[keep & (labels == c)].mean(axis=0)
            residual = (x - moved[labels])[keep]
            # The divisor and the mean variance are those of all clips (see left_out.py).
            whole = (x - own[labels]).T @ (x - own[labels]) / len(x)
            left = (1 - share) * residual.T @ residual / len(x) + share * np.trace(whole) / 7 * np.eye(7)
            d = [(x[i] - m) @ np.linalg.solve(left, x[i] - m) for m in moved]
            farther.setdefault(c, []).append(np.mean([d[k] > d[c] for k in range(len(d)) if k != c]))
            distances.append(d[c])
        quality = np.mean([np.mean(v) for v in farther.values()])
        if best is None or quality > best[0] + 1e-9:
            best = (quality, share, np.mean(distances) / 7)
    whole = (x - own[labels]).T @ (x - own[labels]) / len(x)
    covariance = best[2] * ((1 - best[1]) * whole + best[1] * np.trace(whole) / 7 * np.eye(7))
    y = standardised(new, batch.features)
    assert weight == 0, "the error of names is tested on its own"
    return np.array(
        [
            [-0.5 * (a - m) @ np.linalg.solve(covariance, a - m) + 7 / counts[c] / 2 for c, m in enumerate(means)]
            for a in y
        ]
    )


@pytest.mark.parametrize("counts", [(9, 8, 10, 7, 2, 3), (3, 2, 3, 2, 1, 1)])
def test_clips_left_out_say_how_much_to_shrink_and_scale(counts):
    batch, new = make_task(counts, (4, 5), noise=1.5), make_task(seed=1).features
    expected = scored_by_hand(batch, new, (4, 5), 0.0)
    scores = fitted(batch, text_weight=0.0).score(new, batch.classes)
    np.testing.assert_allclose(
        differences(scores), expected - expected.mean(axis=1, keepdims=True), rtol=5e-3, atol=5e-3
    )


def test_classes_with_few_clips_are_not_behind_by_the_doubt_of_their_means():
    """With forty times as many channels as clips of a class: without the remedy no clip at all is given to them."""
    generator = torch.Generator().manual_seed(0)
    counts = (12,) * 8 + (1,) * 4
    text, centres = torch.randn(12, 5, generator=generator), 0.6 * torch.randn(12, 400, generator=generator)
    seen = torch.tensor([count > 1 for count in counts])
    classes = Classes(tuple(f"c{i}" for i in range(12)), {"words": text}, seen)
    labels = torch.cat([torch.full((n,), i) for i, n in enumerate(counts)])
    rest = torch.arange(12).repeat_interleave(10)

    def clips(labels):
        value = centres[labels] + torch.randn(len(labels), 400, generator=generator)
        return Features.averaged(value[:, :200], value[:, 200:])

    shown, tested = clips(labels), clips(rest)
    margins = {}
    for shrinkage in (None, 0.1):
        model = create_method(
            "prototypes", Inputs(audio=200, visual=200, text={"words": 5}), text_weight=0.0, shrinkage=shrinkage
        ).eval()
        model.adapt([Batch(shown, labels, classes)], classes)
        scores = model.score(tested, classes)
        found = scores.argmax(dim=1)
        margins[shrinkage] = [float((found == rest)[seen[rest] == kind].float().mean()) for kind in (True, False)]
    assert min(margins[None]) > 0.8
    assert margins[0.1][1] < 0.3


def test_the_error_of_names_is_that_of_classes_left_out():
    batch = make_task((9, 8, 10, 7, 9, 8), noise=1.0)
    model = fitted(batch)
    assert model.lift_named[0] > 0
    exact = make_task((400,) * 6, noise=0.01)
    assert fitted(exact).lift_named.isfinite().all()
    extra = torch.randn(1, 5, generator=torch.Generator().manual_seed(9))
    told = Classes(
        (*batch.classes.names, "new"),
        {"words": torch.cat([batch.classes.text["words"], extra])},
        torch.tensor([True] * 6 + [False]),
    )
    with_lift = model.score(batch.features, told)[:, -1]
    model.lift_named.zero_()
    torch.testing.assert_close(
        with_lift - model.score(batch.features, told)[:, -1],
        torch.full((51,), float(fitted(batch).lift_named[0])),
        rtol=1e-3,
        atol=1e-3,
    )


def test_aliases_are_weights():
    assert get_method("prototypes").aliases == {"class_means": {"text_weight": 0.0}, "text_alone": {"text_weight": 1.0}}
    few = (4, 5)
    batch = make_task((9, 8, 10, 7, 2, 3), few)
    torch.testing.assert_close(fitted(batch, text_weight=0.0).weight, torch.tensor(0.0))
    assert fitted(make_task()).weight == 0  # no class has few clips


def test_errors():
    with pytest.raises(ValueError, match=r"text_weight is 1\.5"):
        create_method("prototypes", INPUTS, text_weight=1.5)
    for wrong in ({"covariance": "full"}, {"shrinkage": 0.0}, {"draws": 0}):
        with pytest.raises(ValueError, match="expected one of shared, isotropic, above 0 to 1, and at least 1"):
            create_method("prototypes", INPUTS, **wrong)
    with pytest.raises(ValueError, match="no training clips"):
        create_method("prototypes", INPUTS).adapt([], make_task().classes)
