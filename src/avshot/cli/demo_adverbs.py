"""The main job on rendered manners: not only what is done, but how, for pairs that no training clip shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from avshot.machine.cores import cores

METHODS = ("regada", "ac_cls", "ez_avgzl")  # the last one knows nothing of adverbs: a pair is a class like any other
# Sound with its loudness, which logmel's usual scaling takes away; and five frames in a step, on a coarse grid: how
# fast something moves shows in several frames, and anywhere.
AUDIO = "logmel?normalise=none&mels=20&stack=4&hop=0.08"
VISUAL = "pixels?rows=3&columns=4&colour_rows=1&colour_columns=1&hues=4&stack=5&hop=0.4"


def run_adverb_demo(out: Path, *, seeds: Sequence[int], clips: int, difficulty: float) -> None:
    """Render motions in manners, extract, train, test, report, and name the manner of new raw clips of unseen pairs.

    Every step skips what is already there, so a stopped demo goes on where it was.

    Args:
        out: Folder to work in.
        seeds: Seeds of the trainings.
        clips: Clips of each pair of a motion and an adverb.
        difficulty: Of the rendered world, 0 to 1.
    """
    from avshot.bench.sweep import raise_first, sweep
    from avshot.cli.report import write_report
    from avshot.experiment import Experiment
    from avshot.terminal.progress import note, show_trainings

    started = time.monotonic()
    toml = prepare_manners(out / "manners", clips=clips, difficulty=difficulty)
    asked = [
        Experiment(dataset=str(toml), method=method, task="adverb", seed=seed) for method in METHODS for seed in seeds
    ]
    with show_trainings() as progress:
        made = sweep(asked, out / "runs", jobs=cores(), progress=progress, say=note)
    raise_first(made.failed, len(made.placed))
    write_report([out / "runs"], None)
    _sides([run for run, e in made.placed.items() if e.seed == seeds[0]])
    best = next(run for run, e in made.placed.items() if (e.method, e.seed) == ("regada", seeds[0]))
    shown = _new_clips(best, toml, out / "new", difficulty)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at {out / 'runs' / 'report.html'}, then try:")
    action, adverb = shown.stem.split("-")
    print(f"  avshot predict {best} {shown} --action {action}")
    print(f'  avshot search {best} "{action} {adverb}" {shown.parent}')


def prepare_manners(out: Path, *, clips: int = 20, difficulty: float = 0.2, seed: int = 0) -> Path:
    """Render the world of manners into `out` and extract its features where there are none; returns its `.toml`."""
    from avshot.cli.extract import extract_source
    from avshot.data.rendered.manner_world import render_manners
    from avshot.terminal.progress import show_progress

    with show_progress("rendering videos") as bar:
        toml = render_manners(out, clips_per_class=clips, difficulty=difficulty, seed=seed, progress=bar)
    extract_source(toml, None, audio=AUDIO, visual=VISUAL, workers=None)
    return toml


def _sides(runs: Sequence[Path]) -> None:
    """How often the adverb outscores its opposite, for pairs that train and for those that do not."""
    from avshot.run import load_run
    from avshot.terminal.tables import print_table

    rows = []
    for run in map(load_run, runs):
        sides = (run.metrics.get(kind) or {} for kind in run.task.kinds)
        values = [f"{100 * side[name]:.1f}" for side in sides for name in ("mAP W", "Acc-A cls")]
        rows.append([run.experiment.method, *values])
    columns = [f"{name}, {kind} pairs" for kind in ("seen", "unseen") for name in ("mAP W", "Acc-A cls")]
    print_table("seed by itself, per cent (chance: mAP W 10, Acc-A cls 50)", ["method", *columns], rows)


def _new_clips(run: Path, toml: Path, folder: Path, difficulty: float) -> Path:
    """Name the manner of a new clip of each unseen pair; returns the first that was right, else the first."""
    from avshot.data.load import load_dataset
    from avshot.data.rendered.manner_world import demo_manner, pair_of
    from avshot.data.rendered.manners import OPPOSITES
    from avshot.prediction.predictor import Predictor
    from avshot.run import load_run
    from avshot.terminal.tables import print_table

    predictor, rows, right = Predictor(load_run(run)), [], []
    clips = {
        name: demo_manner(folder, name, difficulty=difficulty)
        for name in load_dataset(str(toml)).classes_of("test_unseen")
    }
    for name, clip in clips.items():
        action, adverb = pair_of(name)
        found = predictor.predict(str(clip), action=action).manners
        place = {manner.adverb: i for i, manner in enumerate(found)}
        ahead = place[adverb] < place[OPPOSITES[adverb]]
        right += [clip] if ahead else []
        rows.append([action, adverb, found[0].adverb, str(1 + place[adverb]), "yes" if ahead else "no"])
    title = f"new clips of pairs without a training clip: {len(right)} of {len(rows)} rather so than the opposite"
    print_table(title, ["action", "adverb", "first of ten", "place of the adverb", "before its opposite"], rows)
    return (right or list(clips.values()))[0]
