"""Every method of the registry can be taught: it is asked for nothing but scores of the classes it was trained on."""

from dataclasses import replace

import pytest
import torch

import avshot.protocol as protocol
from avshot.method import Inputs
from avshot.prediction.predictor import Predictor
from avshot.prediction.teach import teach
from avshot.registry import create_method, get_method, list_methods
from small_runs import experiment
from synthetic import WORDS, synthetic_dataset, without

SHORT = {"epochs": 2, "batches_per_epoch": 2, "passes_per_epoch": 0, "batch_size": 16}


@pytest.mark.parametrize("method", [name for name in list_methods() if not get_method(name).needs.pairs])
def test_old_classes_keep_their_odds_and_the_new_one_is_a_candidate(method, tmp_path):
    data = synthetic_dataset()
    gone = [i for i, clip in enumerate(data.clips) if clip.label == WORDS[9]]
    texts = {f"made{i}": data.text["made"] for i in range(get_method(method).needs.texts)}
    if method == "nearest_text":  # compares features with texts of their space
        vectors = torch.nn.functional.pad(data.text["made"], (0, 8))[:, :12]
        texts = {"audio": vectors, "visual": vectors[:, :10]}
    inputs = Inputs(12, 10, {key: vectors.shape[1] for key, vectors in texts.items()}, WORDS[:6])
    # Classes known from words alone are candidates, too, where the method can score them.
    task = "gfsl?shots=2&draws=1" if create_method(method, inputs).closed else "gzsl"
    asked = experiment(method=method, recipe=SHORT, text=tuple(texts), task=task)
    source = without(replace(data, text=texts), WORDS[9:])
    run = protocol.run(asked, tmp_path / "run", dataset=source)
    made = teach(run, {"class A": data.gather(gone[:5])}, tmp_path / "taught")
    features = data.gather([0, 13, 40, 100, *gone[5:8]])
    before = Predictor(run).probabilities(features).log()
    after = Predictor(made).probabilities(features).log()
    assert after.shape == (7, 10)
    torch.testing.assert_close(after.exp().sum(dim=1), torch.ones(7, dtype=after.dtype))
    there = after[:, :-1].logsumexp(dim=1) > -500  # below that nothing of the others is left to compare
    odds = torch.log_softmax(after[:, :-1], dim=1)
    torch.testing.assert_close(odds[there], torch.log_softmax(before, dim=1)[there], atol=1e-6, rtol=1e-6)
    assert bool(there.any())
