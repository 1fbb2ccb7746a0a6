"""The final classifier: what it learns from, rows found by embedding, any number of candidates, equal embeddings."""

import pytest
import torch

from avshot.nn.final_classifier import ClassifierConfig, FinalClassifier
from avshot.types import Batch, Classes, Features

QUICK = ClassifierConfig(synthetic=20, classifier_epochs=30, classifier_batch=32, classifier_lr=0.05)
AXES = torch.eye(4)  # class c of this file lies about the axis c


def make_classes(count=4, seen=2, text=AXES):
    return Classes(tuple(f"c{i}" for i in range(count)), {"words": text[:count]}, torch.arange(count) < seen)


def clips(labels, seed=0):
    noise = 0.1 * torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    value = AXES[labels] + noise
    return Features.averaged(value[:, :2], value[:, 2:])


def embed(features):
    return torch.cat(features.pooled(), dim=1)


def generate(text):
    return text + 0.1 * torch.randn(len(text), 4)


def support(count=2, per_class=10):
    labels = torch.arange(count).repeat(per_class)
    classes = make_classes(count, count)
    return [Batch(clips(labels[i : i + 8], i), labels[i : i + 8], classes) for i in range(0, len(labels), 8)]


def fitted(classes, given=None, config=QUICK, make=generate, seed=0):
    classifier = FinalClassifier(4, 4)
    torch.manual_seed(seed)
    classifier.fit(given, classes, config, embed=embed, generate=make)
    return classifier


def test_classes_with_clips_learn_from_them_and_the_others_from_generated_features():
    asked = []

    def record(text):
        asked.append(text)
        return generate(text)

    classes = make_classes()
    classifier = fitted(classes, support(), make=record)
    assert len(asked) == 1
    assert asked[0].unique(dim=0).tolist() == sorted(AXES[2:].tolist())
    assert len(asked[0]) == 2 * 20
    labels = torch.arange(4).repeat(5)
    assert (classifier(embed(clips(labels, 99)), classes).argmax(dim=1) == labels).all()


@pytest.mark.parametrize("given", [None, []], ids=["none", "empty"])
def test_without_clips_all_classes_are_generated(given):
    classes, labels = make_classes(), torch.arange(4).repeat(5)
    classifier = fitted(classes, given)
    assert (classifier(embed(clips(labels, 99)), classes).argmax(dim=1) == labels).all()


def test_clips_of_classes_that_are_no_candidates_are_passed_over():
    text = torch.cat([AXES[1:], torch.full((1, 4), 0.5)])
    classes = Classes(("c1", "c2", "c3", "all"), {"words": text}, torch.tensor([True, False, False, False]))
    classifier = fitted(classes, support(count=2))
    assert len(classifier.weight) == 4
    assert classifier(embed(clips(torch.tensor([1, 2]))), classes).argmax(dim=1).tolist() == [0, 1]


def test_rows_are_found_by_embedding_whatever_the_order_of_the_classes():
    classes, order = make_classes(), [2, 0, 3, 1]
    permuted = classes.select([classes.names[i] for i in order])
    classifier, value = fitted(classes, support()), embed(clips(torch.arange(4)))
    scores = classifier(value, classes)
    torch.testing.assert_close(classifier(value, permuted), scores[:, order])
    torch.testing.assert_close(classifier(value, permuted.select(["c3"])), scores[:, 3:])
    renamed = Classes(("w", "x", "y", "z"), classes.text, classes.seen)
    assert torch.equal(classifier(value, renamed), scores)
    again = fitted(permuted, support())  # nor does the order in which it was fitted matter
    torch.testing.assert_close(again(value, classes), scores)


def test_rounding_of_an_embedding_does_not_lose_its_row():
    classes = make_classes()
    classifier, value = fitted(classes), embed(clips(torch.arange(4)))
    rounded = classes.with_text({"words": AXES + 2e-6})
    assert torch.equal(classifier(value, rounded), classifier(value, classes))


def test_classes_with_equal_embeddings_tie():
    text = torch.stack([AXES[0], AXES[2], AXES[2], AXES[1]])
    classes = Classes(("a", "b", "b again", "c"), {"words": text}, torch.tensor([True, True, False, True]))
    known = make_classes(3, 3)
    labels = torch.arange(3).repeat(8)
    classifier = fitted(classes, [Batch(clips(labels), labels, known)])
    assert len(classifier.weight) == 3
    scores = classifier(embed(clips(torch.tensor([2, 0]))), classes)
    assert torch.equal(scores[:, 1], scores[:, 2])
    assert scores.argmax(dim=1).tolist() == [1, 0]


def test_a_class_without_a_row_is_refused_by_name():
    value = embed(clips(torch.arange(2)))
    with pytest.raises(ValueError, match=r"no row for class 'c0'.*0 class embeddings.*adapt"):
        FinalClassifier(4, 4)(value, make_classes())
    with pytest.raises(ValueError, match=r"no row for class 'c3'.*3 class embeddings.*adapt"):
        fitted(make_classes(3))(value, make_classes(4))


def test_state_goes_into_a_classifier_of_any_size():
    classes, value = make_classes(), embed(clips(torch.arange(4)))
    classifier = fitted(classes)
    for other in (FinalClassifier(4, 4), fitted(make_classes(2), seed=1)):
        other.load_state_dict(classifier.state_dict())
        assert torch.equal(other(value, classes), classifier(value, classes))
    back = fitted(classes)
    back.load_state_dict(FinalClassifier(4, 4).state_dict())
    assert len(back.weight) == 0
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        FinalClassifier(5, 4).load_state_dict(classifier.state_dict())


def test_it_finds_the_weights_of_a_softmax_regression():
    """At the end of a long training the gradient of the (balanced) cross-entropy, written as a loop, is zero."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 30 + [1] * 6)
    classes = make_classes(2, 2)
    value = AXES[labels] + torch.randn(36, 4, generator=generator)
    features = Features.averaged(value[:, :2], value[:, 2:])
    for balanced in (False, True):
        config = ClassifierConfig(0, 400, 36, 0.05, balanced=balanced)
        classifier = fitted(classes, [Batch(features, labels, classes)], config)
        rows = [int((classifier.embedding == AXES[c]).all(dim=1).nonzero()) for c in range(2)]
        total = torch.zeros(4)
        for x, label in zip(value, labels.tolist(), strict=True):
            logits = [float(classifier.weight[row] @ x + classifier.bias[row]) for row in rows]
            share = torch.tensor(logits).softmax(dim=0)[0]
            weight = (1 / 30, 1 / 6)[label] / 2 if balanced else 1 / 36
            total += weight * (share - float(label == 0)) * x
        assert total.abs().max() < 2e-3
