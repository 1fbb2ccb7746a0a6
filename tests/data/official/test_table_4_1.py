"""Thesis Table 4.1: how many classes and clips the few-shot benchmarks have, counted in the zero-shot clip tables."""

from dataclasses import replace

import numpy as np
import pytest

from avshot.data.load import load_dataset
from avshot.task import get_task
from avshot.types import Clip

# With 5 shots: classes all / B1 / N1 / N2, clips V_B1, V_N1, Val_B, Val_N, V_B2, V_N2, Test_B, Test_N.
PRINTED = {
    "VGGSound": ((271, 138, 69, 64), (70351, 345, 7817, 2757), (81270, 320, 9032, 2880)),
    "UCF": ((48, 30, 12, 6), (3174, 60, 353, 1407), (4994, 30, 555, 815)),
    "ActivityNet": ((198, 99, 51, 48), (9204, 255, 1023, 4052), (14534, 240, 1615, 3812)),
}
SMALLEST = {"VGGSound": 44, "UCF": 98, "ActivityNet": 45}  # clips of the smallest novel class


def counted(stage, dataset):
    """Base and novel clips that train, base and novel clips that are judged."""
    base = set(stage.seen)
    judged = [dataset.clips[i].label in base for i in stage.judge.tolist()]
    return len(stage.pools["base"]), len(stage.pools["novel"]), sum(judged), len(judged) - sum(judged)


def with_training_clips(dataset):
    """The training tables of VGGSound are not there: a clip for each base class stands in for them."""
    names = dataset.classes_of("train")
    clips = (*dataset.clips, *(Clip(f"stand-in-{i}", label=name) for i, name in enumerate(names)))
    train = np.arange(len(dataset.clips), len(clips))
    return replace(dataset, clips=clips, folds={**dataset.folds, "train": train})


@pytest.mark.parametrize("name", PRINTED)
def test_every_number_of_the_table_follows(real_data, name):
    classes, first, second = PRINTED[name]
    dataset = load_dataset(f"official:{real_data / 'splits'}?name={name}&shots=5")
    assert dataset.shots == 5
    lacking = len(dataset.folds["train"]) == 0
    assert lacking == (name == "VGGSound")
    dataset = with_training_clips(dataset) if lacking else dataset
    missing = first[0] - len(dataset.folds["train"])  # clips of the tables that are not there
    assert missing == (70351 - 138 if lacking else 0)
    stage1, *draws = get_task("gfsl").stages(dataset)
    assert len(draws) == 3
    base, *others = counted(stage1, dataset)
    assert (base + missing, *others) == first
    for stage in draws:
        base, *others = counted(stage, dataset)
        assert (base + missing, *others) == second
        sizes = (len(stage.candidates), len(stage1.seen), len(stage1.few), len(stage.few))
        assert sizes == classes
        assert set(stage.seen) == {*stage1.seen, *stage1.few}
    drawn = [set(stage.pools["novel"].tolist()) for stage in draws]
    assert all(one != other for i, one in enumerate(drawn) for other in drawn[:i])


@pytest.mark.parametrize("name", PRINTED)
def test_twenty_shots_fit_everywhere(real_data, name):
    dataset = load_dataset(f"official:{real_data / 'splits'}?name={name}")
    sizes = [
        np.bincount(dataset.labels(dataset.folds[fold]).numpy(), minlength=len(dataset.names))
        for fold in ("val_unseen", "test_unseen")
    ]
    assert min(int(counts[counts > 0].min()) for counts in sizes) == SMALLEST[name]


@pytest.mark.parametrize("name", ["ucf", "activitynet", "vggsound"])
def test_simulated_features_have_the_same_counts(name):
    dataset = load_dataset(f"simulated:{name}-cls?shots=5")
    _, first, second = PRINTED[{"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}[name]]
    stage1, stage2, *_ = get_task("gfsl?draws=1").stages(dataset)
    assert counted(stage1, dataset) == first
    assert counted(stage2, dataset) == second


def test_the_lists_at_hand_are_those_of_the_zero_shot_benchmark(real_data):
    """`fewshot/derived` holds lists under the names that the released program reads."""
    for name in PRINTED:
        dataset = load_dataset(f"official:{real_data / 'splits'}?name={name}&shots=5")
        folder = real_data / "fewshot" / "derived" / name
        novel = (("stage_1_novel_train", "val_unseen"), ("stage_2_novel_train", "test_unseen"))
        for file, fold in (*novel, ("stage_1_base_train", "train"), ("stage_2_test_unseen", "test_unseen")):
            listed = {
                line.strip().lower() for line in (folder / f"{file}.txt").read_text().splitlines() if line.strip()
            }
            assert listed == {label.lower() for label in dataset.classes_of(fold)}, (name, file)
