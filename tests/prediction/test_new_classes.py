"""New class names are embedded in the space of the training, or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.classes.embed import create_text_encoder
from avshot.classes.optimise.optimise import optimise
from avshot.classes.phrase import join_key
from avshot.prediction.names import check_space
from avshot.prediction.predictor import Predictor
from small_runs import experiment
from synthetic import WORDS, synthetic_dataset

NEW = "loud horn"


def write_vectors(path, changed=()):
    rng = np.random.default_rng(0)
    words = sorted({word for name in (*WORDS, NEW) for word in name.split()})
    vectors = {word: rng.normal(size=8) for word in words}
    vectors |= {word: -vectors[word] for word in changed}
    path.write_text("".join(f"{w} " + " ".join(f"{x:.6f}" for x in v) + "\n" for w, v in vectors.items()))


def test_an_edited_vector_file_is_noticed_by_the_run_s_own_classes(tmp_path):
    file = tmp_path / "glove.txt"
    write_vectors(file)
    dataset = replace(synthetic_dataset(), text={})
    asked = experiment(text=(f"vectors:{file}",))
    run = protocol.run(asked, tmp_path / "run", dataset=dataset)
    before = Predictor(run).classes([NEW, WORDS[0]])
    write_vectors(file, changed=["dog"])
    with pytest.raises(ValueError, match=r"cannot take new class names.*dog barking"):
        Predictor(run).classes([NEW, WORDS[0]])
    assert Predictor(run).classes([WORDS[1]]).names == (WORDS[1],)  # its own need no text encoder
    with pytest.raises(ValueError, match=r"class embeddings 'vectors' of dog barking"):
        protocol.run(asked, tmp_path / "run", dataset=dataset)
    write_vectors(file)
    again = Predictor(run).classes([NEW, WORDS[0]])
    assert all(torch.equal(before.text[k], again.text[k]) for k in before.text)


def test_descriptions_are_those_of_the_training(tmp_path):
    file = tmp_path / "words.csv"
    file.write_text("name,text\n" + "".join(f"{name},a sound of {name}\n" for name in (*WORDS, NEW)))
    dataset = replace(synthetic_dataset(), text={})
    asked = experiment(descriptions=str(file))
    run = protocol.run(asked, tmp_path / "run", dataset=dataset)
    assert run.info["descriptions"][join_key(NEW)] == [f"a sound of {NEW}"]
    before = Predictor(run).classes([NEW])
    file.write_text(file.read_text().replace("a sound of", "silence and"))
    check_space(run)
    assert torch.equal(Predictor(run).classes([NEW]).text["wordllama"], before.text["wordllama"])
    with pytest.raises(ValueError, match=r"text encoder, prompts or descriptions"):
        protocol.run(asked, tmp_path / "run", dataset=dataset)
    file.unlink()
    assert torch.equal(Predictor(run).classes([NEW]).text["wordllama"], before.text["wordllama"])


SMALL_KDA = {"audio_hidden": 8, "visual_hidden": 8, "width": 8, "common": 6, "feedforward": 4}


@pytest.mark.parametrize("optimise", [False, True])
def test_separate_descriptions_from_training_to_new_names(tmp_path, optimise):
    file = tmp_path / "words.csv"
    rows = [f"{name},a sound of {name},what {name} looks like" for name in WORDS]
    file.write_text("name,heard,seen\n" + "\n".join([*rows, f"{NEW},a sound of {NEW},"]) + "\n")
    dataset = replace(synthetic_dataset(), text={})
    asked = experiment(
        method="kda", config=SMALL_KDA, descriptions=str(file), separate_descriptions=True, optimise_classes=optimise
    )
    run = protocol.run(asked, tmp_path / "run", dataset=dataset)
    raw = run.classes(raw=True)
    assert list(raw.text) == list(run.inputs.text) == ["wordllama#1", "wordllama#2"]
    encoder = create_text_encoder("wordllama")
    for number, text in enumerate(("a sound of dog barking", "what dog barking looks like"), start=1):
        torch.testing.assert_close(raw.text[f"wordllama#{number}"][0], encoder.encode([text])[0], atol=1e-6, rtol=0)
    assert len(run.method().embed_texts) == 1  # both through one map
    file.unlink()
    found = Predictor(run).classes([NEW, "thunder", WORDS[0]])
    one, two = found.text["wordllama#1"], found.text["wordllama#2"]
    assert not torch.allclose(one[2], two[2], atol=0.1)
    if not optimise:
        torch.testing.assert_close(one[:2], two[:2])  # one description, or the name alone, in both: no spread
        torch.testing.assert_close(one[:2], encoder.encode([f"a sound of {NEW}", "thunder"]), atol=1e-6, rtol=0)
        scores = run.method().score(dataset.gather(np.arange(3)), found)
        assert scores.isfinite().all()
    else:  # each entry is optimised by itself, among its like
        assert set(run.info["optimise"]["test"]) == set(raw.text)
        assert not torch.equal(run.classes().text["wordllama#2"], raw.text["wordllama#2"])
    file.write_text("name,text\n" + "".join(f"{name},a sound of {name}\n" for name in WORDS))
    with pytest.raises(ValueError, match="separate_descriptions is False, it was True"):
        protocol.run(asked.model_copy(update={"separate_descriptions": False}), tmp_path / "run", dataset=dataset)


def test_a_run_on_released_descriptions_opens_where_the_benchmark_is_not(tmp_path):
    file = tmp_path / "words.csv"
    file.write_text("name,text\n" + "".join(f"{name},a sound of {name}\n" for name in WORDS))
    asked = experiment(descriptions=str(file))
    run = protocol.run(asked, tmp_path / "run", dataset=replace(synthetic_dataset(), text={}))
    moved = asked.model_copy(update={"descriptions": "released", "dataset": "official:/nowhere?name=UCF"})
    found = Predictor(replace(run, experiment=moved)).classes([WORDS[0], NEW])
    assert torch.equal(found.text["wordllama"], Predictor(run).classes([WORDS[0], NEW]).text["wordllama"])


@pytest.mark.parametrize("scope", ["seen", "all"])
def test_where_a_new_name_goes_depends_on_other_new_names_only_where_all_move_together(tmp_path, scope):
    dataset = replace(synthetic_dataset(), text={})
    asked = experiment(optimise_classes=True, optimise={"scope": scope})
    run = protocol.run(asked, tmp_path / "run", dataset=dataset)
    (encoder,) = run.classes().text
    alone, among = (Predictor(run).classes(names) for names in ([NEW], [NEW, "loud horns", "soft rain"]))
    assert torch.equal(alone.text[encoder][0], among.text[encoder][0]) == (scope == "seen")
    raw, moved, seen = run.classes(raw=True).text[encoder], run.classes().text[encoder], run.classes().seen
    assert not torch.allclose(raw[seen], moved[seen], atol=1e-3)
    # The trained classes do not know of those that are tested: without these they lie where they lie with them.
    expected = optimise(raw[seen])[0] if scope == "seen" else optimise(raw)[0][seen]
    assert torch.allclose(moved[seen], expected, atol=1e-6)


def test_class_vectors_of_the_dataset_by_their_own_name_embed_nothing_new(tmp_path):
    run = protocol.run(experiment(text=("made",)), tmp_path / "run", dataset=synthetic_dataset())
    assert Predictor(run).classes([WORDS[1]]).names == (WORDS[1],)
    with pytest.raises(
        ValueError, match="class vectors made, which came with its dataset, so it cannot embed 'loud horn'"
    ):
        Predictor(run).classes([NEW])
