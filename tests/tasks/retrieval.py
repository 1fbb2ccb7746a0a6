"""Retrieval: each class name asks for its clips among all test clips, seen and unseen alike."""

import numpy as np
import torch

from avshot.task import Stage, Task


class Retrieval(Task):
    """Rank clips for a name; average precision, and whether the first clip is right."""

    metrics = ("mAP", "P@1")
    main = "mAP"
    explain = (
        "mAP is the mean average precision of clips ranked for each class name, P@1 the share of right first clips."
    )

    def stages(self, dataset):
        """Train on seen classes, select on validation clips, test once."""

        def stage(name, train, judge):
            clips, judged = (np.concatenate([dataset.fold(fold) for fold in folds]) for folds in (train, judge))
            seen = tuple(dict.fromkeys(c for fold in train for c in dataset.classes_of(fold)))
            others = (c for fold in judge for c in dataset.classes_of(fold) if c not in seen)
            return Stage(name, {"all": clips}, judged, judge, seen, (*seen, *dict.fromkeys(others)))

        val, test = ("val_seen", "val_unseen"), ("test_seen", "test_unseen")
        return stage("stage1", ("train",), val), stage("stage2", ("train", *val), test)

    def measure(self, scored, settings):
        """Mean over the classes that have clips."""
        found, first = [], []
        for column in scored.labels.unique().tolist():
            right = (scored.labels == column)[scored.scores[:, column].argsort(descending=True, stable=True)].double()
            precision = right.cumsum(0) / torch.arange(1, len(right) + 1)
            found.append(float((precision * right).sum() / right.sum()))
            first.append(float(right[0]))
        return {"mAP": sum(found) / len(found), "P@1": sum(first) / len(first)}

    def guessers(self, scored):
        """A random order: the first clip is right as often as the class has clips."""
        shares = scored.labels.bincount().double() / len(scored.labels)
        return {"chance": {"P@1": float(shares[shares > 0].mean())}}
