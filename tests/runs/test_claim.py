"""A Run folder is used again for what it was made for alone: data, features, texts; two commands take turns."""

import json
import multiprocessing
import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.data.dataset import MemoryFeatures
from avshot.run import load_run
from avshot.runs.key import setting_changes, settings_of
from small_runs import SMALL, experiment
from synthetic import synthetic_dataset


@dataclass(frozen=True)
class Vouched(MemoryFeatures):
    """Features that say what they hold."""

    said: str = "one"

    def content(self, ids=None) -> str:
        return self.said


def vouched(dataset, said="one", spec=None):
    source = dataset.features
    return replace(dataset, features=Vouched(source.ids, source.features, spec or source.spec, said))


@pytest.fixture(scope="module")
def dataset():
    return vouched(synthetic_dataset())


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    return protocol.run(experiment(), tmp_path_factory.mktemp("run"), dataset=dataset).path


def killed(folder, dataset, at=("stage1", 2)):
    class Killed(BaseException):
        pass

    def die(name, done, total, numbers):
        if (name, done) == at:
            raise Killed

    with pytest.raises(Killed):
        protocol.run(experiment(), folder, dataset=dataset, progress=die)
    return folder


def other_fold(dataset):
    return replace(dataset, folds={**dataset.folds, "test_unseen": dataset.folds["test_unseen"][::2]})


def other_label(dataset):
    first = dataset.clips[0]
    return replace(dataset, clips=(replace(first, label=dataset.names[1]), *dataset.clips[1:]))


def other_vectors(dataset):
    moved = dataset.text["made"].clone()
    moved[9] = moved[9].flip(0)
    return replace(dataset, text={"made": moved})


def other_names(dataset):
    vectors = torch.cat([dataset.text["made"], dataset.text["made"][:1]])
    return replace(dataset, names=(*dataset.names, "new"), text={"made": vectors})


CHANGES = {
    "fold": (other_fold, r"fold test_unseen \(24 before, 12 now\)"),
    "label": (other_label, "the clips or their labels"),
    "vectors": (other_vectors, "the dataset's class vectors 'made'.*the class embeddings 'made' of man speaking"),
    "values": (lambda d: vouched(d, "two"), "the features of some clips"),
    "spec": (lambda d: vouched(d, "two", {"audio": {"name": "x"}, "seed": 0}), r"how the features were made \(audio\)"),
    "words": (lambda d: replace(d, phrases={"dog barking": "hound"}), "the words that stand for class names"),
    "names": (other_names, r"the class names \(new: new\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("state", ["finished", "begun"])
def test_other_data_are_refused_in_words(finished, dataset, tmp_path, kind, state):
    change, words = CHANGES[kind]
    folder = tmp_path / "run"
    if state == "finished":
        shutil.copytree(finished, folder)
    else:
        killed(folder, dataset)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ValueError, match=rf"{words}.*; choose another --out, or remove that folder") as caught:
        protocol.run(experiment(), folder, dataset=change(dataset))
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    protocol.run(experiment(), folder, dataset=dataset)  # unchanged data go on


def test_another_experiment_is_refused_by_its_fields(finished, dataset):
    with pytest.raises(
        ValueError, match=r"another experiment \(recipe\.lr is 0\.5, it was 0\.01; seed is 1, it was 0\)"
    ):
        protocol.run(
            experiment(seed=1, recipe=SMALL | {"lr": 0.5}), finished, dataset=dataset
        )  # fmt: skip


def test_a_field_that_is_younger_than_the_run_had_its_default():
    now = settings_of(experiment())
    before = {name: value for name, value in now.items() if name not in ("separate_descriptions", "audio_noise")}
    assert setting_changes(before, now) == []
    changed = settings_of(experiment(descriptions="a.csv", separate_descriptions=True))
    assert setting_changes(before, changed) == [
        "descriptions is a.csv, it was None",
        "separate_descriptions is True, it was False",
    ]
    each = settings_of(experiment(prompts={"clip": "clip-actions"}))
    assert setting_changes(before, each) == ["prompts is {'clip': 'clip-actions'}, it was name"]


def test_a_finished_run_is_named_and_another_version_is_said(finished, dataset, tmp_path, monkeypatch):
    said = []
    protocol.run(experiment(), finished, dataset=dataset, say=said.append)
    assert said == [f"{finished} was there already."]
    import avshot.runs.claim as claim

    monkeypatch.setattr(claim, "versions", lambda: load_run(finished).info["versions"] | {"torch": "99"})
    protocol.run(experiment(), finished, dataset=dataset, say=said.append)
    assert "(99 now)" in said[-1]


def test_rounding_of_class_embeddings_is_no_change(dataset, tmp_path):
    """Other threads and processors round otherwise: a Run must not be refused for that."""
    import avshot.protocol as protocol
    from avshot.training.fitting import embedded

    folder = killed(tmp_path, dataset)
    real = embedded

    def rounded(*arguments):
        found = real(*arguments)
        return found.with_text({k: v * (1 + 1e-7) for k, v in found.text.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "embedded", rounded)
        assert protocol.run(experiment(), folder, dataset=dataset).metrics


def test_a_claim_without_anything_trained_is_void(dataset, tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        protocol.run(experiment(recipe=SMALL | {"lr": 1e30}), tmp_path, dataset=dataset)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock"]
    protocol.run(experiment(), tmp_path, dataset=dataset)


def contents(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "run.json"}


@pytest.mark.parametrize("at", [("stage1", 2), ("stage2", 1)])
@pytest.mark.parametrize("kind", ["flip", "cut", "empty", "absent"])
def test_what_is_damaged_of_an_unfinished_run_is_trained_again(finished, dataset, tmp_path, at, kind):
    """Whichever file it is, the Run ends as the undisturbed one, file by file."""
    begun = killed(tmp_path / "begun", dataset, at)
    for file in sorted(begun.iterdir()):
        if file.name == ".lock":
            continue
        folder = shutil.copytree(begun, tmp_path / "case", dirs_exist_ok=True)
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 2] ^= 4
        (folder / file.name).write_bytes({"flip": bytes(damaged), "cut": damaged[:99]}.get(kind, b""))
        if kind == "absent":
            (folder / file.name).unlink()
        said = []
        protocol.run(experiment(), folder, dataset=dataset, say=said.append)
        assert contents(folder) == contents(finished), file.name
        unread = ["experiment.yaml", "key.safetensors"] + ["stage1.checkpoint"] * (at[0] == "stage2")
        assert said or kind == "absent" or file.name in unread, file.name
        shutil.rmtree(folder)


def test_a_folder_that_nobody_can_tell_apart_is_refused(dataset, tmp_path):
    killed(tmp_path, dataset)
    for name in ("key.json", "experiment.yaml"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="remove that folder"):
        protocol.run(experiment(), tmp_path, dataset=dataset)


def train(folder: str, queue: Any) -> None:
    said: list[str] = []
    try:
        protocol.run(experiment(), folder, dataset=vouched(synthetic_dataset()), say=said.append)
    except BaseException as error:
        queue.put(repr(error))
    else:
        queue.put(said)


def test_two_trainings_at_once_make_one_run(finished, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=train, args=(str(tmp_path), queue)) for _ in range(2)]
    for process in both:
        process.start()
    told = sorted((queue.get(timeout=120) for _ in both), key=len)
    for process in both:
        process.join()
    assert told[0] == []
    assert any("was there already" in text for text in told[1])
    assert contents(tmp_path) == contents(finished)


def test_json_of_a_run_holds_no_nan(finished):
    for file in finished.glob("*.json"):
        json.loads(file.read_text(), parse_constant=pytest.fail)


def test_a_score_that_is_no_number_is_refused(dataset, tmp_path):
    huge = dataset.features.features
    source = Vouched(dataset.features.ids, replace(huge, audio=huge.audio.clone()), dataset.features.spec)
    row = int(dataset.folds["test_seen"][0])
    source.features.audio[row] = float("nan")
    with pytest.raises(ValueError, match=dataset.clips[row].id):
        protocol.run(experiment(), tmp_path, dataset=replace(dataset, features=source))


def test_fingerprints_cover_the_values(dataset):
    other = vouched(dataset, "two")
    assert dataset.fingerprint() != other.fingerprint()
    assert dataset.fingerprint(values=False) == other.fingerprint(values=False)
    assert np.array_equal(dataset.folds["train"], other.folds["train"])
