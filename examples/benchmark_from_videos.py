"""Features and class vectors of a released benchmark from its videos, with any encoders: a folder that the bench reads.

Run: python examples/benchmark_from_videos.py ROOT BENCHMARK VIDEOS NAME AUDIO VISUAL TEXT
ROOT holds VGGSound/class-split and so on; VIDEOS holds files that are called as its tables call clips. What is written
to ROOT/BENCHMARK/features/NAME is `vggsound-cls?features=NAME` in a bench file (docs/papers-encoders.md).
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from avshot.classes.embed import embed_classes
from avshot.data.official.class_vectors import file_of_class_vectors
from avshot.data.official.tables import find_benchmark, read_tables
from avshot.features.extract import extract


def main(root: str, benchmark: str, videos: str, name: str, audio: str, visual: str, text: str) -> None:
    tables, folder = read_tables(root, benchmark), find_benchmark(root, benchmark) / "features" / name
    listed = {clip.id: clip for clips in tables.clips.values() for clip in clips}
    files = {path.stem: path for path in sorted(Path(videos).rglob("*")) if path.is_file()}
    # The videos are the clips themselves: the seconds of the tables are those of longer recordings.
    clips = [replace(clip, path=str(files[id]), start=None, end=None) for id, clip in listed.items() if id in files]
    found = extract(clips, str(folder), audio=audio or None, visual=visual or None)
    print(f"{found.done} of {len(listed)} clips described, {len(found.failed)} failed; {folder}")
    phrases = list(tables.phrases.values()) or list(tables.names)
    rows = next(iter(embed_classes(phrases, [text]).text.values())).numpy()
    file = folder / "text" / file_of_class_vectors(benchmark)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, np.array(dict(zip(phrases, rows, strict=True)), dtype=object), allow_pickle=True)
    print(f"{len(phrases)} class vectors of {rows.shape[1]} numbers; {file}")


if __name__ == "__main__":
    main(*sys.argv[1:])
