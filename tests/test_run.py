"""A Run is read as it was written or not at all: digests, damage, Runs of the first format, lifetimes."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import avshot.protocol as protocol
from avshot.registry import get_method, get_preset
from avshot.run import find_runs, load_run
from small_runs import experiment
from synthetic import synthetic_dataset


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return protocol.run(experiment(), tmp_path_factory.mktemp("run"), dataset=synthetic_dataset()).path


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def read_all(path):
    """Everything that prediction and reports read of a Run."""
    run = load_run(path)
    return run.method(), run.classes(), run.classes(raw=True), run.scored("val"), run.scored("test"), (
        run.embeddings(), run.familiar(), run.history(), run.metrics,
    )  # fmt: skip


FILES = [
    "run.json", "experiment.yaml", "metrics.json", "history.json", "weights.safetensors", "classes.safetensors",
    "scores.safetensors", "familiar.safetensors", "embeddings.safetensors",
]  # fmt: skip


def test_equal_trainings_have_equal_records(finished, tmp_path):
    again = protocol.run(experiment(), tmp_path, dataset=synthetic_dataset()).path
    one, two = (json.loads((path / "run.json").read_text()) | {"seconds": 0} for path in (finished, again))
    assert one == two


def test_a_run_is_built_as_it_was_trained_whatever_its_preset_says_by_now(finished, monkeypatch):
    before, preset = load_run(finished).method().config, get_preset("devise")
    changed = replace(preset, config=replace(preset.config, distance="dot"))
    monkeypatch.setitem(get_method("devise").presets, "default", changed)
    assert get_preset("devise").config.distance == "dot"
    assert load_run(finished).method().config == before != changed.config


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_is_a_sentence_that_names_the_file(copy, name):
    whole = (copy / name).read_bytes()
    for i in range(0, len(whole), max(1, len(whole) // 25)):
        damaged = bytearray(whole)
        damaged[i] ^= 1 << (i % 7)
        if b'"seconds"' in whole[max(0, i - 20) : i + 20]:
            continue  # how long it took is in no digest
        (copy / name).write_bytes(bytes(damaged))
        with pytest.raises(ValueError, match=name) as caught:
            read_all(copy)
        assert "\n" not in str(caught.value)
    (copy / name).write_bytes(whole)
    read_all(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["absent", "empty", "folder", "cut", "loop"])
def test_damage_of_other_kinds(copy, name, kind):
    file = copy / name
    whole = file.read_bytes()
    file.unlink()
    if kind == "empty":
        file.touch()
    elif kind == "folder":
        file.mkdir()
    elif kind == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "loop":
        file.symlink_to(name)
    with pytest.raises(
        ValueError, match=r"not finished" if name == "run.json" and kind in ("absent", "loop") else name
    ):
        read_all(copy)


def test_the_folder_goes_while_the_run_is_open(copy):
    run = load_run(copy)
    shutil.rmtree(copy)
    for read in (run.method, run.classes, lambda: run.scored("test"), run.embeddings, run.familiar, run.history):
        with pytest.raises(FileNotFoundError, match=r"The Run in .* is gone"):
            read()


def first_format(copy):
    """The Run as avshot 0.1 wrote it: no digests, no seal, no key, plain safetensors."""
    info = json.loads((copy / "run.json").read_text())
    for name in ("digest", "key", "files", "descriptions", "sources"):
        del info[name]
    info["chosen"] |= info["chosen"].pop("settings")
    (copy / "run.json").write_text(json.dumps(info | {"format": 1}))
    history = json.loads((copy / "history.json").read_text())
    for stage in history.values():
        epochs = stage.pop("settings")
        stage |= {f"{name}s": [epoch[name] for epoch in epochs] for name in ("beta", "view")}
    (copy / "history.json").write_text(json.dumps(history))
    for file in copy.glob("*.safetensors"):
        save_file(load_file(file), file)
    (copy / "key.json").unlink()
    return copy


def test_a_run_of_the_first_format_is_read(finished, copy):
    old, new = load_run(first_format(copy)), load_run(finished)
    assert old.metrics == new.metrics
    assert (old.settings, old.beta, old.view) == (new.settings, new.beta, new.view)
    assert old.history() == new.history()
    assert torch.equal(old.scored("test").scores, new.scored("test").scores)
    assert old.classes().names == new.classes().names
    (copy / "familiar.safetensors").unlink()  # the oldest have none
    assert old.familiar() == {}
    said = []
    again = protocol.run(experiment(), copy, dataset=synthetic_dataset(), say=said.append)
    assert again.metrics == new.metrics
    assert any("made by avshot 0.1" in text for text in said)
    with pytest.raises(ValueError, match="other data, which changed since: the dataset"):
        protocol.run(experiment(), copy, dataset=synthetic_dataset(per_class=11))


def changed(content, path, value):
    at = content
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), None), (("format",), "x"), (("chosen",), None), (("chosen", "beta"), "much"),
        (("chosen", "temperature"), -1.0), (("chosen", "temperature"), 0.0), (("chosen", "epochs"), -3),
        (("chosen", "beta"), 1e999), (("inputs", "audio"), -5), (("inputs", "audio"), 10**12), (("inputs", "text"), {}),
        (("classes",), []), (("classes",), ["a", "a"]), (("classes", 0), 7), (("encoders",), ["other"]),
        (("scored", "test", "ids"), 5), (("data", "name"), []), (("versions",), [[]]), (("seconds",), -1),
    ],
)  # fmt: skip
def test_a_first_format_record_with_another_value_is_a_sentence(copy, path, value):
    file = first_format(copy) / "run.json"
    file.write_text(json.dumps(changed(json.loads(file.read_text()), path, value)))
    with pytest.raises(ValueError, match=r"run\.json"):
        read_all(copy)


@pytest.mark.parametrize("name", ["weights", "classes", "scores"])
def test_first_format_tensors_with_a_value_that_is_none(copy, name):
    file = first_format(copy) / f"{name}.safetensors"
    tensors = load_file(file)
    key = next(k for k, v in tensors.items() if v.is_floating_point() and v.numel())
    tensors[key].view(-1)[0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(ValueError, match=rf"{name}\.safetensors holds values .* no finite numbers"):
        read_all(copy)
    tensors[key] = tensors[key][:1].clone()
    save_file(tensors, file)
    with pytest.raises(ValueError, match=rf"{name}\.safetensors"):
        read_all(copy)


def test_a_newer_format_says_to_upgrade(copy):
    info = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(ValueError, match=r"format 99.*Upgrade"):
        load_run(copy)


def test_one_damaged_run_does_not_hide_the_others(finished, tmp_path):
    for name in ("a", "b", "c"):
        shutil.copytree(finished, tmp_path / name)
    (tmp_path / "b" / "metrics.json").write_text("{}")
    (tmp_path / "c" / "experiment.yaml").unlink()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "run.json").write_text("{}")  # another program's
    said = []
    assert [run.path.name for run in find_runs(tmp_path, skipped=said.append)] == ["a"]
    assert len(said) == 2
    assert "metrics.json" in said[0]
    with pytest.warns(UserWarning, match="left out"):
        find_runs(tmp_path)


def test_yaml_that_is_none_or_nests_absurdly(copy):
    first_format(copy)
    for text in ("a: [", "[" * 5000, "just words", "{1: 2}", yaml.safe_dump({"dataset": 5}), "&a [*a]"):
        (copy / "experiment.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"experiment\.yaml"):
            load_run(copy)
