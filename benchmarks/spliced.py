"""How well are events found in time without training? In a recording of ten minutes of which every second is known.

    AVSHOT_DATA=... python benchmarks/spliced.py --out results/spliced
    AVSHOT_DATA=... python benchmarks/spliced.py --out results/spliced --tune

27 clips with picture and sound of 19 classes, and 20 sounds of ESC-10 fold 4 with a black picture, stand between gaps
of silence, white and pink noise and still pictures. All names are looked for everywhere: by sound, by picture, by both.
`--tune` compares settings of `Segmentation` on another splice, of ESC-10 folds 1 to 3 alone.

What happened is known by where a clip lies; within a clip nobody marked when the dog barks and when it pauses.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from event_scores import Agree, Score, by_event, by_second, empty_gaps, grouped, overlapping, within
from splicing import event_clips, sounds, splice, truth, variant

from avshot.events import Events, Track
from avshot.events.segments import Segmentation, find_events
from avshot.finding.find import find_each
from avshot.terminal.tables import markdown
from avshot.untrained.scorer import scorer

SEED, TUNE_SEED = 14, 1414
RATIOS = (None, 20.0, 10.0, 0.0)  # dB of clips to noise; None: none is added
BY = {"both": {}, "sound": {"picture": ""}, "picture": {"sound": ""}}
# Written down before any result was seen: what is hard to tell apart by ear. Never in place of the strict figures.
ALIKE = {
    "drums": ("playing bass drum", "playing drum kit", "playing bongo"),
    "crowd": ("people cheering", "people clapping"),
    "water": ("waterfall burbling", "raining", "sea waves"),
    "bangs": ("fireworks banging", "machine gun shooting"),
    "engines": ("car engine knocking", "helicopter", "chainsawing trees"),
}
GROUP = {name: group for group, names in ALIKE.items() for name in names}
COLLAR, SHARE = 2.0, 0.5
HEAD = ["noise", "by", "names", "F1 (2 s)", "P", "R", "F1 (half)", "P", "R", "F1 by second", "P", "R", "empty gaps"]
GRID = ((0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.3, 0.4, 0.6, 0.8), (0.5, 1.0, 2.0), (0.2, 0.5, 1.0))
TUNE_RATIOS = (None, 10.0)


def main() -> None:
    """Print the table, or that of settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="recordings and scores; the same call goes on there")
    parser.add_argument("--tune", action="store_true", help="compare settings, on another recording")
    parser.add_argument("--only", nargs="*", choices=list(BY), default=list(BY))
    options = parser.parse_args()
    if "AVSHOT_DATA" not in os.environ:
        sys.exit("Set AVSHOT_DATA to the folder that holds events/clips and events/esc10.")
    data = Path(os.environ["AVSHOT_DATA"])
    options.out.mkdir(parents=True, exist_ok=True)
    reported = [*event_clips(data), *sounds(data, ["4"], 2, SEED)]
    names = sorted({clip.name for clip in reported})
    if options.tune:
        print(tune(options.out, data, names))
        return
    path = options.out / "spliced.mp4"
    splice(path, reported, SEED, RATIOS)
    (options.out / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    print(table(path, names, options.only))


def table(path: Path, names: Sequence[str], kinds: Sequence[str]) -> str:
    """All figures, as Markdown."""
    true, gaps, _ = truth(path)
    rows = []
    for ratio, by in product(RATIOS, kinds):
        if by == "picture" and ratio is not None:
            continue  # the picture is the same
        found = find_events(scores(path, ratio, by, names))
        noise = "none" if ratio is None else f"{ratio:.0f} dB"
        rows.append([noise, by, "strict", *figures(found, true, gaps)])
        rows.append([noise, by, "alike", *figures(grouped(found, GROUP), grouped(true, GROUP), gaps)])
    return markdown(HEAD, rows)


def scores(path: Path, ratio: float | None, by: str, names: Sequence[str]) -> Track:
    """Scores in time of one variant, kept from the last call where nothing changed."""
    made = scorer(names, **BY[by])
    (found,) = find_each([variant(path, ratio)], made, out=path.parent / "scores" / variant(path, ratio).stem / by)
    if found.error:
        raise ValueError(found.error)
    return found.track


def figures(found: Events, true: Events, gaps: Sequence[tuple[float, float]]) -> list[str]:
    """The cells of a row, per cent."""
    agrees: list[Agree] = [within(COLLAR), overlapping(SHARE)]
    kinds: list[Score] = [*(by_event(found, true, agree) for agree in agrees), by_second(found, true)]
    cells = [f"{100 * value:.0f}" for one in kinds for value in (one.f1, one.precision, one.recall)]
    return [*cells, f"{100 * empty_gaps(found, gaps):.0f}"]


def tune(out: Path, data: Path, names: Sequence[str]) -> str:
    """The ten best settings and the usual ones, by the mean F1 of all three kinds over no noise and 10 dB."""
    path = out / "tuning.mp4"
    splice(path, sounds(data, ["1", "2", "3"], 6, TUNE_SEED), TUNE_SEED, TUNE_RATIOS)
    true, gaps, _ = truth(path)
    tracks = [scores(path, ratio, "sound", names) for ratio in TUNE_RATIOS]
    rows = []
    for begin, stay, merge, shortest in product(*GRID):
        settings = Segmentation(begin, stay, merge, shortest)
        found = [find_events(track, settings) for track in tracks]
        kinds = [(by_event(f, true, within(COLLAR)), by_event(f, true, overlapping(SHARE)), by_second(f, true))
                 for f in found]  # fmt: skip
        means = [100 * sum(kind[i].f1 for kind in kinds) / len(kinds) for i in range(3)]
        empty = 100 * sum(empty_gaps(f, gaps) for f in found) / len(found)
        rows.append((sum(means) / 3, settings, [*means, empty]))
    rows.sort(key=lambda row: -row[0])
    shown = [*rows[:10], *(row for row in rows[10:] if row[1] == Segmentation())]
    head = ["begin", "stay", "merge", "shortest", "F1 (2 s)", "F1 (half)", "F1 by second", "empty gaps", "mean F1"]
    return markdown(head, [_told(row) for row in shown])


def _told(row: tuple[float, Segmentation, list[float]]) -> list[str]:
    mean, how, rest = row
    return [*map(str, (how.begin, how.stay, how.merge, how.shortest)), *(f"{v:.0f}" for v in rest), f"{mean:.1f}"]


if __name__ == "__main__":
    main()
