"""New class names are embedded in the space of the training, or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.classes.phrase import join_key
from avshot.prediction.names import check_space, texts_of
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
    assert texts_of(run, [NEW])[NEW][-1] == f"a sound of {NEW}"
    check_space(run)
    assert torch.equal(Predictor(run).classes([NEW]).text["wordllama"], before.text["wordllama"])
    with pytest.raises(ValueError, match=r"text encoder, prompts or descriptions"):
        protocol.run(asked, tmp_path / "run", dataset=dataset)
    file.unlink()
    assert torch.equal(Predictor(run).classes([NEW]).text["wordllama"], before.text["wordllama"])
