"""A flat folder of recordings without labels: what can be done with it, and a Run that is asked about it.

Run: python examples/unlabelled_folder.py
"""

import tempfile
from pathlib import Path

from avshot import Recognizer
from avshot.data.manifest import declare
from avshot.data.rendered.world import Look, render_clip
from avshot.media import write

LOOK = Look(difficulty=0.1, seconds=1.0)  # rendered clips stand in for your recordings
LABELS = [f"{colour} sliding {sound}" for colour in ("red", "blue") for sound in ("drumming", "whistling", "beeping")]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="unlabelled-")) / "recordings"
    folder.mkdir()
    for number in range(8):
        for i, label in enumerate(LABELS):
            frames, waveform = render_clip(label, number, LOOK)
            write(folder / f"recording-{number}{i}.mp4", frames, LOOK.fps, waveform, LOOK.rate)
    try:
        declare(folder, folder.parent / "own.toml")
    except ValueError as refusal:
        print("Asked to train on it, avshot says:", refusal)

    named = {path: LABELS[int(path.stem[-1])] for path in sorted(folder.iterdir())[:36]}  # somebody looks at some of it
    recognizer = Recognizer("devise", folder=folder.parent / "cache").fit(named, named.values())
    rest = [recognizer.predict(path) for path in sorted(folder.iterdir()) if path not in named]
    right = sum(found.label == LABELS[int(Path(found.video).stem[-1])] for found in rest)
    print(f"{len(named)} of {len(named) + len(rest)} were labelled; of the others {right} are recognised.")
    print(rest[0].about, *rest[0].notes)


if __name__ == "__main__":
    main()
