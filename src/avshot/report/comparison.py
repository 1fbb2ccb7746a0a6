"""Two Runs side by side on one page: what differs, whom each takes for whom among unseen classes, and where clips lie.

Unseen classes are those without a full set of training clips: novel ones, where the Runs learnt from few shots.

Sources: Mo and Morgado (EZ-AVGZL), ECCV 2024, Fig. 3, is the pair of confusion matrices with and without
class-embedding optimisation; Mercea et al. (AVCA), CVPR 2022, Fig. 3, is t-SNE of audio, visual and learnt embeddings.
Ours differ: the order of the classes is not the papers' (they do not say theirs) but puts classes that are confused
beside each other; and the classes of the maps are those that were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avshot.errors import BadSetting
from avshot.report import clip_maps, look
from avshot.report.confusion import Confusion, count, draw_matrix, matrix_size
from avshot.report.difference import difference, names_of
from avshot.report.document import Document
from avshot.report.page import about, add_settings
from avshot.report.rows import row_of
from avshot.run import Run
from avshot.task import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEEN_CLASSES, _UNSEEN_CLASSES = 3, 5  # in the maps, where none are named
_FEWEST = 2  # unseen classes


def write_comparison(first: Run, second: Run, file: Path, *, classes: Sequence[str] = ()) -> None:
    """Write a page about two Runs to `file`, its Markdown twin and its figures beside it.

    Args:
        first: Drawn on the left, or above.
        second: Drawn beside it.
        file: Ends in `.html`.
        classes: For the maps; where none are named, the three seen and five unseen ones with the most test clips.

    Raises:
        ValueError: No test clips of unseen classes, other unseen classes in each, or a class without test clips.
    """
    names, kind = names_of(first, second), first.task.kinds[1]
    tests = _tested(first, names[0]), _tested(second, names[1])
    clip_maps.check_classes(tests, classes)
    confusions = zero_shot(*tests, names, kind)
    document = Document(file, "avshot: two Runs", about([first, second]))
    document.say(difference(first, second))
    document.say(
        f"{_zero_shot(first)}: test clips of {kind} classes, among {kind} classes alone. Rows are in one order in both "
        "matrices: classes that are taken for each other stand beside each other."
    )
    document.table(*_accuracies(confusions, names, first))
    document.figure(f"{_zero_shot(first)} confusion", _confusions(confusions, names, first))
    document.figure(
        "Clips by audio, visual and fused features",
        _maps((first, second), tests, names, classes or _most_clips(tests[0])),
    )
    document.heading("Settings")
    for run, name in zip((first, second), names, strict=True):
        add_settings(row_of(run.info["data"]["name"], name, [run]), document)
    document.write()


def _tested(run: Run, name: str) -> Scored:
    test = run.scored("test")
    if test is None or not bool((~test.seen[test.labels]).any()) or int((~test.seen).sum()) < _FEWEST:
        kind = run.task.kinds[1]
        raise BadSetting(f"{name} has no test clips of at least two {kind} classes; compare Runs that have some.")
    return test


def _zero_shot(run: Run) -> str:
    """What a table or figure of its unseen classes alone is called."""
    return "Zero-shot" if run.task.kinds[1] == "unseen" else run.task.alone or "Alone"


def zero_shot(
    first: Scored, second: Scored, names: tuple[str, str], kind: str = "unseen"
) -> tuple[Confusion, Confusion]:
    """Confusions of the unseen test clips among unseen classes, with the same rows and columns in the same order.

    Raises:
        ValueError: The unseen classes, or those with test clips, are not the same.
    """
    unseen = [[name for name, seen in zip(t.names, t.seen.tolist(), strict=True) if not seen] for t in (first, second)]
    labelled = [{test.names[c] for c in test.labels.unique().tolist()} for test in (first, second)]
    with_clips = [found & set(among) for found, among in zip(labelled, unseen, strict=True)]
    if set(unseen[0]) != set(unseen[1]) or with_clips[0] != with_clips[1]:
        apart = sorted(set(unseen[0]) ^ set(unseen[1]) or with_clips[0] ^ with_clips[1])
        raise BadSetting(f"{names[0]} and {names[1]} were tested on other {kind} classes ({', '.join(apart[:5])}).")
    counts = [_counts(test, unseen[0]) for test in (first, second)]
    clips = [found.sum(axis=1) for found in counts]
    shares = [found / np.maximum(found.sum(axis=1, keepdims=True), 1) for found in counts]
    rows = np.flatnonzero(clips[0])
    rows = rows[_beside((shares[0] + shares[1])[np.ix_(rows, rows)])]
    others = np.flatnonzero((clips[0] == 0) & (counts[0] + counts[1]).any(axis=0))
    columns = np.concatenate([rows, others])
    true, predicted = (tuple(unseen[0][i] for i in places) for places in (rows, columns))
    one, other = (
        Confusion(found[np.ix_(rows, columns)], true, predicted, 0, n[rows])
        for found, n in zip(shares, clips, strict=True)
    )
    return one, other


def _counts(test: Scored, classes: Sequence[str]) -> np.ndarray:
    """`[class, class]` how many of the clips of these classes were taken for which, among them alone."""
    columns = torch.tensor([test.names.index(name) for name in classes])
    places = torch.full((len(test.names),), -1)
    places[columns] = torch.arange(len(columns))
    own = places[test.labels]
    guess = test.scores[own >= 0][:, columns].argmax(dim=1)
    return count(own[own >= 0], guess, len(columns)).long().numpy()


def _beside(shares: np.ndarray) -> np.ndarray:
    """An order of classes in which those that are taken for each other are near (seriation by the Fiedler vector)."""
    if len(shares) < 3:
        return np.arange(len(shares))
    weights = shares + shares.T + 1e-3  # connected, whatever is confused
    np.fill_diagonal(weights, 0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    vector = np.linalg.eigh(laplacian)[1][:, 1]
    return np.argsort(vector * np.sign(vector[np.abs(vector).argmax()]), kind="stable")


def _accuracies(
    confusions: tuple[Confusion, Confusion], names: tuple[str, str], run: Run
) -> tuple[list[str], list[list[str]]]:
    """Accuracy of each class in both, and by how much the second is better; the mean, ZSL for example, first."""
    one, other = (100 * np.diag(found.shares) for found in confusions)
    n = confusions[0].clips
    table = [(f"mean over classes{_named(run)}", one.mean(), other.mean(), n.sum())]
    table += list(zip(confusions[0].true, one, other, n, strict=True))
    head = [f"{run.task.kinds[1]} class", f"{names[0]} (%)", f"{names[1]} (%)", "second - first", "test clips"]
    return head, [[name, f"{a:.1f}", f"{b:.1f}", f"{b - a:+.1f}", str(clips)] for name, a, b, clips in table]


def _named(run: Run) -> str:
    """The metric that is the mean over classes; of several draws it is the mean over these, and here is the first."""
    alone = run.task.alone
    return f" ({alone}{' of the first draw' if len(run.draws) > 1 else ''})" if alone else ""


def _confusions(confusions: tuple[Confusion, Confusion], names: tuple[str, str], run: Run) -> Figure:
    """Both matrices with one order and one scale."""
    width, height, margin = matrix_size(confusions[0])
    figure, axes = look.blank(2 * width + margin + 1.6, height + margin + 1.0, ncols=2)
    for i, (axis, found, name) in enumerate(zip(axes, confusions, names, strict=True)):
        image = draw_matrix(axis, found, names=i == 0)
        mean = 100 * np.diag(found.shares).mean()
        axis.set_title(f"{_short(name, int(11 * width))}\n{run.task.alone} {mean:.1f} %", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the class's test clips (%)", shrink=0.8)
    figure.suptitle(f"Confusion among {run.task.kinds[1]} classes", fontsize=11)
    return figure


def _short(name: str, most: int) -> str:
    """A name without its middle where it is too long: the seed stands at its end."""
    flat = look.plain(name)
    return look.shown(flat if len(flat) <= most else f"{flat[: most // 2 - 1]}…{flat[-(most // 2) :]}", most)


def _most_clips(test: Scored) -> list[str]:
    """The seen and unseen classes with the most test clips."""
    clips = torch.bincount(test.labels, minlength=len(test.names))
    found: list[str] = []
    for group, most in ((test.seen, _SEEN_CLASSES), (~test.seen, _UNSEEN_CLASSES)):
        places = [i for i in group.nonzero().flatten().tolist() if clips[i]]
        found += [test.names[i] for i in sorted(places, key=lambda i: (-int(clips[i]), test.names[i]))[:most]]
    return found


def _maps(runs: Sequence[Run], tests: Sequence[Scored], names: Sequence[str], classes: Sequence[str]) -> Figure:
    """t-SNE of audio, visual and fused features of each Run: a row each."""
    figure, axes = look.blank(13.0, 8.6, nrows=2, ncols=3)
    scenes = [clip_maps.scene_of(test, classes, run.task.kinds) for run, test in zip(runs, tests, strict=True)]
    for panels, run, scene, name in zip(axes, runs, scenes, names, strict=True):
        for axis, kind in zip(panels, ("audio", "visual", "fused"), strict=True):
            said = f"{_short(name, 60)}\n{kind}" if kind == "audio" else f"\n{kind}"
            axis.set_title(said, fontsize=10, loc="left")
            _map(axis, run, scene, kind)
    figure.suptitle(f"t-SNE of test clips ({clip_maps.RIMMED})", fontsize=11)
    drawn = next((scene for scene in scenes if scene is not None), None)
    if drawn is not None:
        clip_maps.legend(figure, drawn)
    return figure


def _map(axis: Any, run: Run, scene: clip_maps.Scene | None, kind: str) -> None:
    made, name = run.embeddings(), {"fused": "clip"}.get(kind, kind)
    if scene is None or name not in made or made[name].shape[1] == 0:
        clip_maps.empty(axis, "fewer than twelve test clips" if scene is None else f"this Run has no {kind} features")
    elif kind == "fused":
        clip_maps.draw_map(axis, scene, *clip_maps.flat(*clip_maps.joint_space(run, scene)))
    else:
        clips = clip_maps.standardised(made[name][scene.clips].numpy())
        clip_maps.draw_map(axis, scene, *clip_maps.flat(clips, None))
