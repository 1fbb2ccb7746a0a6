"""Candidate classes of a stage: optimised once for all trainings that have them in common."""

from dataclasses import replace

import numpy as np
import torch

import avshot.classes.candidates as candidates
from avshot.classes.optimise.optimise import optimise
from avshot.experiment import Experiment, resolve
from avshot.task import Stage
from avshot.types import Classes


def given(seed=0):
    generator = torch.Generator().manual_seed(seed)
    names = tuple("abcdefg")
    text = {"words": torch.randn(7, 12, generator=generator) + 0.8 * torch.randn(1, 12, generator=generator)}
    none = np.zeros(0, dtype=np.int64)
    stage = Stage("stage2", pools={"all": none}, judge=none, judged_on=(), seen=names[:4], candidates=names)
    return stage, Classes(names, text, torch.zeros(7, dtype=torch.bool))


def test_trainings_that_differ_in_method_and_seed_optimise_once(monkeypatch):
    calls = []

    def counted(vectors, settings, *, names, seen):
        calls.append(settings)
        return optimise(vectors, settings, names=names, seen=seen)

    candidates._optimised.cache_clear()
    monkeypatch.setattr(candidates, "optimise", counted)
    stage, raw = given()

    def used(raw=raw, stage=stage, **settings):
        experiment = Experiment(dataset="any", optimise_classes=True, **settings)
        return candidates.candidates_of_stage(raw, stage.candidates, stage.seen, resolve(experiment).optimise)

    first, plain, outcomes = used(method="devise", seed=0)
    assert torch.equal(plain.text["words"], raw.text["words"])
    expected, _ = optimise(raw.text["words"], names=raw.names)
    assert torch.equal(first.text["words"], expected)
    assert outcomes["words"]["names"] == raw.names
    first.text["words"].zero_()  # what one training does to its classes is no other one's business
    again, _, _ = used(method="ale", seed=1)
    assert len(calls) == 1
    assert torch.equal(again.text["words"], expected)
    used(optimise={"growth": 1.1})
    used(raw=given(seed=1)[1])
    used(stage=replace(stage, candidates=raw.names[:5]))
    assert len(calls) == 4
    candidates._optimised.cache_clear()
