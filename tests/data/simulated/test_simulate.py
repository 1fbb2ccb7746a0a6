"""Simulated features: the sizes of the benchmarks, the stated story, and one stream of numbers per clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import released
from avshot.data.dataset import FOLDS
from avshot.data.load import load_dataset
from avshot.data.simulated.simulate import SIZES, simulate

# FACTS 1.2, written down again as an independent witness: clips and classes of train, val_seen, val_unseen,
# test_seen, test_unseen, and the clips of stage 2's training set.
COUNTED = {
    "vggsound-cls": ((70351, 7817, 3102, 9032, 3200), (138, 138, 69, 207, 64), 81270),
    "vggsound-main": ((70351, 7817, 3102, 9032, 3450), (138, 138, 69, 207, 69), 81270),
    "ucf-cls": ((3174, 353, 1467, 555, 845), (30, 30, 12, 42, 6), 4994),
    "ucf-main": ((3174, 353, 1467, 555, 1267), (30, 30, 12, 42, 9), 4994),
    "activitynet-cls": ((9204, 1023, 4307, 1615, 4052), (99, 99, 51, 150, 48), 14534),
    "activitynet-main": ((9204, 1023, 4307, 1615, 4199), (99, 99, 51, 150, 50), 14534),
}


def unseen_accuracy(data) -> float:
    """Zero-shot accuracy of a ridge regression from pooled features to class vectors."""
    (text,) = data.text.values()
    train = np.concatenate([data.fold(fold) for fold in ("train", "val_seen", "val_unseen")])
    test = data.fold("test_unseen")
    joined, asked = (torch.cat(data.gather(rows).pooled(), dim=1) for rows in (train, test))
    joined, asked = joined / joined.std(), asked / joined.std()
    kernel = joined @ joined.T / joined.shape[1] + 0.3 * torch.eye(len(joined))
    guess = asked @ joined.T / joined.shape[1] @ torch.linalg.solve(kernel, text[data.labels(train)])
    columns = torch.tensor([data.names.index(name) for name in data.classes_of("test_unseen")])
    return float((columns[(guess @ text[columns].T).argmax(1)] == data.labels(test)).float().mean())


@pytest.mark.parametrize("name", SIZES)
def test_counts_are_those_of_the_benchmark(name):
    clips, classes, stage_2 = COUNTED[name]
    data = simulate(name, dims=(4, 4))
    assert data.name == f"simulated-{name}"
    assert tuple(len(data.fold(fold)) for fold in FOLDS) == clips
    assert tuple(len(data.classes_of(fold)) for fold in FOLDS) == classes
    assert sum(clips[:3]) == stage_2
    assert not data.missing


def test_default_is_cls_at_its_true_width():
    data = simulate("ucf")
    assert data.name == "simulated-ucf-cls"
    assert data.gather([0, 5]).dims == (128, 4096)
    assert simulate("ucf-main").gather([0]).dims == (512, 512)
    assert data.text["simulated"].shape == (48, 300)
    assert torch.linalg.norm(data.text["simulated"], dim=1).allclose(torch.ones(48), atol=1e-5)


def test_scale_keeps_every_class():
    data = simulate("activitynet", scale=0.001, dims=(4, 4))
    assert tuple(len(data.classes_of(fold)) for fold in FOLDS) == (99, 99, 51, 150, 48)
    half = simulate("activitynet", scale=0.5, dims=(4, 4))
    assert len(half.fold("train")) == 4602


@pytest.mark.parametrize("temporal", [False, True])
def test_a_clip_is_the_same_whatever_is_asked_for_beside_it(temporal):
    data = simulate("ucf", scale=0.1, dims=(8, 16), temporal=temporal)
    many, alone = data.gather([7, 3, 500]), data.gather([3])
    for name in ("audio", "visual"):
        mask = getattr(alone, f"{name}_mask")[0]
        length = int(mask.sum())
        value = getattr(many, name)[1, :length]
        assert torch.allclose(value, getattr(alone, name)[0, :length], atol=1e-5)
        assert int(getattr(many, f"{name}_mask")[1].sum()) == length
    again = simulate("ucf", scale=0.1, dims=(8, 16), temporal=temporal).gather([7, 3, 500])
    assert torch.equal(many.audio, again.audio)
    assert torch.equal(many.visual, again.visual)
    other = simulate("ucf", scale=0.1, dims=(8, 16), temporal=temporal, seed=1).gather([7, 3, 500])
    assert not torch.equal(many.audio[:, 0], other.audio[:, 0])


def test_averaged_features_follow_the_formula():
    """With no noise and no scene a feature is the map applied to the class vector, row by row."""
    data = simulate("ucf", scale=0.1, dims=(5, 7), signal=2.0, noise=0.0)
    source = replace(data.features, story=replace(data.features.story, scene=0.0))
    rows = data.fold("test_seen")[:6]
    found = source.gather(rows)
    rng = np.random.default_rng([0, 1])
    audio_map = rng.standard_normal((300, 5), dtype=np.float32)
    for i, row in enumerate(rows):
        vector = data.text["simulated"][data.names.index(data.clips[row].label)].numpy()
        expected = [2.0 * sum(vector[k] * audio_map[k, j] for k in range(300)) for j in range(5)]
        assert found.audio[i, 0].numpy() == pytest.approx(expected, abs=1e-4)


def test_without_signal_the_features_know_nothing_of_the_class():
    """Variance between class means as a share of the whole is what chance gives, and grows with the signal."""

    def ratio(signal: float) -> float:
        data = simulate("ucf", dims=(16, 32), signal=signal)
        rows = data.fold("train")
        values = torch.cat(data.gather(rows).pooled(), dim=1).numpy().astype(float)
        labels = data.labels(rows).numpy()
        groups = [values[labels == c] for c in np.unique(labels)]
        between = sum(len(g) * (g.mean(0) - values.mean(0)) ** 2 for g in groups) / (len(groups) - 1)
        within = sum(((g - g.mean(0)) ** 2).sum(0) for g in groups) / (len(values) - len(groups))
        return float(np.mean(between / within))

    assert ratio(0.0) == pytest.approx(1.0, abs=0.15)  # F statistic; mean 1 under independence
    assert ratio(1.0) > 3


def test_unseen_classes_can_be_inferred_unless_signal_is_zero():
    settings = {"scale": 0.3, "dims": (128, 512)}
    assert unseen_accuracy(simulate("ucf", noise=1.0, **settings)) > 0.8
    assert 0.3 < unseen_accuracy(simulate("ucf", **settings)) < 0.95
    assert unseen_accuracy(simulate("ucf", signal=0.0, **settings)) < 0.3  # chance is 1/6


def test_sequences_have_the_steps_of_the_extractors():
    data = simulate("vggsound", scale=0.01, dims=(4, 6), temporal=True)
    found = data.gather(data.fold("train")[:5])
    assert found.audio_mask.sum(1).tolist() == [10] * 5  # 10 s in steps of 0.96 s
    assert found.visual_mask.sum(1).tolist() == [15] * 5  # and of 0.64 s
    assert found.audio_time[0, :2].tolist() == pytest.approx([0.48, 1.44])
    assert found.visual_time[0, :2].tolist() == pytest.approx([0.32, 0.96])
    lengths = simulate("ucf", temporal=True, dims=(4, 6)).gather(np.arange(200)).audio_mask.sum(1)
    assert lengths.min() >= 2
    assert lengths.max() <= 31
    assert len(lengths.unique()) > 5


def test_in_sequences_the_class_shows_for_a_while():
    data = simulate("ucf", scale=0.1, dims=(64, 64), temporal=True, noise=0.0)
    source = replace(data.features, story=replace(data.features.story, scene=0.0))
    found = source.gather(np.arange(30))
    present = (found.audio.abs().sum(2) > 1e-6) & found.audio_mask
    share = present.sum(1) / found.audio_mask.sum(1)
    assert 0 < share.mean() < 0.95
    for row in present:
        assert np.abs(np.diff(row.numpy().astype(int))).sum() <= 2  # one span


def test_given_vectors_are_used_by_name():
    rng = np.random.default_rng(0)
    given = {f"word {i}": rng.standard_normal(12) * 5 for i in range(60)}
    data = simulate("ucf", scale=0.1, dims=(4, 4), vectors=given)
    assert data.names == tuple(given)[:48]
    expected = given["word 7"] / np.linalg.norm(given["word 7"])
    assert data.text["given"][7].numpy() == pytest.approx(expected, abs=1e-6)
    assert data.gather([0]).dims == (4, 4)
    with pytest.raises(ValueError, match="60 classes; this benchmark has 271"):
        simulate("vggsound", vectors=given)
    with pytest.raises(ValueError, match="A class vector is zero"):
        simulate("ucf", vectors={name: np.zeros(3) for name in given})
    ragged = {name: np.ones(3 if i else 4) for i, name in enumerate(given)}
    with pytest.raises(ValueError, match="expected one"):
        simulate("ucf", vectors=ragged)


def test_empty_selection_keeps_the_widths():
    for temporal in (False, True):
        found = simulate("ucf", scale=0.1, dims=(4, 6), temporal=temporal).gather([])
        assert len(found) == 0
        assert found.dims == (4, 6)


def test_from_a_text():
    spec = "simulated:ucf-main?scale=0.1&temporal=true&seed=3&noise=2.5&gap=0.25"
    data = load_dataset(spec)
    assert data.name == "simulated-ucf-main"
    assert data.features.spec["simulated"] == {
        "signal": 1.0,
        "noise": 2.5,
        "scene": 1.0,
        "audio_signal": 1.0,
        "visual_signal": 1.0,
        "overlap": 0.0,
        "imbalance": 0.0,
        "gap": 0.25,
        "temporal": True,
        "span": 0.3,
        "seed": 3,
    }
    assert data.fingerprint() == load_dataset(spec).fingerprint()
    assert data.fingerprint() != load_dataset(spec.replace("temporal=true&", "")).fingerprint()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("simulated:imagenet", "No benchmark 'imagenet'"),
        ("simulated:ucf?scale=0", "scale is 0.0"),
        ("simulated:ucf?scale=big", "scale is 'big'"),
        ("simulated:ucf?temporal=1", "temporal is '1'"),
        ("simulated:ucf?colour=red", "no option 'colour'"),
        ("simulated:ucf?noise=-1", "noise is -1.0"),
        ("simulated:ucf?seed=-1", "seed is -1"),
        ("simulated:ucf?gap=1.5", "gap is 1.5; expected 0 to 1"),
        ("simulated:ucf?imbalance=nan", "imbalance is nan; expected -1 to 1"),
        ("simulated:ucf?audio_signal=-0.1", "audio_signal is -0.1"),
        ("simulated:ucf?vectors=nowhere.npy", "no file 'nowhere.npy'"),
        ("simulated:ucf?names=nowhere", "nowhere"),
    ],
)
def test_bad_descriptions_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(spec)


def test_a_knob_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no knob 'colour'; knobs: signal, noise"):
        simulate("ucf", colour=1.0)


def latents(data, modality):
    """Class part of every clip's latent vector, found from its features: without noise and scene, x = M u."""
    source = replace(data.features, story=replace(data.features.story, scene=0.0))
    width, rng = source.vectors.shape[1], np.random.default_rng([0, 1])
    maps = []
    for dim in source.dims:
        maps.append(rng.standard_normal((width, dim), dtype=np.float32))
        rng.standard_normal((16, dim), dtype=np.float32)
    found = source.gather(np.arange(len(source.ids))).pooled()[modality].numpy()
    return found @ np.linalg.pinv(maps[modality]), source.vectors[source.classes]


def test_each_modality_carries_its_share_of_the_class_vector():
    given = {f"word {i}": np.random.default_rng(i).standard_normal(20) for i in range(48)}
    common = {"scale": 0.02, "dims": (30, 30), "vectors": given, "noise": 0.0}

    def carried(**knobs):
        """Which entries of the class vector each modality shows, and how strongly."""
        data = simulate("ucf", **common, **knobs)
        parts = []
        for modality in range(2):
            latent, vectors = latents(data, modality)
            scale = (latent * vectors).sum(0) / (vectors**2).sum(0)
            assert np.abs(latent - scale * vectors).max() < 1e-4
            parts.append(scale.round(3))
        return parts

    audio, visual = carried(audio_signal=0.25, visual_signal=0.5)
    assert (np.count_nonzero(audio), np.count_nonzero(visual)) == (5, 10)
    assert not (audio * visual).any()  # overlap 0: as little in common as there can be
    audio, visual = carried(audio_signal=0.25, visual_signal=0.5, overlap=1.0)
    assert np.count_nonzero(audio * visual) == 5
    audio, visual = carried(audio_signal=0.8, visual_signal=0.5)
    assert np.count_nonzero(audio * visual) == 6  # 16 and 10 of 20 must meet in 6
    audio, visual = carried(signal=2.0, imbalance=0.5)
    assert audio == pytest.approx(2 * np.sqrt(0.5), abs=2e-3)
    assert visual == pytest.approx(2 * np.sqrt(1.5), abs=2e-3)
    audio, visual = carried(imbalance=-1.0)
    assert not visual.any()


def test_classes_of_unseen_folds_go_through_a_map_turned_by_the_gap():
    common = {"scale": 0.1, "dims": (64, 64)}
    plain, turned = simulate("ucf", **common).features, simulate("ucf", **common, gap=1 / 3).features
    for modality in range(2):
        here = plain.class_map(modality)
        assert np.array_equal(turned.class_map(modality), here)
        away = [turned.class_map(modality, domain) for domain in (1, 2)]
        cosine = [float((a * here).sum() / np.linalg.norm(a) / np.linalg.norm(here)) for a in away]
        assert cosine == pytest.approx([np.cos(np.pi / 6)] * 2, abs=0.03)  # a third of a right angle
        assert float((away[0] * away[1]).sum() / np.linalg.norm(away[0]) / np.linalg.norm(away[1])) < 0.8
    data = simulate("ucf", **common, gap=1 / 3)
    same = [bool(torch.equal(turned.gather([row]).audio, plain.gather([row]).audio)) for row in range(len(data))]
    unseen = {*data.classes_of("val_unseen"), *data.classes_of("test_unseen")}
    assert same == [clip.label not in unseen for clip in data.clips]


def test_span_is_the_share_of_a_sequence_that_shows_the_class():
    def shown(span):
        data = simulate("ucf", scale=0.1, dims=(64, 64), temporal=True, noise=0.0, span=span)
        source = replace(data.features, story=replace(data.features.story, scene=0.0))
        found = source.gather(np.arange(60))
        return ((found.audio.abs().sum(2) > 1e-6) & found.audio_mask).sum(1) / found.audio_mask.sum(1)

    assert shown(1.0).min() == 1
    assert 0.3 < shown(0.0).mean() < shown(0.5).mean() < 0.9


def test_released_lists_give_names_folds_and_clips_per_class(tmp_path):
    released.write_lists(tmp_path)
    file = released.write_vectors(tmp_path / "vectors.npy")
    data = load_dataset(f"simulated:ucf-main?names={tmp_path}&vectors={file}")
    assert data.name == "simulated-ucf-main"
    for fold, stage in zip(FOLDS, list(released.FOLDS), strict=True):
        labels = [data.clips[i].label for i in data.fold(fold)]
        expected = {released.original(name): count for name, count in released.FOLDS[stage].items()}
        assert {name: labels.count(name) for name in labels} == expected
    assert data.phrases["CleanAndJerk"] == "Weight Lifting"
    (told,) = data.text.values()
    for name, vector in zip(data.names, told.numpy(), strict=True):
        assert np.array_equal(vector, released.vectors()[released.SPELLED[name]])
    assert "Typing" not in load_dataset(f"simulated:ucf-cls?names={tmp_path}&vectors={file}").names
    half = simulate("ucf-main", names=tmp_path, scale=0.5)
    assert [len(half.fold(fold)) for fold in FOLDS] == [2 + 2 + 1, 3, 2, 4, 2]  # half of each, at least one


def test_shifted_vectors_are_those_of_the_released_join(tmp_path):
    released.write_lists(tmp_path)
    file = released.write_vectors(tmp_path / "vectors.npy")
    spec = f"simulated:ucf-main?names={tmp_path}&vectors={file}"
    right, shifted = load_dataset(spec), load_dataset(spec + "&shifted=true")
    # Keys in order: Archery, Boxing Speed Bag, Drumming, Handstand Pushups, Tai Chi, Typing, Weight Lifting.
    # Ids in order: Archery, BoxingSpeedBag, CleanAndJerk, Drumming, HandstandPushups, TaiChi, Typing.
    expected = {
        "Archery": "Archery",
        "BoxingSpeedBag": "Boxing Speed Bag",
        "CleanAndJerk": "Drumming",
        "HandstandPushups": "Tai Chi",
        "TaiChi": "Typing",
        "Typing": "Weight Lifting",
    }
    (told,) = shifted.text.values()
    for name, vector in zip(shifted.names, told.numpy(), strict=True):
        assert np.array_equal(vector, released.vectors()[expected[name]])
    rows = np.arange(len(right))
    assert torch.equal(right.gather(rows).visual, shifted.gather(rows).visual)  # features are made from the right ones
    assert shifted.name == "simulated-ucf-main-shifted"
    assert "by position" in shifted.warnings()[0]
    assert right.fingerprint() != shifted.fingerprint()


@pytest.mark.parametrize(("name", "wrong"), [("ucf-main", 40), ("activitynet-main", 8), ("vggsound-main", 183)])
def test_without_lists_as_many_classes_as_released_get_a_wrong_vector(name, wrong):
    right, shifted = (simulate(name, scale=0.01, dims=(4, 4), shifted=which) for which in (False, True))
    (true,), (told,) = right.text.values(), shifted.text.values()
    assert int((true != told).any(dim=1).sum()) == wrong  # 79 of 101, 8 of 200, 205 of 309 (FACTS 1.5), to scale
    assert torch.equal(true.sort(dim=0).values, told.sort(dim=0).values)  # the same vectors, given to others
    rows = np.arange(20)
    assert torch.equal(right.gather(rows).audio, shifted.gather(rows).audio)


def test_real_lists(real_data):
    """Clips and wrong vectors as counted in FACTS 1.2 and 1.5; VGGSound lists lack the training tables."""
    for benchmark, stem, unseen_wrong in (
        ("ucf", "ucf", 5),
        ("activitynet", "activity", 1),
        ("vggsound", "vggsound", 42),
    ):
        file = real_data / "text" / f"word_embeddings_{stem}_normed.npy"
        spec = f"simulated:{benchmark}-main?scale={0.05 if benchmark == 'vggsound' else 1}"
        spec += f"&names={real_data / 'splits'}&vectors={file}"
        right, shifted = load_dataset(spec), load_dataset(spec + "&shifted=true")
        clips, classes, _ = COUNTED[f"{benchmark}-main"]
        assert tuple(len(right.classes_of(fold)) for fold in FOLDS) == classes
        if benchmark != "vggsound":
            assert tuple(len(right.fold(fold)) for fold in FOLDS) == clips
        (true,), (told,) = right.text.values(), shifted.text.values()
        wrong = (true != told).any(dim=1)
        rows = [right.names.index(name) for name in right.classes_of("test_unseen")]
        assert int(wrong[rows].sum()) == unseen_wrong


@pytest.mark.parametrize("option", ["scale=inf", "scale=nan", "scale=1e9", "signal=inf", "noise=nan", "gap=inf"])
def test_numbers_that_cannot_be_simulated(option):
    with pytest.raises(ValueError, match=option.split("=")[0]):
        load_dataset(f"simulated:ucf?{option}")
