"""What a Run knows of itself: the facts, the sentences by kind, and where they are shown."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.report.page import write_page
from avshot.report.rows import remarks, summarise
from avshot.run import load_run
from avshot.runs.knowledge import SHUFFLES, _shufflings, about, doubts, measured
from avshot.task import Scored, Stage
from avshot.tasks.gzsl import GZSL
from small_runs import SMALL, experiment
from synthetic import synthetic_dataset

SETTINGS = {"beta": 0.0, "view": "both"}


def scored(right, n=60, classes=6, seed=0):
    """Clips of which a share `right` has its label as the best class, the others a random one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    guess = np.where(rng.random(n) < right, labels, rng.integers(0, classes, n))
    scores = torch.nn.functional.one_hot(torch.from_numpy(guess), classes).float()
    seen = torch.arange(classes) < classes - 2
    names = tuple(f"class {i}" for i in range(classes))
    return Scored(scores, torch.from_numpy(labels), seen, names, tuple(map(str, range(n))))


def facts(found=None, **more):
    dataset = synthetic_dataset()
    stage = GZSL().stages(dataset)[1]
    given = {"scored": found, "settings": SETTINGS, "on": ("val_seen", "val_unseen"), "learns": True}
    return measured(GZSL(), dataset, stage, **(given | more))


def test_the_facts_are_counts():
    dataset = synthetic_dataset()
    stage = GZSL().stages(dataset)[1]
    knows = facts(scored(0.9))
    labels = [dataset.clips[i].label for i in stage.train]
    sizes = sorted(labels.count(name) for name in set(labels))
    assert (knows["clips"], knows["classes"]) == (len(labels), len(sizes))
    assert (knows["fewest"], knows["median"], knows["most"]) == (sizes[0], float(np.median(sizes)), sizes[-1])
    assert set(knows["examples"]) <= set(labels)
    judged = knows["judged"]
    value = GZSL().measure(scored(0.9), SETTINGS)["HM"]
    assert (judged["metric"], judged["value"], judged["clips"]) == ("HM", value, 60)
    assert judged["guess"] == pytest.approx(1 / 6)
    assert (judged["guesser"], judged["as_good"], judged["shuffles"]) == ("chance", 0, SHUFFLES)


def test_a_useless_run_is_found_and_a_good_one_left_alone():
    doubted = [bool(doubts(facts(scored(0.0, seed=seed)))) for seed in range(20)]
    assert sum(doubted) >= 18  # one in a hundred passes by chance
    assert doubts(facts(scored(0.5))) == []
    (told,) = doubts(facts(scored(0.0)))
    assert told.startswith("No better than guessing on the 60 validation clips (HM ")
    assert told.endswith("chance 16.7 %): its answers are guesses.")


def test_a_constant_answer_is_a_guess_however_common_the_class():
    constant = replace(scored(1.0), labels=torch.tensor([0] * 50 + [1, 2, 3, 4, 5] * 2))
    constant = replace(constant, scores=torch.eye(6)[torch.zeros(60, dtype=torch.long)])
    assert facts(constant)["judged"]["as_good"] == SHUFFLES


def test_of_four_clips_nothing_can_be_said():
    perfect = scored(1.0, n=4, classes=4)
    (told,) = doubts(facts(perfect))
    assert told == "Judged on 4 validation clips, too few to tell its answers from guesses (HM 100.0 %, chance 25.0 %)."
    assert "4 held-out clips" in doubts(facts(perfect, on=("test_seen",)))[0]


def test_nothing_was_held_out():
    assert doubts(facts(None)) == ["No clip was held out, so nobody knows how good it is."]


@pytest.mark.parametrize(
    ("sizes", "words"), [((1, 1, 1), "1 of each class"), ((1, 1.0, 2), "1 or 2 of each class"), ((1, 3.0, 9), "1 to 9")]
)
def test_few_clips_of_a_class(sizes, words):
    few = facts(scored(0.9)) | dict(zip(("fewest", "median", "most"), sizes, strict=True)) | {"clips": 11}
    (told,) = doubts(few)
    assert told.startswith("Trained on 11 clips, ")
    assert words in told
    assert doubts(few | {"learns": False}) == []


def test_what_it_was_trained_on_in_a_line():
    knows = {"clips": 640, "classes": 32, "examples": ["red sliding drumming", "blue growing beeping"]}
    start = 'Trained on 640 clips of 32 classes like "red sliding drumming", "blue growing beeping"'
    assert about(knows | {"described": ["logmel", "pixels"]}) == f"{start}; logmel and pixels know nothing else."
    assert about(knows | {"described": ["logmel"]}) == f"{start}; logmel knows nothing else."
    assert about(knows | {"described": ["clap", "clip"]}) == f"{start}, described by clap and clip."
    assert about(knows | {"described": []}) == f"{start}."
    one = {"clips": 1, "classes": 1, "examples": [], "described": []}
    assert about(one) == "Trained on 1 clip of 1 class."


class Plain(GZSL):
    """A task that knows of no guessers."""

    def guessers(self, scored):
        return {}


def test_a_task_without_guessers_is_compared_with_shuffled_labels():
    dataset = synthetic_dataset()
    stage = GZSL().stages(dataset)[1]
    found = measured(Plain(), dataset, stage, scored=scored(0.0), settings=SETTINGS, on=("val_seen",), learns=True)[
        "judged"
    ]
    assert found["guesser"] == "shuffled labels"
    assert 0.02 < found["guess"] < 0.4


def test_labels_are_shuffled_among_clips_of_the_same_candidates():
    one = scored(1.0, n=12)
    scores = one.scores.clone()
    first = one.labels < 3
    scores[first, 3:] = -torch.inf
    scores[~first, :3] = -torch.inf
    shuffled = _shufflings(replace(one, scores=scores))
    assert len(shuffled) == SHUFFLES
    for other in shuffled:
        assert sorted(other.labels[first].tolist()) == sorted(one.labels[first].tolist())
    assert any(not torch.equal(other.labels, one.labels) for other in shuffled)


def test_a_stage_without_labels_is_counted():
    dataset = synthetic_dataset()
    nothing = Stage("stage2", {"all": np.array([], int)}, np.array([], int), (), (), ())
    knows = measured(GZSL(), dataset, nothing, scored=None, settings=SETTINGS, on=(), learns=False)
    assert (knows["clips"], knows["median"], knows["examples"]) == (0, 0.0, [])
    assert about(knows | {"described": []}) == "Trained on 0 clips of 0 classes."


@pytest.fixture(scope="module")
def useless(tmp_path_factory):
    """A Run that learnt nothing: at a rate of 0 its weights are those it began with."""
    folder = tmp_path_factory.mktemp("useless")
    dataset = synthetic_dataset()
    return protocol.run(experiment(recipe=SMALL | {"lr": 1e-12, "epochs": 1}), folder / "run", dataset=dataset)


def test_a_doubt_is_in_the_run_the_card_and_the_report(useless, tmp_path):
    (told,) = doubts(useless.info["knows"])
    assert "guess" in told
    card = (useless.path / "README.md").read_text()
    assert f"- {told}" in card
    assert about(useless.info["knows"]) in card
    assert told in remarks(summarise([useless]))
    write_page([useless], tmp_path / "report.html")
    assert told in (tmp_path / "report.html").read_text()


def test_a_doubt_of_some_rows_and_seeds_names_them(useless):
    fine = replace(useless, info=useless.info | {"knows": facts(scored(0.9))})
    other = replace(fine, experiment=fine.experiment.model_copy(update={"seed": 1}))
    label = summarise([useless])[0].label
    (told,) = remarks(summarise([useless, other]))
    assert told.startswith(f"{label} seed 0: ")
    assert remarks(summarise([fine, other])) == []


def test_a_run_from_before_says_so(useless, tmp_path):
    assert about(None) == "Made by an older avshot, which did not note what it was trained on."
    assert doubts(None) == []
    from avshot.files.run_record import _DIGEST, write_record

    content = json.loads((useless.path / "run.json").read_text())
    del content["knows"], content[_DIGEST]
    (tmp_path / "run").mkdir()
    for file in useless.path.iterdir():
        (tmp_path / "run" / file.name).write_bytes(file.read_bytes())
    write_record(tmp_path / "run" / "run.json", content)
    assert load_run(tmp_path / "run").info["knows"] is None
