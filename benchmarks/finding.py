"""What does `avshot find` cost beside bare decoding, how long until its first event, does memory grow with length?"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from extraction import _looped
from measure import Target, interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

NAMES = ("dog barking", "rain")
SECONDS = 60  # of the recording whose cost is measured
HEARD_BY_AST = 10.0  # seconds that the transformer hears at a time, each second once; avshot hears each four times
LONG, SHORT = 3 * 3600, 300  # seconds of the recordings whose memory is compared
APART = 10  # seconds between frames there
START_LIMIT, MEMORY_LIMIT = 3.0, 1.25  # processor seconds until the first event; memory of the long beside the short
BARE = ("decoding, sound", "decoding, picture", "decoding, both")
OURS = {"find, sound": {"picture": ""}, "find, picture": {"sound": ""}, "find, both": {}}
AST = "transformers pipeline, AST, sound"

# Processor seconds until avshot is imported, until the encoders are ready, and until the first recording is done.
STAGES = """import json, os, sys, time
clock = time.process_time
marks = [clock()]
import torch
marks.append(clock())
from avshot.finding.api import make_scorer
from avshot.finding.find import find_each
from avshot.finding.follow import warm_up
import avshot.untrained
marks.append(clock())
scorer = make_scorer(json.loads(sys.argv[2]))
warm_up(scorer)
marks.append(clock())
found = next(find_each([sys.argv[1]], scorer))
assert not found.error, found.error
marks.append(clock())
print(json.dumps(marks))
"""
COMMAND = "import sys; from avshot.cli.app import main; sys.argv[0] = 'avshot'; main()"


def run() -> list[Target]:
    """Cost of an hour, start-up with and without kept vectors, peak memory of a long recording."""
    with tempfile.TemporaryDirectory() as folder:
        clip, what = _clip(Path(folder))
        rate = _rates(clip, what, Path(folder))
        start = _start(clip, Path(folder))
        memory = _memory(Path(folder))
    keep("finding", {"what": what, "rates": rate, "start": start, "memory": memory})
    return [
        Target("avshot find, 10 s, processor", start["again"]["command"], START_LIMIT, "s", higher_is_better=False),
        Target("peak memory, long beside short", memory["ratio"], MEMORY_LIMIT, higher_is_better=False),
    ]


def _clip(folder: Path) -> tuple[Path, str]:
    """Ten seconds of a real recording where one is at hand, else of noise."""
    data = os.environ.get("AVSHOT_DATA")
    found = sorted(Path(data, "vggsound_clips").glob("1*.mp4")) if data else []
    return (found[0], "10 s of VGGSound") if found else (_noise(folder / "noise.mp4", 10, fps=25), "noise")


def _noise(path: Path, seconds: int, fps: int) -> Path:
    """Sound and picture that are never silent or black, so that all of it is described."""
    import numpy as np

    from avshot.media import write

    random = np.random.default_rng(0)
    frames = random.integers(60, 200, (seconds * fps, 96, 128, 3), dtype=np.uint8)
    write(path, frames, fps, random.uniform(-0.3, 0.3, seconds * 16000).astype(np.float32), 16000)
    return path


# --- cost of an hour -------------------------------------------------------------------------------------------------


def _decode(file: str, kinds: tuple[str, ...]) -> None:
    import av

    with av.open(file) as container:
        wanted = [stream for stream in container.streams if stream.type in kinds]
        for packet in container.demux(wanted):
            packet.decode()


def _found(file: str, scorer: Any) -> None:
    from avshot.finding.track import track

    assert track(file, scorer).status == "ok"


def _ast() -> Callable[[str], object]:
    """Audio Spectrogram Transformer of the published size with random weights, in transformers' own pipeline."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, pipeline

    from avshot.media import read

    model = ASTForAudioClassification(ASTConfig(num_labels=527)).eval()
    tagger = pipeline("audio-classification", model=model, feature_extractor=ASTFeatureExtractor())

    def work(file: str) -> object:
        return tagger({"raw": read(file, rate=16000, fps=None).waveform, "sampling_rate": 16000})

    return work


def _timed(file: str, clip: str, repeats: int) -> dict[str, float]:
    """Processor seconds for each second of recording."""
    import torch

    from avshot.finding.api import make_scorer

    torch.set_num_threads(1)
    scorers = {name: make_scorer(NAMES, **more) for name, more in OURS.items()}
    kinds = (("audio",), ("video",), ("audio", "video"))
    works: dict[str, Callable[[], object]] = {
        name: lambda some=some: _decode(file, some) for name, some in zip(BARE, kinds, strict=True)
    }
    works |= {name: lambda scorer=scorer: _found(file, scorer) for name, scorer in scorers.items()}
    for scorer in scorers.values():  # weights are loaded
        _found(clip, scorer)
    took = {name: one / SECONDS for name, one in interleaved(works, repeats, time.process_time).items()}
    tagger = _ast()
    alone = interleaved({AST: lambda: tagger(clip)}, repeats, time.process_time)
    return took | {AST: alone[AST] / HEARD_BY_AST}


def _rates(clip: Path, what: str, folder: Path) -> dict[str, float]:
    minute = folder / "minute.mp4"
    _looped(str(clip), SECONDS, minute)
    took, _ = with_peak_memory(_timed, str(minute), str(clip), 1 if options.quick else 3)
    beside = dict(zip([*OURS, AST], [*BARE, BARE[0]], strict=True))
    rows = []
    for name, one in took.items():
        ratio = f"{one / took[beside[name]]:.1f}" if name in beside else ""
        rows.append([name, f"{1000 * one:.1f}", f"{1 / one:.1f}", ratio])
    head = ["work", "processor ms a second", "hours in an hour of processor", "times bare decoding"]
    print_table(f"finding: {what}, looped to {SECONDS} s, 1 thread", head, rows)
    return took


# --- start-up --------------------------------------------------------------------------------------------------------


def _stages(clip: Path, environment: dict[str, str]) -> dict[str, float]:
    arguments = [sys.executable, "-c", STAGES, str(clip), json.dumps(NAMES)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    marks = json.loads(done.stdout.splitlines()[-1])
    parts = [later - earlier for earlier, later in pairwise(marks)]
    return dict(zip(("torch", "avshot", "models", "recording"), parts, strict=True))


def _command(clip: Path, environment: dict[str, str]) -> float:
    """Processor seconds of the whole command."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    arguments = [sys.executable, "-c", COMMAND, "find", str(clip), "--classes", ", ".join(NAMES)]
    subprocess.run(arguments, env=environment, capture_output=True, check=True)
    return spent() - before


def _start(clip: Path, folder: Path) -> dict[str, dict[str, float]]:
    """With the vectors of all labels kept, and in a cache that holds the weights alone; the least of several."""
    from avshot.files.pins import cache_folder

    found: dict[str, dict[str, float]] = {}
    again = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    for number in range(1 if options.quick else 3):
        fresh = folder / f"cache{number}{{}}"
        for name in ("first", "again"):
            caches = []
            for use in ("stages", "command"):
                cache = Path(str(fresh).format(use))
                if not cache.exists():
                    cache.mkdir()
                    for file in filter(Path.is_file, cache_folder().iterdir()):
                        (cache / file.name).symlink_to(file)
                caches.append(again | {"AVSHOT_CACHE": str(cache)})
            new = _stages(clip, caches[0]) | {"command": _command(clip, caches[1])}
            old = found.get(name, new)
            found[name] = {key: min(value, old[key]) for key, value in new.items()}
    told = {"first": "for the first time", "again": "label vectors kept"}
    rows = [[told[name], *(f"{value:.2f}" for value in some.values())] for name, some in found.items()]
    head = ["", "import torch", "import avshot", "load models, read names", "find", "avshot find, in all"]
    print_table("finding: processor seconds until the events of 10 s are told", head, rows)
    return found


# --- memory ----------------------------------------------------------------------------------------------------------


def _all_of(file: str) -> float:
    """Processor seconds; the events of a whole recording, of whose picture a frame in `APART` seconds is described."""
    import torch

    from avshot.finding.api import make_scorer

    torch.set_num_threads(1)
    started = time.process_time()
    scorer: Any = make_scorer(NAMES)
    _found(file, replace(scorer, visual=replace(scorer.visual, fps=1 / APART)))
    return time.process_time() - started


def _memory(folder: Path) -> dict[str, Any]:
    """All sound and few frames described, so that hours take minutes: what grows with the length shows all the same."""
    clip = _noise(folder / "minute of noise.mp4", 60, fps=1)
    lengths = (60, 120) if options.quick else (SHORT, LONG)
    rows, peaks = [], []
    for length in lengths:
        file = folder / f"{length}.mp4"
        _looped(str(clip), length, file)
        took, peak = with_peak_memory(_all_of, str(file))
        file.unlink()
        peaks.append(peak)
        rows.append([f"{length}", f"{took:.0f}", f"{length / took:.0f}", f"{peak:.0f}"])
    head = ["seconds of recording", "processor s", "times faster than it lasts", "peak MB"]
    print_table(f"finding: noise, sound and a frame in {APART} s", head, rows)
    return {"seconds": lengths, "peak_mb": peaks, "ratio": peaks[1] / peaks[0]}
