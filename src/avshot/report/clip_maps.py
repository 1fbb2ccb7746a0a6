"""Maps of test clips: t-SNE of what goes into a method and of what it makes of it.

Up to eight classes have a colour and a marker each. More are numbered at their centres, the names in a legend, and
coloured by the word that their names share; more than forty are not named at all. In an SVG each class tells its name
when a pointer rests on it (`avshot.report.pictures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avshot.errors import BadSetting
from avshot.report import look
from avshot.report.name_groups import OTHER, name_groups
from avshot.report.rows import Row
from avshot.run import Run
from avshot.settings import did_you_mean
from avshot.task import Scored, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOVER = "hover: "  # an id of a part of a figure begins so: the rest is what an SVG tells of that part
RIMMED = "large, rimmed: class embeddings"
MOST_CLIPS = 1500
_FEWEST_CLIPS = 12
_KINDS = "osDvPX^p"  # markers of classes with a look of their own
_APART = 0.04  # of the panel, between two numbers


@dataclass(frozen=True)
class Scene:
    """The clips of a map and how their classes look.

    Attributes:
        clips: `[clip]` which of the test clips.
        labels: `[clip]` class of each, an index into all candidates.
        names: All candidates.
        seen: `[class]` bool.
        shown: The classes of the map, in the order of the legend.
        groups: `{name: shared word}` where colours are those of groups.
        kinds: What classes are called that are seen, and what the others (`Task.kinds`).
    """

    clips: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    seen: np.ndarray
    shown: tuple[int, ...]
    groups: dict[str, str] | None
    kinds: tuple[str, str] = Task.kinds

    @property
    def alone(self) -> bool:
        """Each class has a colour and a marker of its own."""
        return len(self.shown) <= len(look.PALETTE)

    @property
    def numbered(self) -> bool:
        """Each class has a number at its centre, and the legend its name."""
        return not self.alone and len(self.shown) <= look.MOST_TICKS

    def words(self) -> list[str]:
        """The shared words, the commonest first, "other" last."""
        found = [self.groups[self.names[c]] for c in self.shown] if self.groups else []
        return sorted(set(found), key=lambda word: (word == OTHER, -found.count(word), word))

    def colour(self, c: int) -> Any:
        """Of a class: its own, its group's, or where there are too many for either, whether it is seen."""
        place = self.shown.index(c)
        if self.alone:
            return look.PALETTE[place]
        if self.groups:
            word = self.groups[self.names[c]]
            return look.PALETTE[-1] if word == OTHER else look.PALETTE[self.words().index(word)]
        return look.SEEN if self.seen[c] else look.UNSEEN

    def marker(self, c: int) -> str:
        """Of a class: its own, or disc and triangle for the two kinds."""
        return _KINDS[self.shown.index(c)] if self.alone else "o" if self.seen[c] else "^"

    def told(self, c: int) -> str:
        """Name of a class with what it is."""
        return f"{look.plain(self.names[c])} ({self.kinds[0 if self.seen[c] else 1]})"


def scene_of(test: Scored, classes: Sequence[str] = (), kinds: tuple[str, str] = Task.kinds) -> Scene | None:
    """The clips of some classes, of all that have test clips where none is named; None with fewer than twelve clips.

    Args:
        test: What was scored.
        classes: Names among the candidates; what lacks clips is left out.
        kinds: Of the task.
    """
    wanted = {test.names.index(name) for name in classes if name in test.names} or set(range(len(test.names)))
    labels = test.labels.numpy()
    clips = np.flatnonzero(np.isin(labels, list(wanted)))
    if len(clips) < _FEWEST_CLIPS:
        return None
    clips = clips[np.linspace(0, len(clips) - 1, min(MOST_CLIPS, len(clips))).astype(int)]
    there = sorted(set(labels[clips].tolist()))
    many = len(there) > len(look.PALETTE)
    groups = name_groups([test.names[c] for c in there]) if many else None
    seen = test.seen.numpy()
    order = sorted(there, key=lambda c: ("" if groups is None else groups[test.names[c]], not seen[c], test.names[c]))
    return Scene(clips, labels[clips], test.names, seen, tuple(order), groups, kinds)


def check_classes(tests: Sequence[Scored], classes: Sequence[str]) -> None:
    """Raise ValueError where a class that is to be drawn has no test clip in any of the tests."""
    there = sorted({test.names[c] for test in tests for c in test.labels.unique().tolist()})
    for name in classes:
        if name not in there:
            near = did_you_mean(name, there)
            raise BadSetting(f"No test clips of the class {name!r}; name some of {', '.join(there)}.{near}")


def tsne(row: Row, classes: Sequence[str] = ()) -> Figure | None:
    """t-SNE of test clips of the first seed: input features on the left, the learnt joint space on the right.

    Args:
        row: Its first Run is drawn: embeddings of several trainings lie in different spaces.
        classes: Only clips of these; where the row has none of them, of all.
    """
    run = row.runs[0] if row.runs else None
    test = run.scored("test") if run is not None else None
    scene = scene_of(test, classes, row.task.kinds) if test is not None else None
    if run is None or scene is None:
        return None
    made = run.embeddings()
    inputs = np.concatenate([standardised(made[kind][scene.clips].numpy()) for kind in ("audio", "visual")], axis=1)
    panels: list[tuple[str, np.ndarray, np.ndarray | None]] = [("input features (time averages)", inputs, None)]
    if "clip" in made:
        panels.append((f"learnt embeddings ({RIMMED})", *joint_space(run, scene)))
    figure, axes = look.blank(6.2 * len(panels), 5.8, ncols=len(panels))
    for axis, (title, clips, stars) in zip(np.atleast_1d(axes), panels, strict=True):
        draw_map(axis, scene, *flat(clips, stars))
        axis.set_title(title, fontsize=10)
    seed = look.seeds_of(Row(row.dataset, row.label, row.task, {}, row.runs[:1]))
    figure.suptitle(look.titled(row, f"t-SNE of {len(scene.clips)} test clips, {seed}", 6.2 * len(panels)), fontsize=11)
    legend(figure, scene)
    return figure


def joint_space(run: Run, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the clips of a scene and of its classes, each of unit length: directions carry the classes."""
    made = run.embeddings()
    order = torch.tensor([run.info["classes"].index(scene.names[c]) for c in scene.shown])
    return _unit(made["clip"][scene.clips].numpy()), _unit(made["class"][order].numpy())


def flat(clips: np.ndarray, stars: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Both in one plane by t-SNE (van der Maaten and Hinton, 2008), perplexity 30 or a third of the points."""
    from sklearn.manifold import TSNE

    rows = clips if stars is None else np.concatenate([clips, stars])
    perplexity = min(30.0, (len(rows) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(rows.astype(np.float32))
    return found[: len(clips)], None if stars is None else found[len(clips) :]


def draw_map(axis: Any, scene: Scene, clips: np.ndarray, stars: np.ndarray | None) -> None:
    """Clips `[clip, 2]` of a scene by class, class embeddings `[shown class, 2]` rimmed, numbers."""
    for place, c in enumerate(scene.shown):
        own = clips[scene.labels == c]
        style = {"color": scene.colour(c), "marker": scene.marker(c), "alpha": 0.75, "linewidths": 0}
        axis.scatter(*own.T, s=26, **style, gid=f"{HOVER}{scene.told(c)}, {len(own)} clips")
        if stars is not None:
            style = {"color": scene.colour(c), "marker": scene.marker(c), "edgecolors": "black", "zorder": 2}
            size = 150 if scene.alone else 80 if scene.numbered else 40
            told = f"{HOVER}{scene.told(c)}: class embedding"
            axis.scatter(*stars[place], s=size, linewidths=1.3, gid=told, **style)
    axis.set(xticks=[], yticks=[])
    axis.spines[["left", "bottom"]].set_color("0.8")
    if scene.numbered:
        centres = [np.median(clips[scene.labels == c], axis=0) for c in scene.shown]
        _number(axis, *((np.array(centres), 0.0) if stars is None else (stars, 0.75 * _APART)))


def empty(axis: Any, text: str) -> None:
    """A panel without anything, and why."""
    axis.set(xticks=[], yticks=[])
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="0.4", transform=axis.transAxes)


def _number(axis: Any, centres: np.ndarray, above: float) -> None:
    """Numbers from 1 at or above the centres, moved apart where they would cover each other, with a line back."""
    from matplotlib.patheffects import withStroke

    low, high = np.array([axis.get_xlim(), axis.get_ylim()]).T
    inside = (centres - low) / (high - low)
    places = low + spread(inside + np.array([0, above]), inside if above else inside[:0]) * (high - low)
    for i, (centre, place) in enumerate(zip(centres, places, strict=True), 1):
        arrow = {"arrowstyle": "-", "linewidth": 0.6, "color": "0.2", "shrinkA": 0, "shrinkB": 0}
        axis.annotate(
            f"{i}", centre, xytext=place, ha="center", va="center", fontsize=7.5, fontweight="bold", zorder=4,
            arrowprops=arrow, path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )  # fmt: skip


def spread(points: np.ndarray, anchors: np.ndarray, gap: float = _APART, rounds: int = 200) -> np.ndarray:
    """Points of the unit square, moved until no two are nearer than `gap`, if the rounds suffice.

    Args:
        points: `[point, 2]` where they would best be.
        anchors: `[anchor, 2]` from which they keep half of that distance.
        gap: Between two points.
        rounds: At most.
    """
    found = points + 1e-4 * np.random.default_rng(0).normal(size=points.shape)  # none on top of another
    wanted = np.r_[np.full(len(points), gap), np.full(len(anchors), gap / 2)]
    for _ in range(rounds):
        away = found[:, None] - np.concatenate([found, anchors])[None]
        far = np.linalg.norm(away, axis=2)
        far[np.diag_indices(len(found))] = np.inf
        push = np.clip(wanted - far, 0, None) / 2
        if not push.any():
            break
        found = np.clip(found + (away * (push / far)[:, :, None]).sum(axis=1), 0, 1)
    return found


def legend(figure: Figure, scene: Scene) -> None:
    """Names of the classes, or of their groups, in a strip of its own."""
    handles = []
    if scene.alone or scene.numbered:
        names = [(f"{i}  " if scene.numbered else "") + look.shown(scene.told(c)) for i, c in enumerate(scene.shown, 1)]
        handles = [_handle(scene.marker(c), scene.colour(c), name) for c, name in zip(scene.shown, names, strict=True)]
    elif scene.groups:
        first = {word: next(c for c in scene.shown if scene.groups[scene.names[c]] == word) for word in scene.words()}
        handles = [_handle("s", scene.colour(c), look.shown(f"… {word} …")) for word, c in first.items()]
    if not scene.alone and not scene.numbered:
        handles += [_handle("o", "0.4" if scene.groups else look.SEEN, f"{scene.kinds[0]} class")]
        handles += [_handle("^", "0.4" if scene.groups else look.UNSEEN, f"{scene.kinds[1]} class")]
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, min(len(handles), int(figure.get_figwidth() * 14 / (longest + 6))))
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside lower center", ncols=columns)


def _handle(marker: str, colour: Any, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=marker, color=colour, markersize=6, label=label)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def standardised(rows: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and deviation 1: no dimension outweighs another by its unit."""
    return (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
