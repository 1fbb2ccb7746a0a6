"""The main job on the embedded default: rendered videos to a recogniser, a table, a report and a prediction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from avshot.machine.cores import cores

METHODS = ("devise", "gru", "ez_avgzl")


def run_demo(out: Path, *, seeds: Sequence[int], clips: int, difficulty: float) -> None:
    """Render, extract, train, test, report, and predict an unseen class on a new raw clip.

    Every step skips what is already there, so a stopped demo goes on where it was.

    Args:
        out: Folder to work in.
        seeds: Seeds of the trainings.
        clips: Clips per class.
        difficulty: Of the rendered world, 0 to 1.
    """
    from avshot.bench.sweep import raise_first, sweep
    from avshot.cli.predict import predict_videos
    from avshot.cli.report import write_report
    from avshot.data.load import load_dataset
    from avshot.data.rendered.world import demo_clip
    from avshot.experiment import Experiment
    from avshot.terminal.progress import note, show_trainings

    started = time.monotonic()
    toml = prepare_world(out / "world", clips=clips, difficulty=difficulty)
    asked = [Experiment(dataset=str(toml), method=method, seed=seed) for method in METHODS for seed in seeds]
    # Small models: several trainings on one thread each finish sooner than one after the other on all cores.
    with show_trainings() as progress:
        made = sweep(asked, out / "runs", jobs=cores(), progress=progress, say=note)
    raise_first(made.failed, len(made.placed))
    write_report([out / "runs"], None)
    unseen = load_dataset(str(toml)).classes_of("test_unseen")
    clips_of = {name: demo_clip(out / "new", name, difficulty=difficulty) for name in unseen}
    best = next(run for run, e in made.placed.items() if (e.method, e.seed) == ("ez_avgzl", seeds[0]))
    shown = _new_clips(best, clips_of)
    print(f'One of them, "{shown}", in full:')
    predict_videos(best, [clips_of[shown]], None, top=5, as_json=False, device="cpu")
    _untrained_too(clips_of)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at {out / 'runs' / 'report.html'}, then try:")
    print(f'  avshot predict {best} {clips_of[shown]} --classes "{shown}, a dog barking, playing the cello"')


def prepare_world(out: Path, *, clips: int = 20, difficulty: float = 0.3) -> Path:
    """Render the world into `out` and extract its features, both where they are not there yet; returns its `.toml`."""
    from avshot.cli.extract import extract_source
    from avshot.data.rendered.world import render_world
    from avshot.terminal.progress import show_progress

    with show_progress("rendering videos") as bar:
        toml = render_world(out, clips_per_class=clips, difficulty=difficulty, progress=bar)
    extract_source(Path(toml), None, audio="logmel", visual="pixels", workers=None)
    return Path(toml)


def _new_clips(run: Path, clips: dict[str, Path]) -> str:
    """Predict a new clip of each unseen class; returns the first class that was recognised, else the first class."""
    from avshot.prediction.predictor import Predictor
    from avshot.run import load_run
    from avshot.terminal.tables import print_table

    predictor = Predictor(load_run(run))
    found = {name: predictor.predict(str(clip)).ranking[0] for name, clip in clips.items()}
    right = [name for name, guess in found.items() if guess.name == name]
    rows = [
        [name, guess.name, f"{100 * guess.probability:.0f} %", "yes" if name in right else "no"]
        for name, guess in found.items()
    ]
    print()
    title = f"new clips of classes without a single training clip: {len(right)} of {len(rows)} right"
    print_table(title, ["class", "predicted", "probability", "right"], rows)
    return right[0] if right else next(iter(clips))


def _untrained_too(clips: dict[str, Path]) -> None:
    """The same clips by pretrained encoders alone, where these are installed; else what would bring them."""
    from avshot.errors import AvshotError
    from avshot.finding.recognise import ranked
    from avshot.finding.track import track
    from avshot.terminal.tables import print_table
    from avshot.untrained import scorer

    try:
        untrained = scorer(list(clips))
    except AvshotError:
        untrained = None
    if untrained is None or untrained.audio is None:  # a picture alone tells nothing of these shapes
        print(
            "\nRecognition before any training, `avshot find`, needs small pretrained encoders: see docs/installing.md."
        )
        return
    found = {name: ranked(track(clip, untrained)) for name, clip in clips.items()}
    right = sum(bool(ranking) and ranking[0].name == name for name, ranking in found.items())
    rows = [
        [name, ranking[0].name if ranking else "-", f"{100 * ranking[0].probability:.0f} %" if ranking else "-"]
        for name, ranking in found.items()
    ]
    print()
    title = f"the same clips without any training, by encoders that know real things: {right} of {len(rows)} right"
    print_table(title, ["class", "most like", "probability"], rows)
    for note in untrained.notes:
        print(f"note: {note}")
