"""What `legacy` restores: for every method something, or the page says why there is nothing; and who may trust what."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from avshot.experiment import Experiment, resolve
from avshot.nn.adverb_sets import SETS
from avshot.recipe import VIEWS, Recipe, Selection
from avshot.registry import get_method, get_preset, list_aliases, list_methods
from avshot.settings import as_recorded

PAGE = Path(__file__).parent.parent / "docs" / "reproduce.md"
METHODS = list_methods()
FEW_SHOTS = {f"{name}-fsl" for name in ("ucf", "activitynet", "vggsound")}
# Presets that no paper and no program states, but for "default", which is ours everywhere.
INVENTED = {
    "acfs": {f"{name}-{split}" for name in ("ucf", "activitynet", "vggsound") for split in ("main", "cls")},
    "vib_gzsl": {f"{name}-main" for name in ("ucf", "activitynet", "vggsound")},
    "ez_avgzl": {"paper"} | {f"{name}-main" for name in ("ucf", "activitynet", "vggsound")},
    # The thesis says of the baselines of few-shot learning what it says of all methods: rates, epochs and batches.
    **dict.fromkeys(
        ("attention_fusion", "avca", "hip", "mbt", "perceiver", "protogan", "sldg", "tsl", "zorro"), FEW_SHOTS
    ),
    # It says of TIRG for adverbs what is gated and how long it trains.
    "tirg": set(SETS),
}


def asked(name, **changes):
    return resolve(Experiment(dataset="any", method=name, **changes))


def declared(cls):
    """Every field that `legacy` sets, as the page writes it."""
    groups = {"": cls.released, "recipe.": cls.released_recipe, "selection.": cls.released_selection}
    return {f"{prefix}{field}": value for prefix, group in groups.items() for field, value in group.items()}


def written():
    """`{method: cell of what is restored}` of the table in docs/reproduce.md."""
    text = PAGE.read_text(encoding="utf-8").partition("### What legacy restores")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, flags=re.M)
    found = dict(rows)
    assert len(found) == len(rows)
    return found


def test_the_page_has_every_method():
    assert sorted(written()) == METHODS


@pytest.mark.parametrize("name", METHODS)
def test_legacy_restores_what_the_page_says(name):
    cell, fields_set = written()[name], declared(get_method(name))
    assert set(re.findall(r"`([^`]+)`", cell)) == set(fields_set)
    plain, legacy = asked(name), asked(name, legacy=True)
    if not fields_set:
        assert cell.startswith("nothing: ")
        assert legacy.to_dict() == plain.to_dict()
        return
    parts = {"": legacy.config, "recipe": legacy.recipe, "selection": legacy.selection}
    for field, value in fields_set.items():
        group, _, own = field.rpartition(".")
        assert getattr(parts[group], own) == value, field
    assert legacy.to_dict() != plain.to_dict()


@pytest.mark.parametrize("name", METHODS)
def test_legacy_is_one_program_whatever_the_preset_and_what_is_asked_still_counts(name):
    cls = get_method(name)
    for preset in cls.presets:
        legacy = asked(name, preset=preset, legacy=True)
        assert {field: getattr(legacy.config, field) for field in cls.released} == dict(cls.released)
    for group, now in (("released", "config"), ("released_recipe", "recipe"), ("released_selection", "selection")):
        for field in getattr(cls, group):
            other = getattr(getattr(asked(name), now), field)  # the default preset's own value
            assert getattr(getattr(asked(name, legacy=True, **{now: {field: other}}), now), field) == other


@pytest.mark.parametrize("name", METHODS)
def test_default_presets_may_trust_any_modality_and_published_ones_both(name):
    cls = get_method(name)
    for key, preset in cls.presets.items():
        free = key == "default" and cls.needs.missing_modality
        assert preset.selection.views == (VIEWS if free else ("both",)), key
        assert not preset.selection.mean_beta
    if declared(cls) and "views" in cls.released_selection:
        assert asked(name, legacy=True).selection.views == ("both",)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_invented_is_not_called_published(name):
    own = {key for key, preset in get_method(name).presets.items() if not preset.published}
    assert own == {"default"} | INVENTED.get(name, set())


def test_the_table_of_methods_lists_published_presets_alone():
    page = (PAGE.parent / "methods.md").read_text(encoding="utf-8")
    for name in METHODS:
        cell = re.search(rf"^\| \[`{name}`\].*?\|.*?\| [^|]*\| ([^|]*) \|", page, flags=re.M)[1]
        published = [key for key, preset in get_method(name).presets.items() if preset.published]
        assert cell == (", ".join(published) or "none")


def test_aliases_restore_what_their_method_does():
    for alias, name in list_aliases().items():
        config, fixed = asked(alias, legacy=True).config, get_method(name).aliases[alias]
        for field, value in {**get_method(name).released, **fixed}.items():
            assert getattr(config, field) == value, (alias, field)
    assert asked("hyper_single", legacy=True).config.compare == "cosine"


def test_recipe_and_selection_fields_that_are_released_exist():
    known = {"recipe.": {f.name for f in fields(Recipe)}, "selection.": {f.name for f in fields(Selection)}}
    found = {field for name in METHODS for field in declared(get_method(name)) if "." in field}
    assert {"recipe.batches_per_epoch", "selection.mean_beta"} <= found
    assert all(field.removeprefix(prefix) in known[prefix] for field in found for prefix in known if prefix in field)


def test_a_run_keeps_the_settings_of_its_day():
    """Presets and `released` change from version to version; a Run is built as it was trained."""
    now = asked("tcaf", legacy=True)
    record = now.to_dict()
    record["config"] = {**record["config"], "visual_scaling": "standardise", "gone_since": 3}
    del record["config"]["unread_passes"]  # younger than the Run
    then = as_recorded(now.config, record["config"])
    assert (then.visual_scaling, then.unread_passes) == ("standardise", False)
    assert replace(then, visual_scaling=now.config.visual_scaling, unread_passes=now.config.unread_passes) == now.config
    assert get_preset("tcaf").config.visual_scaling == "standardise"
