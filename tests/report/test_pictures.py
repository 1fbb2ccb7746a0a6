"""The figures of a report: they show what the table says, name what they show, and can be read without colour."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import avshot.protocol as protocol
from avshot.experiment import Experiment
from avshot.metrics.stacking import Curve
from avshot.report import clip_maps, look
from avshot.report.bars import per_class
from avshot.report.confusion import confused, confusion
from avshot.report.lines import learning, mean_curve, seen_unseen
from avshot.report.page import write_page
from avshot.report.pictures import inside_page, pictures, tells
from avshot.report.rows import summarise
from avshot.run import find_runs
from avshot.task import Scored
from synthetic import synthetic_dataset

SVG = "{http://www.w3.org/2000/svg}"
SMALL = {"epochs": 3, "batches_per_epoch": 4, "batch_size": 16, "lr": 1e-2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of one method and one of another."""
    root, dataset = tmp_path_factory.mktemp("pictures"), synthetic_dataset()
    for seed in (0, 1, 2):
        asked = Experiment(dataset="in memory", method="devise", recipe=SMALL, seed=seed)
        protocol.run(asked, root / "devise" / str(seed), dataset=dataset)
    protocol.run(Experiment(dataset="in memory", method="eszsl"), root / "eszsl", dataset=dataset)
    return find_runs(root)


@pytest.fixture(scope="module")
def rows(runs):
    return [row for row in summarise(runs) if row.runs]


@pytest.fixture(scope="module")
def several(rows):
    return next(row for row in rows if len(row.runs) == 3)


def texts(figure):
    found = [text.get_text() for axis in figure.axes for text in axis.texts]
    titles = [figure.get_suptitle(), *(axis.get_title() for axis in figure.axes)]
    labels = [label for axis in figure.axes for label in (axis.get_xlabel(), axis.get_ylabel())]
    return " ".join(" ".join([*found, *titles, *labels]).split())


def test_the_curve_of_one_seed_is_that_seed_and_its_area(rows):
    row = next(row for row in rows if len(row.runs) == 1)
    (axis,) = seen_unseen([row]).axes
    u, s = axis.lines[0].get_data()
    metrics = row.runs[0].metrics
    area = np.sum(u[:-1] * s[1:] - u[1:] * s[:-1]) / 2  # of the polygon with the origin
    assert area / 1e4 == pytest.approx(metrics["AUSUC"], abs=1e-6)
    chosen = axis.lines[1]
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == pytest.approx((100 * metrics["U"], 100 * metrics["S"]))


def test_the_marks_and_areas_are_the_means_of_the_table(several):
    (axis,) = (figure := seen_unseen([several])).axes
    assert f"(area {several.cell('AUSUC')} %)" in axis.lines[0].get_label()
    wanted = [100 * np.mean(several.values[name]) for name in ("U", "S")]
    marked = [line for line in axis.lines if line.get_markeredgecolor() == "black"]
    assert np.ravel(marked[0].get_data()) == pytest.approx(wanted)
    assert len(axis.patches) == 1  # the band
    assert "mean, ± deviation over seeds" in texts(figure)
    assert all("(%)" in label for label in (axis.get_xlabel(), axis.get_ylabel()))


def staircase(steps):
    """A falling curve from (0, start) to (end, 0)."""
    u = np.concatenate([[0.0], np.cumsum(steps[0]) / max(np.sum(steps[0]), 1)])
    s = np.concatenate([[0.0], np.cumsum(steps[1]) / max(np.sum(steps[1]), 1)])[::-1]
    return Curve(np.arange(len(u), dtype=float), s, u)


STEPS = arrays.arrays(np.int64, (2, 6), elements=st.integers(0, 9)).map(staircase)


def naive(curve, ray):
    """How far along a ray, by trying all sides of the polygon one after the other."""
    x = [0.0, *curve.unseen.tolist(), curve.unseen[-1]]
    y = [curve.seen[0], *curve.seen.tolist(), 0.0]
    best = 0.0
    for ax, ay, bx, by in zip(x[:-1], y[:-1], x[1:], y[1:], strict=True):
        for weight in np.linspace(0, 1, 2001):
            px, py = ax + weight * (bx - ax), ay + weight * (by - ay)
            length = np.hypot(px, py)
            if length > 0 and abs(px * ray[1] - py * ray[0]) < 4e-4:
                best = max(best, px * ray[0] + py * ray[1])
    return best


@given(st.lists(STEPS, min_size=1, max_size=3))
def test_the_mean_curve_of_equal_curves_is_that_curve(curves):
    rays, mean, spread = mean_curve([curves[0]] * 2)
    alone, far, none = mean_curve([curves[0]])
    assert none is None
    assert np.allclose(rays, alone)
    assert np.allclose(mean, far)
    assert np.allclose(spread, 0)
    assert np.allclose(np.hypot(*rays), 1)
    rays, mean, _ = mean_curve(curves)
    assert np.isfinite(mean).all()
    assert ((mean * rays >= -1e-9) & (mean * rays <= 1 + 1e-9)).all()


def test_distances_along_rays_are_those_of_a_naive_search():
    rng = np.random.default_rng(0)
    curves = [staircase(rng.integers(0, 9, (2, 6))) for _ in range(2)]
    rays, mean, spread = mean_curve(curves)
    for i in range(0, rays.shape[1], 23):
        found = [naive(curve, rays[:, i]) for curve in curves]
        assert mean[i] == pytest.approx(np.mean(found), abs=2e-3)
        assert spread[i] == pytest.approx(np.std(found, ddof=1), abs=2e-3)


def test_the_learning_curve_is_the_mean_over_seeds_with_its_band(several):
    (axis,) = (figure := learning([several])).axes
    scores = 100 * np.array([run.history()["stage1"]["scores"] for run in several.runs])
    assert axis.lines[0].get_ydata() == pytest.approx(scores.mean(axis=0))
    band = axis.collections[0].get_paths()[0].vertices
    deviation = scores.std(axis=0, ddof=1)
    assert band[:, 1].max() == pytest.approx((scores.mean(axis=0) + deviation).max())
    dots = {(line.get_xdata()[0], round(line.get_ydata()[0], 6)) for line in axis.lines[1:]}
    chosen = {(run.info["chosen"]["epochs"], round(one[run.info["chosen"]["epochs"] - 1], 6)) for run, one in zip(
        several.runs, scores, strict=True
    )}  # fmt: skip
    assert dots == chosen
    assert "HM (%)" in axis.get_ylabel()
    assert "each seed chose" in texts(figure)


def test_bars_are_means_with_deviations_and_say_how_many_clips(several):
    (axis,) = (figure := per_class(several)).axes
    test = several.runs[0].scored("test")
    values = 100 * np.array([run.metrics["per_class"] for run in several.runs])
    clips = torch.bincount(test.labels).tolist()
    told = [label.get_text() for label in axis.get_yticklabels()]
    assert len(told) == len(test.names)
    for text, bar in zip(told, axis.patches, strict=True):
        name, _, count = text.partition("  n=")
        i = test.names.index(name)
        assert int(count) == clips[i]
        assert bar.get_width() == pytest.approx(values[:, i].mean())
        assert bool(bar.get_hatch()) != bool(test.seen[i])  # in print without colour
    whiskers = axis.collections[0].get_segments()
    lengths = sorted(segment[1][0] - segment[0][0] for segment in whiskers)
    assert lengths == pytest.approx(sorted(2 * values.std(axis=0, ddof=1)), abs=1e-6)
    assert "3 seeds" in texts(figure)


def without(run, part):
    """The Run without the test clips of the first class."""
    found = type(run).scored(run, part)
    keep = found.labels != 0
    ids = tuple(id for id, kept in zip(found.ids, keep.tolist(), strict=True) if kept)
    return replace(found, scores=found.scores[keep], labels=found.labels[keep], ids=ids)


def test_the_confusion_matrix_has_a_row_for_each_class_with_clips_and_no_other(several):
    tests = [(run, without(run, "test")) for run in several.runs]
    found = confused(tests)
    first = tests[0][1]
    assert first.names[0] not in found.true
    assert set(found.true) == {first.names[c] for c in first.labels.tolist()}
    assert found.predicted[: len(found.true)] == found.true  # the diagonal is one
    assert found.n_seen == 7
    assert found.clips.tolist() == [int((first.labels == first.names.index(name)).sum()) for name in found.true]
    for run, test in tests:
        taken = {test.names[c] for c in run.task.apply(test.scores, test.seen, run.settings).argmax(dim=1).tolist()}
        assert taken <= set(found.predicted)
    assert found.shares.sum(axis=1) == pytest.approx(1.0)
    for i, name in enumerate(found.true):
        wanted = np.mean([run.metrics["per_class"][first.names.index(name)] for run in several.runs])
        assert found.shares[i, i] == pytest.approx(wanted)


def test_the_confusion_figure_names_its_seeds(several, rows):
    assert "seeds 0, 1, 2" in texts(confusion(several))
    assert "seed 0" in texts(confusion(next(row for row in rows if len(row.runs) == 1)))


def many(count, per_class=3):
    """Clips of `count` classes whose names share no words."""
    labels = torch.arange(count).repeat_interleave(per_class)
    names = tuple(f"c{i:03d}" for i in range(count))
    seen = torch.arange(count) % 2 == 0
    ids = tuple(map(str, range(len(labels))))
    return Scored(torch.zeros(len(labels), count), labels, seen, names, ids)


def drawn(scene):
    rng = np.random.default_rng(0)
    figure, axis = look.blank(6, 5)
    clips = rng.normal(size=(len(scene.clips), 2))
    clip_maps.draw_map(axis, scene, clips, rng.normal(size=(len(scene.shown), 2)))
    clip_maps.legend(figure, scene)
    return figure


@pytest.mark.parametrize(("count", "numbers", "told"), [(5, 0, 5), (20, 20, 20), (60, 0, 2)])
def test_maps_name_as_many_classes_as_can_be_read(count, numbers, told):
    scene = clip_maps.scene_of(many(count))
    figure = drawn(scene)
    (axis,) = figure.axes
    assert sorted(int(text.get_text()) for text in axis.texts) == list(range(1, numbers + 1))
    (legend,) = figure.legends
    assert len(legend.get_texts()) == told
    if count == 5:
        assert len({scene.marker(c) for c in scene.shown}) == len({scene.colour(c) for c in scene.shown}) == 5


def test_numbers_do_not_lie_on_each_other():
    points = np.random.default_rng(0).uniform(0.4, 0.5, size=(30, 2))
    moved = clip_maps.spread(points, points[:0])
    apart = np.linalg.norm(moved[:, None] - moved[None], axis=2)[~np.eye(30, dtype=bool)]
    assert apart.min() > 0.9 * clip_maps._APART
    assert np.linalg.norm(moved - points, axis=1).max() < 0.3
    same = clip_maps.spread(np.full((5, 2), 0.5), np.full((1, 2), 0.5))
    assert len({tuple(point) for point in same.round(3).tolist()}) == 5


def test_chosen_classes_alone_are_drawn():
    test = many(20)
    scene = clip_maps.scene_of(test, ["c003", "c004", "c005", "c007"])
    assert {test.names[c] for c in scene.labels.tolist()} == {"c003", "c004", "c005", "c007"}
    assert clip_maps.scene_of(test, ["c003"]) is None  # three clips
    clip_maps.check_classes([test], ["c003"])
    with pytest.raises(ValueError, match=r"No test clips of the class 'c03'.*c003"):
        clip_maps.check_classes([test], ["c03"])


def test_an_svg_tells_each_class_on_hover_and_needs_nothing_else():
    figure = drawn(clip_maps.scene_of(many(20)))
    assert tells(figure)
    assert not tells(look.blank(2, 2)[0])
    forms = pictures(figure)
    assert forms == pictures(figure)  # equal figures, equal files
    root = ElementTree.fromstring(forms[".svg"])
    told = [title.text for title in root.iter(f"{SVG}title")]
    assert "c003 (unseen), 3 clips" in told
    assert "c003 (unseen): class embedding" in told
    assert len(told) == 40
    assert not [part for part in root.iter() if (part.get("id") or "").startswith(clip_maps.HOVER)]
    assert b"hover: " not in forms[".svg"]
    page = inside_page(forms[".svg"], "a <title>")
    assert page.startswith("<svg ")
    assert 'aria-label="a &lt;title&gt;"' in page


def test_t_sne_names_its_seed(several):
    figure = clip_maps.tsne(several)
    assert "seed 0" in texts(figure)
    assert len(figure.axes) == 2


def test_the_page_draws_chosen_classes(runs, tmp_path):
    write_page(runs, tmp_path / "report.html", classes=["man speaking", "wind blowing"])
    html = (tmp_path / "report.html").read_text()
    assert "man speaking (unseen), 12 clips" in html
    assert "dog barking (seen)" not in html
    with pytest.raises(ValueError, match="No test clips of the class 'nobody'"):
        write_page(runs, tmp_path / "other.html", classes=["nobody"])
    assert not (tmp_path / "other.html").exists()
