"""What a report, a card and a bench say of Runs that learnt from few shots: in the words of that task."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from avshot import protocol
from avshot.bench.paired import p_of_pairs
from avshot.recipe import base_then_novel
from avshot.registry import get_method
from avshot.report.comparison import write_comparison
from avshot.report.confusion import confusion
from avshot.report.lines import learning
from avshot.report.page import write_page
from avshot.report.rows import remarks, summarise
from avshot.run import load_run
from avshot.types import Clip
from small_runs import experiment
from synthetic import synthetic_dataset


def related_dataset():
    """Four clips of a class come from one source, so that some judged clips are related to shots."""
    data = synthetic_dataset(noise=2.0)
    clips = (Clip(clip.id, label=clip.label, group=f"source {i // 4}") for i, clip in enumerate(data.clips))
    return replace(data, clips=tuple(clips))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one method and one of another, two draws of two shots each."""
    root, data = tmp_path_factory.mktemp("few"), related_dataset()
    asked = {"a": {}, "b": {"seed": 1}, "c": {"config": {"margin": 0.9}}}
    for name, changes in asked.items():
        protocol.run(experiment(task="gfsl?shots=2&draws=2", **changes), root / name, dataset=data)
    return [load_run(root / name) for name in asked]


def test_the_page_speaks_of_base_and_novel_classes(runs, tmp_path):
    write_page(runs, tmp_path / "page.html")
    html, text = (tmp_path / "page.html").read_text(), (tmp_path / "page.md").read_text()
    words = html[html.index("</style>") if "</style>" in html else 0 :].partition("<h2>Settings")[0]
    for word in ("unseen", "ZSL"):
        assert word not in words.replace("val_unseen", "").replace("test_unseen", ""), word
    assert re.search(r"<td[^>]*>novel</td>", html)
    assert re.search(r"<td[^>]*>base</td>", html)
    assert "man speaking (novel), " in html
    assert "Figures and tables of single classes and clips are of the first draw." in text
    assert "Single draws, in per cent: " in text
    assert "judged clips of novel classes (all draws together) come from the source of a shot." in text


def test_a_note_tells_how_far_the_draws_lie_apart(runs):
    rows = [row for row in summarise(runs) if row.runs]
    (told,) = [text for text in remarks(rows) if text.startswith("Single draws")]
    for row in rows:
        each, deviations = [], []
        for run in row.runs:
            own = [run.task.measure(run.scored(draw), run.settings)["HM"] for draw in ("test", "test2")]
            each += own
            deviations.append(np.std(own, ddof=1))
        low, high, deviation = (f"{100 * value:.1f}" for value in (min(each), max(each), np.mean(deviations)))
        assert f"{row.label} HM {low} to {high}, deviation {deviation}" in told
    notes = runs[0].info["task"]["notes"]
    assert len(notes) == 1
    assert remarks(rows).count(notes[0]) == 1


def test_the_matrix_of_the_first_draw_is_told_in_the_words_of_the_task(runs):
    row = next(row for row in summarise(runs) if len(row.runs) == 2)
    assert "novel classes follow the white lines" in confusion(row).get_suptitle().replace("\n", " ")
    assert runs[0].draws == ("test", "test2")


def test_the_card_counts_the_clips_of_novel_classes(runs):
    run = runs[0]
    card = (run.path / "README.md").read_text()
    assert "10 classes with training clips, 10 candidate classes." in card
    assert "wind blowing (2 clips), man speaking (2 clips)" in card.replace("trained on ", "")
    assert "## Candidate classes without training clips\n\nnone\n" in card
    assert "tags: [few-shot," in card
    assert "Mean over draws; single ones, in per cent: HM " in card
    assert run.info["task"]["notes"][0] in card


def test_two_runs_beside_each_other(runs, tmp_path):
    write_comparison(runs[0], runs[2], tmp_path / "c.html")
    text = (tmp_path / "c.md").read_text()
    assert "FSL: test clips of novel classes, among novel classes alone." in text
    assert "| novel class " in text
    assert "mean over classes (FSL of the first draw)" in text
    assert "unseen" not in text.partition("## Settings")[0]


def test_a_curriculum_is_not_drawn_as_one_metric(runs, tmp_path, monkeypatch):
    assert "curriculum" not in learning(summarise(runs)).get_suptitle()
    monkeypatch.setattr(get_method("devise"), "phases", lambda self: base_then_novel())
    protocol.run(experiment(task="gfsl?shots=2&draws=1"), tmp_path, dataset=related_dataset())
    told = " ".join(learning(summarise([load_run(tmp_path)])).get_suptitle().split())
    assert "before the last part of a curriculum: the metric of that part" in told


def test_p_looks_at_all_draws(runs, monkeypatch):
    one, other = runs[0], runs[2]
    assert p_of_pairs([(one, one)]) == 1.0
    perfect = replace(other)
    wrong = replace(one)
    for run, sign in ((perfect, 1.0), (wrong, -1.0)):
        answers = {}
        for draw in run.draws:
            test = run.scored(draw)
            right = torch.nn.functional.one_hot(test.labels, len(test.names)).float()
            answers[draw] = replace(test, scores=sign * right)
        object.__setattr__(run, "scored", answers.get)
    assert p_of_pairs([(perfect, wrong)]) < 0.001
    second = {draw: perfect.scored(draw) for draw in perfect.draws}
    mixed = replace(one)
    object.__setattr__(mixed, "scored", {"test": second["test"], "test2": wrong.scored("test2")}.get)
    assert p_of_pairs([(perfect, mixed)]) < 0.001, "the second draw counts"
    short = replace(one, info=json.loads(json.dumps(one.info)))
    del short.info["scored"]["test2"]
    with pytest.raises(ValueError, match="not tested on the same draws"):
        p_of_pairs([(one, short)])
