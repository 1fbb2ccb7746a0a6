"""Clips described a second beside bare decoding of the same files; growth of cost with seconds of video."""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from measure import Target, exponent, interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

WANTED = 0.8  # of bare decoding
CLIPS = 120
TIMES = 5  # each clip so often where two processes share them: enough work to be timed
LENGTHS = (10, 30, 100, 300)  # seconds of video
BARE, WHOLE = "bare decoding", "extract: read, logmel, pixels, store"


def run() -> list[Target]:
    """One process, two processes, growth with the length of a clip."""
    what, files = _files(8 if options.quick else CLIPS)
    repeats = 1 if options.quick else 3
    one = _one_process(what, files, repeats)
    two = _two_processes(what, files * TIMES, repeats)
    grown = _growth(files[0], LENGTHS[:2] if options.quick else LENGTHS, repeats)
    keep("extraction", {"clips": len(files), "what": what, "one": one, "two": two, "growth": grown})
    return [
        Target("extraction in 1 process, of bare decoding", one["ratio"][WHOLE], WANTED),
        Target("extraction in 2 processes, of bare decoding by 2", two["ratio"], WANTED),
    ]


def _files(count: int) -> tuple[str, list[str]]:
    """GRID clips where they are at hand, else rendered ones."""
    data = os.environ.get("AVSHOT_DATA")
    if data:
        return "GRID, 3 s of 360x288", sorted(map(str, Path(data, "grid", "clips").glob("*.mp4")))[:count]
    from avshot.data.rendered.world import DEFAULT, Roster, render_world

    folder = Path(tempfile.mkdtemp(prefix="avshot-bench-"))
    few = Roster(seen=("red sliding drumming", "blue growing ringing"), val_unseen=(), test_unseen=())
    render_world(folder, classes=few if options.quick else DEFAULT, clips_per_class=5)
    return "rendered world", sorted(map(str, folder.rglob("*.mp4")))[:count]


# --- one process -----------------------------------------------------------------------------------------------------


def _decode(file: str) -> None:
    """Every frame and every sample, decoded and dropped: the least any extractor must do."""
    import av

    with av.open(file) as container:
        for packet in container.demux():
            packet.decode()


def _extract(files: list[str], workers: int, progress: Callable[[int, int], None] | None = None) -> None:
    from avshot.features.extract import extract
    from avshot.types import Clip

    clips = [Clip(str(number), file) for number, file in enumerate(files)]
    with tempfile.TemporaryDirectory() as folder:
        extract(clips, folder, workers=workers, progress=progress)


def _works(files: list[str]) -> dict[str, Callable[[], Any]]:
    """What is timed, each on top of the one before or beside it."""
    from avshot.features.extractors.logmel import LogMel
    from avshot.features.extractors.pixels import Pixels
    from avshot.media import read

    heard, seen = LogMel(), Pixels()
    request = {**seen.request(), **heard.request()}

    def through(*extractors: Callable[[Any], Any]) -> Callable[[], None]:
        def work() -> None:
            for file in files:
                media = read(file, **request)
                for extractor in extractors:
                    extractor(media)

        return work

    return {
        BARE: lambda: list(map(_decode, files)),
        "read: wanted frames, scaled; sound at 16 kHz": through(),
        "read, logmel": through(heard),
        "read, pixels": through(seen),
        WHOLE: lambda: _extract(files, workers=1),
    }


def _timed(files: list[str], repeats: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    for work in _works(files[:2]).values():  # imports and first calls are not what is measured
        work()
    return {name: len(files) / seconds for name, seconds in interleaved(_works(files), repeats).items()}


def _alone(files: list[str], name: str) -> None:
    _works(files)[name]()


def _one_process(what: str, files: list[str], repeats: int) -> dict[str, Any]:
    rates, _ = with_peak_memory(_timed, files, repeats)
    memory = {name: with_peak_memory(_alone, files[:20], name)[1] for name in rates}
    ratio = {name: rate / rates[BARE] for name, rate in rates.items()}
    rows = []
    for name, rate in rates.items():
        verdict = ["", ""] if name != WHOLE else [f"{WANTED:.2f}", Target("", ratio[name], WANTED).verdict]
        rows.append([name, f"{rate:.1f}", f"{1000 / rate:.1f}", f"{ratio[name]:.2f}", *verdict, f"{memory[name]:.0f}"])
    head = ["work", "clips/s", "ms a clip", "of bare decoding", "target", "verdict", "peak MB"]
    print_table(f"extraction: {len(files)} clips ({what}), 1 process, 1 thread", head, rows)
    return {"clips_per_s": rates, "ratio": ratio, "peak_mb": memory}


# --- two processes ---------------------------------------------------------------------------------------------------


class _Watch:
    """Clips a second from the moment a tenth of them was done, and how long it took until then."""

    def __init__(self, count: int) -> None:
        self._count, self._first = count, max(1, count // 10)
        self._started, self._stamp = time.perf_counter(), 0.0

    def done(self, count: int) -> None:
        if count == self._first:
            self._stamp = time.perf_counter()

    def result(self) -> tuple[float, float]:
        now = time.perf_counter()
        return (self._count - self._first) / (now - self._stamp), self._stamp - self._started


def _decoded_by_two(files: list[str]) -> tuple[float, float]:
    watch = _Watch(len(files))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done: Iterable[None] = pool.imap_unordered(_decode, files)
        for number, _ in enumerate(done, start=1):
            watch.done(number)
        return watch.result()


def _extracted_by_two(files: list[str]) -> tuple[float, float]:
    watch = _Watch(len(files))
    _extract(files, 2, lambda done, _: watch.done(done))
    return watch.result()


def _two_processes(what: str, files: list[str], repeats: int) -> dict[str, Any]:
    """Each round decodes, then extracts; rates are of processes at work, the start of which stands beside them."""
    rounds = [(_decoded_by_two(files), _extracted_by_two(files)) for _ in range(repeats)]
    bare, bare_start = (statistics.median(found[0][i] for found in rounds) for i in (0, 1))
    whole, start = (statistics.median(found[1][i] for found in rounds) for i in (0, 1))
    ratio = whole / bare
    rows = [
        [BARE, f"{bare:.1f}", "1.00", "", "", f"{bare_start:.1f}"],
        [WHOLE, f"{whole:.1f}", f"{ratio:.2f}", f"{WANTED:.2f}", Target("", ratio, WANTED).verdict, f"{start:.1f}"],
    ]
    head = ["work", "clips/s", "of bare decoding", "target", "verdict", "s until a tenth was done"]
    print_table(f"extraction: {len(files)} clips ({what}), 2 processes, start left out", head, rows)
    return {
        "clips_per_s": {"bare": bare, "extract": whole},
        "ratio": ratio,
        "start_s": {"bare": bare_start, "extract": start},
    }


# --- growth ----------------------------------------------------------------------------------------------------------


def _looped(file: str, seconds: int, target: Path) -> None:
    """The packets of a clip again and again, nothing encoded anew."""
    import av

    with av.open(file) as container:
        spans: dict[int, tuple[Fraction, Fraction]] = {}  # of each stream, by decoding stamps
        for packet in container.demux():
            if packet.dts is not None:
                first, _ = spans.get(packet.stream_index, (packet.dts * packet.time_base, None))
                spans[packet.stream_index] = first, (packet.dts + (packet.duration or 0)) * packet.time_base
    length, shift, streams = max(last - first for first, last in spans.values()), Fraction(0), {}
    with av.open(str(target), "w") as out:
        while shift < seconds:
            with av.open(file) as container:
                for stream in container.streams:
                    if stream.index not in streams:
                        streams[stream.index] = out.add_stream_from_template(stream)
                for packet in container.demux():
                    pts, dts = packet.pts, packet.dts
                    if pts is None or dts is None or shift + pts * packet.time_base >= seconds:
                        continue
                    moved = math.ceil(shift / packet.time_base)
                    packet.pts, packet.dts = pts + moved, dts + moved
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
            shift += length


def _described(file: str, repeats: int) -> float:
    """Seconds that one clip takes."""
    import torch

    from avshot.features.describe import Job
    from avshot.features.extractors.logmel import LogMel
    from avshot.features.extractors.pixels import Pixels
    from avshot.types import Clip

    torch.set_num_threads(1)
    job = Job(LogMel(), Pixels(), "")
    job.warm_up()
    clip = Clip("clip", file)
    assert job.describe(clip).kept
    return interleaved({"clip": lambda: job.describe(clip)}, repeats)["clip"]


def _growth(file: str, lengths: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """One clip of each length, in a process of its own."""
    rows, seconds, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            clip = Path(folder, f"{length}.mp4")
            _looped(file, length, clip)
            took, peak = with_peak_memory(_described, str(clip), repeats)
            seconds.append(took)
            memory.append(peak)
            rows.append([str(length), f"{1000 * took:.0f}", f"{1000 * took / length:.2f}", f"{peak:.0f}"])
    fitted = exponent(lengths, seconds)
    slope = statistics.linear_regression(lengths, memory).slope
    title = f"extraction of one clip: cost like seconds ** {fitted:.2f}, {60 * slope:.0f} MB more for each minute"
    print_table(title, ["seconds of video", "ms", "ms a second of video", "peak MB"], rows)
    return {"lengths": lengths, "seconds": seconds, "peak_mb": memory, "exponent": fitted, "mb_per_minute": 60 * slope}
