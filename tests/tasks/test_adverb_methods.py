"""Every method for pairs through the whole task, and the zero-shot references beside them."""

import numpy as np
import pytest
import torch

from avshot.cli.app import main
from avshot.data.import_arrays import import_arrays
from avshot.data.load import load_dataset
from avshot.data.pair_split import PairRule
from avshot.experiment import Experiment, resolve
from avshot.registry import get_method, list_aliases, list_methods
from avshot.run import find_runs
from avshot.training.fitting import why_not
from pair_clips import ACTIONS, ADVERBS, vector, write_pairs
from synthetic import synthetic_dataset

PAIRED = sorted(name for name in [*list_methods(), *list_aliases()] if get_method(name).needs.pairs)
QUICK = ("--set", "recipe.epochs=4", "--set", "recipe.passes_per_epoch=6", "--set", "recipe.batch_size=16")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A declared dataset of pictures, half of whose pairs are unseen, and vectors of its words."""
    folder = tmp_path_factory.mktemp("pairs")
    table, antonyms, visual = write_pairs(folder, clips=16)
    import_arrays(
        table, folder / "own.toml", {"visual": visual}, rule=PairRule(test=0.2), pairs=True, antonyms=antonyms
    )
    words = sorted({word for text in (*ACTIONS, *ADVERBS) for word in text.split()})
    texts = {text: vector(text) for text in (*ACTIONS, *ADVERBS)}
    texts |= {f"{action} {adverb}": vector(action) + vector(adverb) for action in ACTIONS for adverb in ADVERBS}
    texts |= {word: vector(word) for word in words if word not in texts}
    np.savez(folder / "words.npz", names=np.array(list(texts)), vectors=np.stack(list(texts.values())))
    return folder


def train(folder, method, *settings):
    """The Run of a method that `avshot train` makes."""
    out = folder / f"runs-{method}"
    asked = ("--task", "adverb", "--method", method, "--text", f"vectors:{folder / 'words.npz'}", "--out", out)
    with pytest.raises(SystemExit) as left:
        main([str(part) for part in ("train", folder / "own.toml", *asked, *settings)])
    assert left.value.code in (0, None)
    (run,) = find_runs(out)
    return run


@pytest.mark.parametrize("method", PAIRED)
def test_a_method_of_pairs_learns_and_its_run_answers_again(own, method):
    run = train(own, method, *QUICK)
    # Half of the pairs train, and a manner looks alike whatever is done: better than a coin for the others, too. A
    # matrix of an adverb learns from the few actions that it is shown with, and carries over to others badly.
    assert run.metrics["seen"]["Acc-A cls"] > 0.7
    if get_method(method).name != "action_modifiers":
        assert run.metrics["unseen"]["Acc-A cls"] > 0.6
    model, classes, test = run.method(), run.classes(), run.scored("test")
    assert model.inputs.factors == {
        "action": classes.factors["action"].names,
        "adverb": classes.factors["adverb"].names,
    }
    assert (test.scores.isneginf().sum(dim=1) == len(classes) - len(ADVERBS)).all()
    first = classes.select([name for name in classes.names if name.startswith("cut ")])
    assert first.factors["action"].names == classes.factors["action"].names
    dataset = load_dataset(str(own / "own.toml"))
    with torch.inference_mode():
        place = [i for i, label in enumerate(test.labels.tolist()) if classes.names[label].startswith("cut ")]
        by_id = {clip.id: i for i, clip in enumerate(dataset.clips)}
        features = dataset.gather(np.array([by_id[test.ids[i]] for i in place])).prefer(run.view)
        again = model.score(features, first)
    columns = [classes.index(name) for name in first.names]
    torch.testing.assert_close(again, test.scores[place][:, columns], atol=1e-5, rtol=1e-4)


def test_pseudo_labels_need_unlabelled_clips(own, tmp_path, capsys):
    table, antonyms, visual = write_pairs(tmp_path)
    import_arrays(
        table,
        tmp_path / "own.toml",
        {"visual": visual},
        rule=PairRule(unseen=0, test=0.2),
        pairs=True,
        antonyms=antonyms,
    )
    with pytest.raises(SystemExit) as left:
        main(["train", str(tmp_path / "own.toml"), "--task", "adverb", "--method", "pseudo_adverbs", *QUICK])
    assert left.value.code == 2
    assert "draws from the pool 'unlabelled'" in capsys.readouterr().err


def test_zero_shot_by_the_text_of_pairs(own):
    """The cosine of a clip and the text of a pair, in a space that they share: the reference of CLIP and S3D."""
    run = train(own, "nearest_text")
    assert run.metrics["Acc-A cls"] > 0.75
    classes, test = run.classes(), run.scored("test")
    model = run.method()
    assert model.visual_text == next(iter(classes.text))
    scores = test.scores
    assert (scores.isneginf().sum(dim=1) == len(classes) - len(ADVERBS)).all()
    assert scores[~scores.isneginf()].abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("method", ["ez_avgzl", "eszsl"])
def test_other_methods_score_pairs_as_any_classes(own, method):
    run = train(own, method, *(QUICK if method == "ez_avgzl" else ()))
    assert run.metrics["seen"]["Acc-A cls"] > 0.6


def test_methods_of_pairs_are_refused_for_plain_classes():
    parts = resolve(Experiment(dataset="any", method="regada"))
    said = why_not(parts, synthetic_dataset())
    assert "pairs" in said
    assert "\n" not in said
