"""Training in bf16: every method takes a step, near that of fp32; weights stay fp32, and a resume is exact."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file
from test_loop import RECIPE, prepared, same, weights

from avshot.experiment import Experiment, resolve
from avshot.files.atomic import load_tensors
from avshot.method import Recipe
from avshot.registry import list_methods
from avshot.training.distributed import warning
from avshot.training.loop import train
from avshot.training.optimisers import Players
from test_every_method import build, make_batch

BF16 = replace(RECIPE, precision="bf16")


class Killed(Exception):
    pass


def terms(name, precision):
    """Loss terms of the first step of every player of a method, and its parameters after it."""
    model, found = build(name).train(), []
    for phase in model.phases():
        players = Players(model, phase, Recipe(precision=precision))
        for step in range(len(players.order)):
            torch.manual_seed(0)
            found.append(players.step(make_batch(name), step))
    return model, found


@pytest.mark.parametrize("name", list_methods())
def test_every_method_takes_a_step_in_bf16(name):
    model, found = terms(name, "bf16")
    _, expected = terms(name, "fp32")
    assert all(value.dtype != torch.bfloat16 for value in model.state_dict().values())
    assert all(value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point())
    for mine, theirs in zip(found, expected, strict=True):
        # Differences of large numbers lose more than the three digits of a number: per cent of the sum of the terms.
        size = sum(abs(value) for value in theirs.values())
        assert mine == pytest.approx(theirs, rel=0.05, abs=0.02 * size)


def test_rounding_reaches_the_loss_and_nothing_else():
    source, fp32 = prepared(dropout=0.2)
    _, bf16 = prepared(dropout=0.2)
    seen = []
    bf16.map.register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.dtype)))

    def judge(model):
        from avshot.task import Verdict

        return Verdict(
            float(model.score(source.features(slice(None)), source.classes).sum()), {"beta": 0.0, "view": "both"}
        )

    expected = train(fp32, source, RECIPE, seed=1)
    found = train(bf16, source, BF16, seed=1, judge=judge)
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    assert not same(weights(fp32), weights(bf16))
    for key, value in weights(fp32).items():
        torch.testing.assert_close(weights(bf16)[key], value, atol=0.02, rtol=0.0)
    assert found.losses[0] == pytest.approx(expected.losses[0], rel=0.02)


def test_a_killed_training_in_bf16_resumes_to_the_same_weights(tmp_path):
    source, whole = prepared()
    train(whole, source, BF16, seed=7)

    def die(done, total, numbers):
        if done == 2:
            raise Killed

    _, part = prepared()
    with pytest.raises(Killed):
        train(part, source, BF16, seed=7, checkpoint=tmp_path / "c", progress=die)
    _, fresh = prepared(seed=99)
    train(fresh, source, BF16, seed=7, checkpoint=tmp_path / "c")
    assert same(weights(fresh), weights(whole))
    with pytest.raises(ValueError, match="another seed or recipe"):
        train(fresh, source, RECIPE, seed=7, checkpoint=tmp_path / "c")


def test_a_checkpoint_from_before_there_was_a_choice_is_one_in_fp32(tmp_path):
    source, whole = prepared()
    train(whole, source, RECIPE, seed=7)
    _, part = prepared()
    train(part, source, RECIPE, seed=7, epochs=2, checkpoint=tmp_path / "c")
    tensors, about = load_tensors(tmp_path / "c")
    del about["recipe"]["precision"]
    save_file(tensors, tmp_path / "c", metadata={"avshot": json.dumps(about)})
    _, old = prepared(seed=99)
    train(old, source, RECIPE, seed=7, checkpoint=tmp_path / "c")
    assert same(weights(old), weights(whole))


def test_a_processor_without_bf16_is_worth_a_note(monkeypatch):
    assert warning("fp32", "cpu") == warning("bf16", "cuda:0") == ""
    for able in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able)
        assert ("no bf16 instructions" in warning("bf16", "cpu")) != able


def test_the_choice_is_a_field_of_the_recipe():
    with pytest.raises(ValueError, match="precision 'fp16' does not exist; use one of fp32, bf16"):
        Recipe(precision="fp16")
    experiment = Experiment(dataset="d", method="devise", recipe={"precision": "bf16"})
    assert asdict(resolve(experiment).recipe)["precision"] == "bf16"
    assert experiment.label() == "devise-precision=bf16"
