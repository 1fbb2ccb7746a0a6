"""The protocol and the Run folder it leaves behind."""

import json
from dataclasses import replace

import pytest
import torch

import avshot.protocol as protocol
from avshot.experiment import Experiment, parse_experiment, resolve
from avshot.metrics.generalised import BETA_GRIDS, gzsl_metrics
from avshot.metrics.stacking import Rivals
from avshot.run import find_runs, load_run
from avshot.task import get_task
from synthetic import synthetic_dataset

SMALL = {"epochs": 3, "batches_per_epoch": 4, "passes_per_epoch": 0, "batch_size": 16, "lr": 1e-2}
GRID = {"beta_grid": "avca"}


def experiment(**changes):
    return Experiment(**{"dataset": "in memory", "method": "devise", "recipe": SMALL, "selection": GRID, **changes})


@pytest.fixture(scope="module")
def dataset():
    return synthetic_dataset()


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    return protocol.run(experiment(), tmp_path_factory.mktemp("run"), dataset=dataset)


def test_stages_follow_the_folds(dataset):
    first, second = get_task("gzsl").stages(dataset)
    assert first.seen == dataset.names[:6]
    assert first.candidates == dataset.names[:8]
    assert second.seen == dataset.names[:8]
    assert second.candidates == dataset.names
    folds = dataset.folds
    assert set(second.train) == set(folds["train"]) | set(folds["val_seen"]) | set(folds["val_unseen"])
    assert not set(second.train) & set(second.judge)


def test_a_run_alone_gives_back_model_classes_and_scores(finished, dataset):
    run = load_run(finished.path)
    test = run.scored("test")
    position = {clip.id: i for i, clip in enumerate(dataset.clips)}
    shown = dataset.gather([position[id] for id in test.ids]).prefer(run.view)
    assert torch.allclose(run.method().score(shown, run.classes()), test.scores, atol=1e-5)
    assert test.names == run.classes().names == dataset.names
    assert run.metrics == json.loads(json.dumps(gzsl_metrics(test.scores, test.labels, test.seen, run.beta)))
    assert set(run.embeddings()) == {"audio", "visual", "clip", "class"}
    assert "beta" in (run.path / "README.md").read_text()
    assert not list(run.path.glob("*.checkpoint"))


def test_epoch_and_calibration_come_from_validation_alone(finished, dataset, tmp_path):
    val = finished.scored("val")
    curve = Rivals(val.scores, val.labels, val.seen).curve(torch.linspace(*BETA_GRIDS["avca"]).numpy())
    assert finished.beta == pytest.approx(float(curve.beta[curve.best()]))
    assert finished.info["chosen"]["by"] == ["val_seen", "val_unseen"]
    history = finished.history()
    assert finished.info["chosen"]["epochs"] == history["stage1"]["scores"].index(max(history["stage1"]["scores"])) + 1
    assert len(history["stage2"]["losses"]) == finished.info["chosen"]["epochs"]
    assert history["stage2"]["scores"] == []
    # Other test clips change nothing that was chosen, and nothing that was trained.
    folds = {**dataset.folds, "test_unseen": dataset.folds["test_unseen"][::3]}
    fewer = type(dataset)(dataset.name, dataset.clips, dataset.names, folds, dataset.features, text=dataset.text)
    other = protocol.run(experiment(), tmp_path, dataset=fewer)
    assert other.info["chosen"] == finished.info["chosen"]
    assert (other.path / "weights.safetensors").read_bytes() == (finished.path / "weights.safetensors").read_bytes()


def test_the_same_experiment_gives_the_same_numbers_and_a_finished_run_is_not_repeated(finished, dataset, tmp_path):
    again = protocol.run(experiment(), tmp_path, dataset=dataset)
    assert again.metrics == finished.metrics
    written = (again.path / "run.json").stat().st_mtime_ns
    assert protocol.run(experiment(), tmp_path, dataset=dataset).metrics == again.metrics
    assert (again.path / "run.json").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="another experiment"):
        protocol.run(experiment(seed=1), tmp_path, dataset=dataset)
    assert [run.path for run in find_runs(tmp_path)] == [tmp_path]


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_run_killed_in_either_stage_ends_the_same(finished, dataset, tmp_path, stage):
    class Killed(Exception):
        pass

    def die(name, done, total, numbers):
        if (name, done) == (stage, 1):
            raise Killed

    with pytest.raises(Killed):
        protocol.run(experiment(), tmp_path, dataset=dataset, progress=die)
    with pytest.raises(ValueError, match="not finished"):
        load_run(tmp_path)
    resumed = protocol.run(experiment(), tmp_path, dataset=dataset)
    assert resumed.metrics == finished.metrics
    assert (resumed.path / "weights.safetensors").read_bytes() == (finished.path / "weights.safetensors").read_bytes()


def test_optimised_class_embeddings_are_kept_beside_the_raw_ones(dataset, tmp_path):
    run = protocol.run(experiment(optimise_classes=True), tmp_path, dataset=dataset)
    raw = run.classes(raw=True).text["made"]
    assert torch.equal(raw, dataset.text["made"])
    used = run.classes().text["made"]
    assert not torch.allclose(used, raw)
    assert torch.allclose(used.norm(dim=1), torch.ones(len(used)))
    assert set(run.info["optimise"]["test"]) == {"made"}


def test_the_oracle_says_that_it_selected_on_test(finished, dataset, tmp_path):
    run = protocol.run(experiment(select="oracle"), tmp_path, dataset=dataset)
    assert run.info["chosen"]["by"] == ["test_seen", "test_unseen"]
    assert run.info["chosen"]["select"] == "oracle"
    assert run.metrics["HM"] >= finished.metrics["HM"]


def test_without_test_clips_there_is_a_model_and_no_metrics(dataset, tmp_path):
    folds = {k: v for k, v in dataset.folds.items() if not k.startswith("test")}
    small = type(dataset)(dataset.name, dataset.clips, dataset.names, folds, dataset.features, text=dataset.text)
    run = protocol.run(experiment(), tmp_path, dataset=small)
    assert run.metrics == {}
    assert run.scored("test") is None
    assert run.method().training is False


def test_one_modality_alone_is_what_the_method_sees(dataset, tmp_path):
    audio = protocol.run(experiment(modality="audio"), tmp_path, dataset=dataset)
    assert audio.embeddings()["visual"].abs().max() == 0
    assert audio.experiment.label().endswith("-audio")


def test_validation_chooses_the_modality_to_trust(tmp_path, monkeypatch):
    """The picture is noise of great strength, so a linear map learns it by heart; validation goes by the sound."""
    monkeypatch.setattr("avshot.tasks._generalised.FEW", 12)  # as many clips of seen classes as there are to judge by
    dataset = synthetic_dataset(per_class=20)
    features = dataset.features.features
    noise = torch.randn(features.visual.shape, generator=torch.Generator().manual_seed(0))
    noisy = type(dataset.features)(dataset.features.ids, replace(features, visual=8 * noise), dataset.features.spec)
    changed = replace(dataset, features=noisy)
    recipe, views = {**SMALL, "batches_per_epoch": 20}, GRID | {"views": ("both", "audio", "visual")}
    run = protocol.run(experiment(recipe=recipe, selection=views), tmp_path / "views", dataset=changed)
    alone = GRID | {"views": ("both",)}
    plain = protocol.run(experiment(recipe=recipe, selection=alone), tmp_path / "plain", dataset=changed)
    assert run.view == "audio"
    assert plain.view == "both"
    assert run.info["chosen"]["score"] > plain.info["chosen"]["score"]
    index = {clip.id: i for i, clip in enumerate(changed.clips)}
    test = run.scored("test")
    heard = changed.gather([index[id] for id in test.ids]).only("audio")
    assert torch.allclose(run.method().score(heard, run.classes()), test.scores, atol=1e-5)


def test_a_wrong_experiment_is_one_sentence():
    with pytest.raises(ValueError, match="modality.*Fields: dataset, method"):
        parse_experiment({"dataset": "x", "modality": "smell"})
    with pytest.raises(ValueError, match="no field 'depth'"):
        resolve(Experiment(dataset="x", method="devise", config={"depth": 3}))
    with pytest.raises(ValueError, match="methods: .*devise"):
        resolve(Experiment(dataset="x", method="divise"))


def test_an_unknown_folder_is_not_a_run(tmp_path):
    with pytest.raises(ValueError, match="not a Run folder"):
        load_run(tmp_path)
