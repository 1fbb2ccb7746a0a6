"""The released split tables of adverbs, their golden numbers, and features as their authors release them."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avshot.cli.app import main
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.official.adverb_tables import read_adverbs
from avshot.data.official.adverbs import load_adverbs, pairs_of
from avshot.data.official.pth_features import PthFeatures
from avshot.run import load_run
from avshot.task import Scored, get_task
from avshot.types import Factor

DATA = Path(os.environ.get("AVSHOT_DATA", "nowhere")) / "adverbs"
released = pytest.mark.skipif(not DATA.is_dir(), reason="AVSHOT_DATA has no split tables of adverbs")
# Thesis Table 6.2, row "priors": mAP W, mAP M, Acc-A; then p(adverb | action) and smoothed: mAP W, mAP M; Acc-A cls.
GOLDEN = {
    "howto100m-adverbs": ((0.446, 0.354, 0.786), (0.5388, 0.4201), (0.5432, 0.4225), 0.6253),
    "air": ((0.491, 0.263, 0.854), (0.6568, 0.3242), (0.6568, 0.3244), 0.5317),
    "activitynet-adverbs": ((0.217, 0.159, 0.745), (0.2777, 0.2049), (0.2784, 0.2090), 0.6049),
    "msrvtt-adverbs": ((0.308, 0.152, 0.723), (0.3380, 0.2093), (0.3569, 0.2280), 0.5709),
    "vatex-adverbs": ((0.216, 0.086, 0.752), (0.2663, 0.1172), (0.2682, 0.1193), 0.6282),
}


def guessed(dataset: Dataset):
    """What the task's guessers reach on the test clips, from the tables alone: their scores are not looked at."""
    task = get_task("adverb")
    stage = task.stages(dataset)[1]
    pairs, names = dataset.pairs, dataset.names
    words = pairs.words
    place = {factor: {word: i for i, word in enumerate(found)} for factor, found in words.items()}
    of = pairs.of_class
    factors = {
        factor: Factor(torch.tensor([place[factor][of[factor][n]] for n in names]), words[factor])
        for factor in ("action", "adverb")
    }
    factors["adverb"] = replace(factors["adverb"], opposite=torch.tensor(pairs.opposites))
    counts = torch.bincount(dataset.labels(stage.train), minlength=len(names))
    labels, ids = dataset.labels(stage.judge), tuple(dataset.clips[i].id for i in stage.judge)
    seen = torch.tensor([name in set(stage.seen) for name in names])
    return task.guessers(Scored(torch.zeros(len(labels), 0), labels, seen, names, ids, factors, counts))


@released
@pytest.mark.parametrize("name", GOLDEN)
def test_all_fifteen_published_priors_follow_from_the_tables(name):
    printed, share, smoothed, cls = GOLDEN[name]
    found = guessed(load_adverbs(DATA / "reduced", name))
    three = ("mAP W", "mAP M", "Acc-A")
    assert [round(found["priors"][m], 3) for m in three] == list(printed)
    for who, expected in (("p(adverb | action)", share), ("p smoothed", smoothed)):
        assert [found[who][m] for m in three[:2]] == pytest.approx(expected, abs=6e-5)
        assert found[who]["Acc-A"] == found["priors"]["Acc-A"]
        assert found[who]["Acc-A cls"] == pytest.approx(cls, abs=6e-5)
    assert found["p(adverb)"]["cls half"] == 0.5


@released
@pytest.mark.parametrize(
    ("name", "half"), [("vatex-adverbs", 0.6732), ("activitynet-adverbs", 0.6828), ("msrvtt-adverbs", 0.6894)]
)
def test_priors_of_unseen_pairs_look_good_by_their_ties_alone(name, half):
    found = guessed(load_adverbs(DATA / "reduced", name, split="unseen"))["priors"]
    assert found["Acc-A"] == pytest.approx(half, abs=6e-5)
    assert found["Acc-A cls"] == found["Acc-A half"] == found["cls half"] == 0.5


@released
def test_both_releases_of_air_are_one():
    one, two = read_adverbs(DATA / "reduced", "air"), read_adverbs(DATA / "air", "air")
    assert {table: sorted((r.clip, *r.pair) for r in rows) for table, rows in one.rows.items()} == {
        table: sorted((r.clip, *r.pair) for r in rows) for table, rows in two.rows.items()
    }
    assert one.antonyms == two.antonyms
    assert all(row.video for row in two.all_rows())
    assert set(pairs_of(one).words["adverb"]) == set(pairs_of(two).words["adverb"])


ROWS = {
    "train": [("1", "cut", "slowly"), ("2", "stir", "quickly"), ("2", "stir", "slowly"), ("3", "cut", "slowly")],
    "test": [("4", "cut", "quickly"), ("2", "cut", "slowly")],
    "unlabelled": [("5", "pour", "slowly")],
}


def tables(folder, composition="seen", rows=ROWS):
    place = folder / f"{composition}_compositions" / "HowTo100M_Adverbs"
    place.mkdir(parents=True)
    for table, found in rows.items():
        if table != "unlabelled" or composition == "unseen":
            write(place / f"{table}.csv", ("clip_id", "action", "adverb", "clustered_action", "clustered_adverb"),
                  [(id, f"{action}ing", "soon", action, adverb) for id, action, adverb in found])  # fmt: skip
    write(place / "antonyms.csv", ("adverb", "antonym"), [("slowly", "quickly"), ("quickly", "slowly"), ("up", "down")])
    return place


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def save_features(path, ids, seed=0, steps=(2, 4)):
    """As the program of air-cvpr23 writes them: ids are numpy texts, metadata arrays."""
    generator = torch.Generator().manual_seed(seed)
    features, metadata = {}, {}
    for i, id in enumerate(ids):
        time = steps[i % len(steps)]
        features[id] = {
            "s3d_features": torch.randn(time, 6, generator=generator),
            "video_embedding_joint_space": torch.randn(time, 3, generator=generator),
        }
        metadata[id] = {"frame_samples": np.arange(16 * time).reshape(time, 16), "clustered_verb": np.array(["cut"])}
    torch.save({"features": features, "metadata": metadata}, path)
    return features


def test_rows_share_the_features_of_their_clip(tmp_path):
    tables(tmp_path)
    saved = save_features(tmp_path / "train.pth", [1, 2, 3]) | save_features(tmp_path / "test.pth", [4, 9], seed=1)
    spec = f"adverbs:{tmp_path}?name=howto100m-adverbs&features={tmp_path}"
    found = load_dataset(spec)
    assert found.name == "howto100m-adverbs"
    assert found.pairs.words == {"action": ("cut", "stir"), "adverb": ("slowly", "quickly")}
    assert found.names == ("cut slowly", "stir slowly", "cut quickly", "stir quickly")
    assert found.pairs.opposites == (1, 0)
    assert [clip.id for clip in found.clips] == ["1", "2", "2#2", "3", "4", "2#3"]
    assert {fold: rows.tolist() for fold, rows in found.folds.items()} == {"train": [0, 1, 2, 3], "test_seen": [4, 5]}
    assert found.features.dims == (0, 6)
    features = found.gather([1, 2, 0])
    assert torch.equal(features.visual[0], saved[2]["s3d_features"])
    assert torch.equal(features.visual[1], features.visual[0])
    assert torch.equal(features.visual[2, :2], saved[1]["s3d_features"])
    assert features.visual_mask.sum(1).tolist() == [4, 4, 2]
    assert features.visual_time[0].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert not features.has_audio.any()
    joint = load_dataset(f"{spec}&layer=video_embedding_joint_space")
    assert joint.features.dims == (0, 3)
    assert joint.fingerprint() != found.fingerprint() != load_dataset(spec.partition("&")[0]).fingerprint()


def test_features_beside_the_tables_and_vectors_of_words(tmp_path):
    place = tables(tmp_path)
    (place / "features" / "clip").mkdir(parents=True)
    save_features(place / "features" / "all.pth", [1, 2, 3, 4])
    save_features(place / "features" / "clip" / "all.pth", [1, 2, 3, 4], seed=3)
    names = ["cut", "stir", "slowly", "quickly", "cut quickly"]
    vectors = np.eye(5, dtype=np.float32)
    np.savez(tmp_path / "s3d.npz", names=names, vectors=vectors)
    spec = f"adverbs:{tmp_path}?name=howto100m-adverbs&text.s3d={tmp_path / 's3d.npz'}"
    found, other = load_dataset(spec), load_dataset(f"{spec}&features=clip")
    assert not torch.equal(found.gather([0]).visual, other.gather([0]).visual)
    text = dict(zip(found.names, found.text["s3d"], strict=True))
    assert text["cut quickly"].tolist() == vectors[4].tolist()
    assert torch.allclose(text["stir slowly"], torch.from_numpy(vectors[1] + vectors[2]) / 2**0.5)
    assert found.pairs.text["s3d"]["adverb"].tolist() == vectors[2:4].tolist()
    (place / "features" / "text").mkdir()
    (tmp_path / "s3d.npz").rename(place / "features" / "text" / "s3d.npz")
    beside = load_dataset(spec.partition("&")[0])
    assert beside.fingerprint() == found.fingerprint()


def test_a_training_on_released_files(tmp_path):
    tables(tmp_path, "unseen", ROWS | {"test": [("4", "cut", "quickly"), ("5", "pour", "quickly")]})
    save_features(tmp_path / "all.pth", [1, 2, 3, 4, 5])
    spec = f"adverbs:{tmp_path}?name=howto100m-adverbs&split=unseen&features={tmp_path / 'all.pth'}"
    quick = ("--set", "recipe.epochs=1", "--set", "recipe.batches_per_epoch=2", "--out", tmp_path / "runs")
    with pytest.raises(SystemExit) as left:
        main(list(map(str, ("train", spec, "--task", "adverb", "--method", "devise", *quick))))
    assert left.value.code in (0, None)
    run = load_run(next((tmp_path / "runs").rglob("run.json")).parent)
    assert run.info["data"]["folds"] == {"train": 4, "unlabelled": 1, "test_unseen": 2}
    assert run.metrics["Acc-A"] is not None


def test_what_is_wrong_with_files_is_said(tmp_path):
    place = tables(tmp_path)
    with pytest.raises(ValueError, match="expected one of howto100m-adverbs.* Did you mean 'air'"):
        load_adverbs(tmp_path, "airs")
    with pytest.raises(ValueError, match="Split 'new' is not known"):
        load_adverbs(tmp_path, "air", split="new")
    with pytest.raises(ValueError, match="has no table train.csv of VATEX_Adverbs"):
        load_adverbs(tmp_path, "vatex-adverbs")
    with pytest.raises(ValueError, match=r"no \.pth files"):
        load_adverbs(tmp_path, "howto100m-adverbs", features=tmp_path)
    save_features(tmp_path / "a.pth", [1, 2])
    with pytest.raises(ValueError, match="has no 'c3d' of clip '1'"):
        PthFeatures([tmp_path / "a.pth"], "c3d")
    save_features(tmp_path / "b.pth", [2], seed=5)
    with pytest.raises(ValueError, match="other features of clip '2'"):
        PthFeatures([tmp_path / "a.pth", tmp_path / "b.pth"])
    with pytest.raises(ValueError, match="none of the clips"):
        PthFeatures([tmp_path / "a.pth"], wanted=["7"])
    torch.save({"features": {"1": {"s3d_features": torch.tensor([[1.0, torch.nan]])}}}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match="clip '1' that are not finite"):
        PthFeatures([tmp_path / "c.pth"])
    torch.save([1, 2], tmp_path / "d.pth")
    with pytest.raises(ValueError, match="holds no features of clips"):
        PthFeatures([tmp_path / "d.pth"])
    (place / "test.csv").unlink()
    with pytest.raises(ValueError, match=r"has no table test\.csv"):
        load_adverbs(tmp_path, "howto100m-adverbs")
    write(place / "test.csv", ("clip_id", "adverb"), [("1", "slowly")])
    with pytest.raises(ValueError, match="has no column action"):
        load_adverbs(tmp_path, "howto100m-adverbs")
