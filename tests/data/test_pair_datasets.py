"""Classes that are pairs, their order and antonyms; datasets of pairs declared from a table and imported with words."""

import csv
from collections import Counter
from dataclasses import replace

import pytest
import torch

from avshot.data.antonyms import read_antonyms
from avshot.data.dataset import Dataset
from avshot.data.import_arrays import import_arrays
from avshot.data.label_table import PAIRS, Columns
from avshot.data.listing import list_clips
from avshot.data.load import load_dataset
from avshot.data.manifest import declare
from avshot.data.pair_split import PairRule
from avshot.data.pairs import Pairs, all_pairs, both_ways, by_frequency
from avshot.data.sources import once
from avshot.data.split import SplitRule
from pair_clips import ACTIONS, ADVERBS, DIM, vector, write, write_pairs


def test_pairs_are_a_product_adverb_by_adverb():
    found = all_pairs(("cut", "put down"), ("slowly", "up"), {"slowly": "quickly"})
    assert list(found.actions) == [
        f"{action} {adverb}" for adverb in ("slowly", "up", "quickly") for action in ("cut", "put down")
    ]
    assert found.words == {"action": ("cut", "put down"), "adverb": ("slowly", "up", "quickly")}
    assert found.opposites == (2, -1, 0)
    assert found.of_action("put down") == ("put down slowly", "put down up", "put down quickly")
    assert found.of_class["adverb"]["cut quickly"] == "quickly"


def test_pairs_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="Two pairs read 'run up fast'"):
        all_pairs(("run up", "run"), ("fast", "up fast"))
    with pytest.raises(ValueError, match="Actions: .*differ only in case"):
        all_pairs(("cut", "Cut"), ("slowly",))
    with pytest.raises(ValueError, match="antonyms 'quickly' and 'fast'"):
        both_ways({"slowly": "quickly", "fast": "slowly"})
    with pytest.raises(ValueError, match="its own|'slowly' and 'slowly'"):
        both_ways({"slowly": "slowly"})
    with pytest.raises(ValueError, match="expected both ways"):
        Pairs({"cut up": "cut"}, {"cut up": "up"}, {"up": "down"})
    with pytest.raises(ValueError, match="an action and an adverb each"):
        Pairs({"cut up": "cut"}, {})
    with pytest.raises(ValueError, match="are not those of the 1 actions"):
        Pairs({"cut up": "cut"}, {"cut up": "up"}, text={"w": {"action": torch.ones(2, 3)}})
    pairs = all_pairs(("cut",), ("up",))
    with pytest.raises(ValueError, match="are not its classes"):
        Dataset("d", (), ("cut down",), {}, pairs=pairs)


def test_frequency_decides_the_order_and_the_first_one_among_equals():
    assert by_frequency(["b", "a", "c", "a", "c"]) == ("a", "c", "b")


def test_what_a_dataset_is_depends_on_its_pairs(tmp_path):
    table, antonyms, visual = write_pairs(tmp_path, clips=3)
    one = import_arrays(table, tmp_path / "own.toml", {"visual": visual}, pairs=True, antonyms=antonyms).dataset
    assert one.fingerprint() == load_dataset(str(tmp_path / "own.toml")).fingerprint()
    assert one.fingerprint() != replace(one, pairs=replace(one.pairs, antonyms={})).fingerprint()
    assert one.fingerprint() != replace(one, pairs=None).fingerprint()


def videos(folder, rows):
    for name in {row[0] for row in rows}:
        (folder / name).write_text(name)
    return write(folder / "t.csv", ("filename", "action", "adverb"), rows)


def test_a_video_may_be_in_several_rows(tmp_path):
    rows = [
        (f"{i}.mp4", ACTIONS[i % 4], adverb) for i in range(40) for adverb in (ADVERBS[i % 6], ADVERBS[(i + 2) % 6])
    ]
    rows[0] = ("0.mp4", "put  down", "up")
    table = videos(tmp_path, rows)
    antonyms = write(tmp_path / "a.csv", ("adverb", "antonym"), [("slowly", "quickly"), ("up", "down"), ("in", "out")])
    made = declare(table, tmp_path / "own.toml", columns=Columns(pairs=PAIRS), antonyms=antonyms)
    found = load_dataset(str(tmp_path / "own.toml"))
    assert found.fingerprint() == made.dataset.fingerprint()
    assert found.pairs.antonyms == {"slowly": "quickly", "quickly": "slowly", "up": "down", "down": "up"}
    frequent = Counter(row[2] for row in rows)
    assert [frequent[word] for word in found.pairs.words["adverb"]] == sorted(frequent.values(), reverse=True)
    clips = {clip.id: clip for clip in found.clips}
    assert clips["0"].label == "put down up"  # spaces tidied
    assert clips["0#2"].stored_as == clips["0"].key == "0"
    assert clips["0#2"].path == clips["0"].path
    assert len(once(found.clips)) == 40
    assert {clip.stored_as for clip in once(found.clips)} == {None}
    assert set(found.folds) == {"train", "val_seen", "val_unseen", "test_seen", "test_unseen", "unlabelled"}
    assert "[compositions]" in (tmp_path / "own.toml").read_text()
    with pytest.raises(ValueError, match="lists 1 clips twice: 3"):
        list_clips(videos(tmp_path, [*rows, rows[7]]), Columns(pairs=PAIRS))


def test_pairs_and_rules_go_together(tmp_path):
    table = videos(tmp_path, [("a.mp4", "cut", "up"), ("b.mp4", "cut", "down")])
    for options in ({"rule": PairRule()}, {"antonyms": table}):
        with pytest.raises(ValueError, match="go with pairs"):
            declare(table, tmp_path / "own.toml", columns=Columns(label="action"), **options)
    with pytest.raises(ValueError, match="go with pairs"):
        declare(table, tmp_path / "own.toml", columns=Columns(pairs=PAIRS), rule=SplitRule())
    with pytest.raises(ValueError, match="stand in a table"):
        declare(tmp_path, tmp_path / "own.toml", columns=Columns(pairs=PAIRS))
    with pytest.raises(ValueError, match="nothing in column 'adverb'"):
        list_clips(videos(tmp_path, [("a.mp4", "cut", "")]), Columns(pairs=PAIRS))
    with pytest.raises(ValueError, match="has no column adverb"):
        list_clips(write(tmp_path / "t.csv", ("filename", "action"), [("a.mp4", "cut")]), Columns(pairs=PAIRS))


def test_an_edited_table_is_checked(tmp_path):
    table, _, visual = write_pairs(tmp_path, clips=3)
    import_arrays(table, tmp_path / "own.toml", {"visual": visual}, pairs=True)
    folds = tmp_path / "own.folds.csv"
    lines = folds.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if ",cut,slowly," in line and ",train," in line)
    for old, new, told in (
        (",cut,slowly,", ",cut,quickly,", rf"line {at + 1} has the label .* spell it alike"),
        (",train,", ",later,", "expected train, .*unlabelled"),
    ):
        folds.write_text("\n".join([*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]))
        with pytest.raises(ValueError, match=told):
            load_dataset(str(tmp_path / "own.toml"))


def test_stated_folds_and_several_rows_of_imported_clips(tmp_path):
    fold = {"cut": "train", "stir": "train", "pour": "test_seen", "put down": "unlabelled"}
    table, _, visual = write_pairs(tmp_path, clips=2, folds=lambda action, adverb, i: fold[action])
    rows = list(csv.reader(table.read_text().splitlines()))
    again = ["cut-slowly-0", "cut", "up", "train"]
    write(table, rows[0], [*rows[1:], again])
    found = import_arrays(table, tmp_path / "own.toml", {"visual": visual}, pairs=True).dataset
    assert {fold: len(rows) for fold, rows in found.folds.items() if len(rows)} == {
        "train": 25,
        "test_seen": 12,
        "unlabelled": 12,
    }
    place = {clip.id: i for i, clip in enumerate(found.clips)}
    one, two = place["cut-slowly-0"], place["cut-slowly-0#2"]
    assert torch.equal(found.gather([one]).visual, found.gather([two]).visual)
    write(table, rows[0], [*rows[1:], again, again])
    with pytest.raises(ValueError, match="'cut-slowly-0' with 'cut up' again"):
        import_arrays(table, tmp_path / "b.toml", {"visual": visual}, pairs=True)


def test_word_vectors_that_come_with_the_dataset(tmp_path):
    table, antonyms, visual = write_pairs(tmp_path, clips=3)
    words = {word: vector(word) for word in (*ACTIONS, *ADVERBS, "spare")}
    whole = words | {"cut slowly": vector("another")}
    text = {"s3d": whole, "glove": words}
    options = {"pairs": True, "antonyms": antonyms, "text": text}
    found = import_arrays(table, tmp_path / "own.toml", {"visual": visual}, **options).dataset

    def unit(numbers):
        return torch.nn.functional.normalize(torch.as_tensor(numbers), dim=0)

    for encoder in text:
        for factor, of in found.pairs.words.items():
            expected = torch.stack([unit(words[word]) for word in of])
            assert torch.allclose(found.pairs.text[encoder][factor], expected, atol=1e-6)
    rows = found.text_of(["stir up", "cut slowly"])
    assert torch.allclose(rows["glove"][0], unit(unit(words["stir"]) + unit(words["up"])), atol=1e-6)
    assert torch.allclose(rows["s3d"][1], unit(vector("another")), atol=1e-6)
    assert rows["s3d"].shape == (2, DIM)
    del words["up"]
    with pytest.raises(ValueError, match="no vector for 1 of 10 classes: 'up'"):
        import_arrays(table, tmp_path / "b.toml", {"visual": visual}, pairs=True, text={"glove": words})


def test_tables_of_antonyms(tmp_path):
    path = write(tmp_path / "a.csv", ("Adverb", "antonym"), [("slowly", "quickly"), ("quickly", "slowly")])
    assert read_antonyms(path) == {"slowly": "quickly", "quickly": "slowly"}
    with pytest.raises(ValueError, match="second antonym, 'fast'"):
        read_antonyms(write(path, ("adverb", "antonym"), [("slowly", "quickly"), ("slowly", "fast")]))
    with pytest.raises(ValueError, match="no column"):
        read_antonyms(write(path, ("adverb",), [("slowly",)]))
