"""Every bench file in experiments/: it resolves row by row, and its published numbers can be true."""

import functools
import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avshot.bench.plan import experiment_of, load_plan, task_of
from avshot.experiment import resolve
from avshot.method import Inputs
from avshot.registry import get_method, list_methods
from avshot.report.published import published
from avshot.training.optimisers import Players
from avshot.types import Batch, Classes, Factor, Features

ROOT = Path(__file__).parent.parent
TUNING = ROOT / "benchmarks" / "tuning"
# Files of reference games are another format: tests/games/test_game_files.py.
OWN_FORMAT = set((ROOT / "experiments").glob("games-*.toml"))
FILES = [*sorted(set((ROOT / "experiments").glob("*.toml")) - OWN_FORMAT), *sorted(TUNING.glob("*.toml"))]
NAMES = ("ucf", "activitynet", "vggsound")
ADVERBS = {"air", "howto100m-adverbs"}
ADVERBS |= {f"{name}-adverbs{kind}" for name in ("activitynet", "msrvtt", "vatex") for kind in ("", "-unseen")}
BENCHMARKS = {f"{name}-{split}" for name in NAMES for split in ("main", "cls", *(f"fsl-{k}" for k in (1, 5, 10, 20)))}
# No table of a paper: they name neither source nor datasets.
OWN_DATA = {
    "all-methods",
    "few-all-methods",
    "adverb-all-methods",
    "adverb-ablations",
    "ceo-losses",
    "ceo-points",
    "ez-avgzl-forms",
    "precision",
}
OWN_DATA |= {file.stem for file in TUNING.glob("*.toml")}
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@functools.cache
def plan_of(file):
    """The file, read; `load_plan` resolves method, preset, config and recipe of every row on every dataset."""
    return load_plan(file)


def printed(row):
    """`(dataset, {metric: per cent})` as published."""
    return row.published.items()


def contradictions(row):
    """What is wrong with the published numbers of a row, in words; a misprint, where the copy is right."""
    found = []
    for dataset, numbers in printed(row):
        if {"S", "U", "HM"} <= set(numbers):
            s, u, hm = (numbers[key] for key in ("S", "U", "HM"))
            exact = 2 * s * u / (s + u) if s + u > 0 else 0.0
            if abs(exact - hm) > 0.06:
                found.append(f"{dataset}: HM {hm}, but S and U give {exact:.2f}")
        if {"B", "N", "HM"} <= set(numbers):  # one paper, so what rounding allows is known
            b, n, hm = (numbers[key] for key in ("B", "N", "HM"))
            low, high = (2 * (b + e) * (n + e) / (b + n + 2 * e) for e in (-0.005, 0.005))
            if not low - 0.005 <= hm <= high + 0.005:
                found.append(f"{dataset}: HM {hm}, but B and N give {2 * b * n / (b + n):.2f}")
        # A clip of an unseen class that is right among all classes is so among the unseen ones; rounding keeps order.
        for among_all, alone in (("U", "ZSL"), ("N", "FSL")):
            if {among_all, alone} <= set(numbers) and numbers[among_all] > numbers[alone]:
                found.append(f"{dataset}: {among_all} {numbers[among_all]} above {alone} {numbers[alone]}")
    return found


@every_file
def test_every_row_resolves(file):
    plan = plan_of(file)
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    assert {"title", "rows"} <= set(content)
    assert file.stem in OWN_DATA or (plan.source and plan.datasets)
    rows = [row for row in plan.rows if not row.reference]
    assert len(rows) == len(content["rows"]) >= 2
    # Labels name folders, so they must differ in more than punctuation and case.
    folders = [re.sub(r"[^\w.+=-]+", "-", row.label).casefold() for row in plan.rows]
    assert len(set(folders)) == len(folders)
    assert set(plan.metrics) <= set(task_of(plan.rows[0]).metrics)


def test_every_method_that_learns_gets_the_same_budget():
    """`tuning/all.toml`: six settings each, all different, for every method but that with a file of its own."""
    rows: dict[str, list[str]] = {}
    for row in plan_of(TUNING / "all.toml").rows:
        method, _, what = row.label.partition(": ")
        parts = resolve(experiment_of(row, "any", seed=0))
        assert (parts.method.name, bool(what)) == (method, True)
        rows.setdefault(method, []).append(repr((parts.config, parts.recipe)))
    inputs = Inputs(8, 8, {"a": 8}, classes=("a", "b"))
    plain = [cls for cls in map(get_method, list_methods()) if not cls.needs.pairs]  # the task there is gzsl
    built = [cls(cls.presets["default"].config, inputs) for cls in plain]
    learning = {model.name for model in built if model.phases() and not model.closed}
    assert set(rows) == learning - {"ez_avgzl"}
    assert all(len(set(settings)) == len(settings) == 6 for settings in rows.values())


@every_file
def test_every_row_builds_its_method(file):
    """Values that do not go together are found when the method is made; on "meta" nothing is allocated."""
    plan = plan_of(file)
    for row in plan.rows:
        for name in () if row.reference else plan.datasets:
            experiment = experiment_of(row, name, seed=0)
            cls = get_method(experiment.method)
            widths = (512, 512) if "-main" in name else (128, 4096)
            classes = tuple(f"class {i}" for i in range(40))
            factors = {part: tuple(f"{part} {i}" for i in range(8)) for part in ("action", "adverb")}
            factors = factors if cls.needs.pairs else {}
            texts = {f"text{i}": 300 for i in range(cls.needs.texts)}
            if cls.name == "nearest_text":  # compares features with texts of their own space
                texts = {"text0": widths[1]}
            inputs = Inputs(*widths, texts, classes, factors)
            with torch.device("meta"):
                model = cls(resolve(experiment).config, inputs)
            assert model.config == resolve(experiment).config


@every_file
def test_rows_of_a_table_ask_for_different_things(file):
    plan = plan_of(file)
    asked = [repr(sorted((key, str(value)) for key, value in row.settings.items())) for row in plan.rows]
    twice = [row.label for row, settings in zip(plan.rows, asked, strict=True) if asked.count(settings) > 1]
    assert twice == []


@every_file
def test_published_numbers_are_per_cent_and_agree(file):
    plan = plan_of(file)
    for row in plan.rows:
        for dataset, numbers in printed(row):
            assert dataset in plan.datasets, (row.label, dataset)
            assert dataset.partition("?")[0] in BENCHMARKS | ADVERBS, (row.label, dataset)
            assert set(numbers) <= set(task_of(row).metrics) - {"AUSUC"}
            assert numbers
            assert all(0 <= value <= 100 for value in numbers.values()), (row.label, numbers)
        found = contradictions(row)
        assert bool(found) == bool(row.misprint), (row.label, found, row.misprint)


@every_file
def test_the_row_that_others_are_tested_against_is_there(file):
    plan = plan_of(file)
    assert plan.against in [row.label for row in plan.rows]


def test_every_method_is_in_some_table():
    used = {get_method(row.settings["method"]).name for file in FILES for row in plan_of(file).rows}
    assert set(list_methods()) - used == set()


def test_contradictory_numbers_are_found():
    import types

    row = types.SimpleNamespace(published={"ucf-cls": {"S": 50.0, "U": 50.0, "HM": 49.0, "ZSL": 40.0}})
    assert contradictions(row) == ["ucf-cls: HM 49.0, but S and U give 50.00", "ucf-cls: U 50.0 above ZSL 40.0"]
    row = types.SimpleNamespace(published={"ucf-fsl-5": {"B": 50.0, "N": 50.0, "HM": 50.02, "FSL": 49.99}})
    assert contradictions(row) == ["ucf-fsl-5: HM 50.02, but B and N give 50.00", "ucf-fsl-5: N 50.0 above FSL 49.99"]
    row = types.SimpleNamespace(published={"ucf-fsl-5": {"B": 50.0, "N": 50.0, "HM": 50.01, "FSL": 50.0}})
    assert contradictions(row) == []


def test_printed_few_shot_numbers_are_those_of_the_report():
    """The rows of the bench files and `report/published_few.csv` hold each number once more; they must agree."""
    printed_there = {
        (name, *(row[key] for key in ("B", "N", "HM", "FSL")))
        for name in BENCHMARKS
        if "-fsl-" in name
        for row in published(name)
    }
    printed_here = {
        (name, *(f"{numbers[key]:.2f}" for key in ("B", "N", "HM", "FSL")))
        for file in FILES
        for row in plan_of(file).rows
        for name, numbers in row.published.items()
        if "-fsl-" in name
    }
    assert printed_here == printed_there


def test_printed_numbers_of_adverbs_are_those_of_the_report():
    """Every number of a bench file stands in `report/published_adverbs.csv`, under the same dataset and table."""
    used = 0
    for file in FILES:
        for row in plan_of(file).rows:
            for name, numbers in row.published.items():
                known = published(name.partition("?")[0]) if name.partition("?")[0] in ADVERBS else None
                if known is not None:
                    used += 1
                    there = [{key: float(one[key]) for key in numbers if one[key]} for one in known]
                    assert dict(numbers) in there, (file.stem, row.label, name)
    assert used == 5 * (5 + 4 + 5 + 4 + 5) + 3 * (8 + 2) + 4


@functools.cache
def settings_in_use():
    """Every method as some row of some file sets it, once."""
    found = {}
    for file in FILES:
        for row in plan_of(file).rows:
            for name in () if row.reference else plan_of(file).datasets:
                experiment = experiment_of(row, name, seed=0)
                found.setdefault((experiment.method, repr(resolve(experiment).config)), experiment)
    return list(found.values())


def small_batch(texts, seed=0, novel=0, paired=False):
    """Twelve clips of six classes, the last of them `novel`; numbers are 0 to 1, which suits every generator.

    `paired`: the classes are two actions by three adverbs, of which the first two are antonyms.
    """
    generator = torch.Generator().manual_seed(seed)
    heard, seen, said = (16, 20, 12) if paired else (14, 18, 10)  # heads that share weights cut widths into four
    audio, visual = (torch.rand(12, 3, width, generator=generator) for width in (heard, seen))
    mask, time = torch.ones(12, 3, dtype=torch.bool), torch.arange(3).float().expand(12, 3).clone()
    text = {f"text{i}": torch.randn(6, said, generator=generator) for i in range(texts)}
    parts = {"action": (torch.arange(6) // 3, tuple("xy"), None), "adverb": (torch.arange(6) % 3, tuple("uvw"), None)}
    parts["adverb"] = (*parts["adverb"][:2], torch.tensor([1, 0, -1]))
    factors = {
        part: Factor(index, words, {key: torch.randn(len(words), said, generator=generator) for key in text}, opposite)
        for part, (index, words, opposite) in parts.items()
    }
    classes = Classes(tuple("abcdef"), text, torch.arange(6) < 6 - novel, factors if paired else {})
    return Batch(Features(audio, visual, mask, mask.clone(), time, time.clone()), torch.arange(12) % 6, classes)


@pytest.mark.slow
@pytest.mark.parametrize("method", list_methods())
def test_every_setting_in_use_takes_a_step_and_scores(method):
    if method == "nearest_text":
        pytest.skip("it takes no step, and wants features and texts of one space")
    for experiment in (e for e in settings_in_use() if get_method(e.method).name == method):
        cls = get_method(method)
        novel = 2 if experiment.task == "gfsl" else 0
        batch, other = (small_batch(cls.needs.texts, seed, novel, cls.needs.pairs) for seed in (0, 1))
        batch = replace(batch, negative=replace(other, labels=(batch.labels + 1) % 6))
        torch.manual_seed(0)
        model = cls(resolve(experiment).config, Inputs.of(batch.features, batch.classes, batch.classes.names)).train()
        for phase in model.phases():
            players = Players(model, phase, resolve(experiment).recipe)
            for step in range(len(players.order)):
                losses = players.step(batch, step)
                assert losses, experiment.label()
                assert all(math.isfinite(value) for value in losses.values()), experiment.label()
        model.eval()
        model.adapt([replace(batch, negative=None)], batch.classes)
        with torch.inference_mode():
            scores = model.score(batch.features, batch.classes)
        assert scores.shape == (12, 6)
        assert scores.isfinite().all(), experiment.label()
