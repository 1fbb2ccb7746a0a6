"""Own videos in one folder per label become a recogniser, also of a class that has no video at all.

Run: python examples/own_videos.py
"""

import tempfile
from pathlib import Path

from avshot import Recognizer
from avshot.data.rendered.world import Look, demo_clip, render_clip
from avshot.media import write

LOOK = Look(difficulty=0.1, seconds=1.0)  # rendered clips stand in for your videos
LABELS = [f"{colour} sliding {sound}" for colour in ("red", "blue") for sound in ("drumming", "whistling", "beeping")]
UNSEEN = "blue sliding whistling"


def main() -> None:
    work = Path(tempfile.mkdtemp(prefix="own-videos-"))
    for label in set(LABELS) - {UNSEEN}:
        (work / "videos" / label).mkdir(parents=True)
        for number in range(6):
            frames, waveform = render_clip(label, number, LOOK)
            write(work / "videos" / label / f"{number}.mp4", frames, LOOK.fps, waveform, LOOK.rate)

    videos = sorted((work / "videos").glob("*/*.mp4"))
    labels = [video.parent.name for video in videos]
    recognizer = Recognizer("devise", folder=work / "cache").fit(videos, labels, classes=[UNSEEN])

    new = demo_clip(work, UNSEEN, difficulty=0.1)
    found = recognizer.predict(new)
    print(f"{len(videos)} videos of {len(set(labels))} classes; a new video of {UNSEEN!r}, which has none:")
    for guess in found.ranking[:3]:
        print(f"  {guess.probability:.2f} {guess.name}")
    again = Recognizer.load(recognizer.save(work / "recogniser")).predict(new)
    print("saved and loaded, it says the same:", again == found)


if __name__ == "__main__":
    main()
