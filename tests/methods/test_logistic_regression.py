"""Logistic regression: scikit-learn's own on the same numbers, two classes, and what it does not know."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(count=4, size=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(count, (size,), generator=generator)
    labels[:count] = torch.arange(count)
    centres = torch.randn(count, 7, generator=generator)
    value = centres[labels] + torch.randn(size, 7, generator=generator)
    text = torch.randn(count, 5, generator=torch.Generator().manual_seed(1))
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    return Batch(Features.averaged(value[:, :4], value[:, 4:]), labels, classes)


def fitted(batch, **overrides):
    model = create_method("logistic_regression", INPUTS, **overrides).eval()
    model.adapt([Batch(batch.features[:9], batch.labels[:9], batch.classes),
                 Batch(batch.features[9:], batch.labels[9:], batch.classes)], batch.classes)  # fmt: skip
    return model


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("inverse_penalty", [1.0, 0.05])
def test_it_is_scikit_learns(count, inverse_penalty):
    batch, new = make_batch(count), make_batch(count, seed=2).features
    scaler = StandardScaler().fit(torch.cat(batch.features.pooled(), dim=1).numpy())
    x, asked = (scaler.transform(torch.cat(f.pooled(), dim=1).numpy()) for f in (batch.features, new))
    oracle = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=1000).fit(x, batch.labels.numpy())
    found = torch.softmax(fitted(batch, inverse_penalty=inverse_penalty).score(new, batch.classes), dim=1)
    torch.testing.assert_close(found, torch.from_numpy(oracle.predict_proba(asked)).float(), atol=2e-3, rtol=2e-3)


def test_classes_are_found_whatever_their_order():
    batch = make_batch()
    model, order = fitted(batch), [2, 0, 3]
    some = batch.classes.select([batch.classes.names[i] for i in order])
    scores = model.score(batch.features, batch.classes)
    torch.testing.assert_close(model.score(batch.features, some), scores[:, order])
    assert model.closed


def test_a_class_without_clips_is_refused():
    batch = make_batch()
    model = fitted(batch)
    with pytest.raises(ValueError, match="knows the 4 classes it had clips of, not 'thunder'; train it with clips"):
        model.score(batch.features, Classes(("thunder",), {"words": torch.ones(1, 5)}, torch.tensor([False])))


def test_errors():
    with pytest.raises(ValueError, match="inverse_penalty is 0"):
        create_method("logistic_regression", INPUTS, inverse_penalty=0)
    batch = make_batch()
    one = Batch(batch.features[:3], torch.zeros(3, dtype=torch.long), batch.classes)
    with pytest.raises(ValueError, match="clips of 1 classes; expected at least two"):
        create_method("logistic_regression", INPUTS).adapt([one], batch.classes)
