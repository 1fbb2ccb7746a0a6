"""Few shots on real media: 800 GRID clips, sixteen labels, eight of them base and four and four novel.

One command makes the whole table and resumes where it was stopped; the other one says what the data give away:

    AVSHOT_DATA=<folder with grid/> python benchmarks/grid_few.py --out results/grid-few --jobs 2
    AVSHOT_DATA=<folder with grid/> python benchmarks/grid_few.py --leak

k = 1, 5, 10, 20 shots, three draws of shots, three seeds, the rows of `experiments/few-all-methods.toml`.

What a sentence of GRID says ("bin blue at f two now") is not drawn freely. With a colour, a letter goes along with some
commands only, so whoever understands the letter knows much about a label "command colour". With the labels that grid.py
holds out as novel ("plain"), naive Bayes on letter and digit, which sees and hears nothing else, gets 49 % of four
novel classes right from 20 shots (chance 25). Novel labels that share their letters ("letters") bring that to chance,
but then the letter says whether a clip is novel. The labels "colour preposition" ("balanced", the default) have neither
fault: each of them comes with every letter and digit, which then tell less than nothing (23 %, HM 0), since a letter
that a label was trained with is rarer in the rest of its clips. `--leak` measures all three with the task's own draws.

The data: GRID corpus (Cooke et al., JASA 2006), https://zenodo.org/records/3625687, one speaker, re-encoded.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from few_table import METRICS, SHOTS, results_of, run_shots, table_of

from avshot.data.dataset import Dataset
from avshot.data.listing import Columns
from avshot.data.manifest import declare, load_manifest
from avshot.data.split import SplitRule
from avshot.files.atomic import save_text
from avshot.recipe import Selection
from avshot.task import Scored, Stage, Task, get_task

ROWS = Path(__file__).parent.parent / "experiments" / "few-all-methods.toml"
CUES = ("letter", "digit")


@dataclass(frozen=True)
class Design:
    """Which words make a label, and which labels are novel.

    Attributes:
        label: Columns of the table.
        val: Novel labels of stage 1.
        test: Novel labels of stage 2.
        why: For the table of leaks.
    """

    label: str
    val: tuple[str, ...]
    test: tuple[str, ...]
    why: str


DESIGNS = {
    "balanced": Design(
        "{colour} {preposition}",
        ("blue by", "green in", "red with", "white at"),
        ("blue at", "green by", "red in", "white with"),
        "every letter goes along with every label",
    ),
    "letters": Design(
        "{command} {colour}",
        ("lay blue", "lay red", "place green", "place white"),
        ("bin green", "bin white", "set blue", "set red"),
        "novel labels that share their letters",
    ),
    "plain": Design(
        "{command} {colour}",
        ("bin red", "place green", "set white", "lay blue"),
        ("bin green", "lay red", "place white", "set blue"),
        "novel labels as grid.py holds them out",
    ),
}


def main() -> None:
    """Declare, extract, train, print the table; or print what letter and digit tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/grid-few"))
    parser.add_argument("--design", choices=DESIGNS, default="balanced")
    parser.add_argument("--rows", type=Path, default=ROWS, help="bench file")
    parser.add_argument("--methods", default="", help="only these methods of it, comma-separated")
    parser.add_argument("--shots", default=",".join(map(str, SHOTS)))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--leak", action="store_true", help="only measure what letter and digit alone tell")
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    if options.leak:
        print(leak_table(shots, options.draws))
        return
    toml = prepare(options.out, DESIGNS[options.design])
    folders = run_shots(
        options.rows,
        options.out,
        shots,
        lambda k: str(toml),
        draws=options.draws,
        seeds=[int(seed) for seed in options.seeds.split(",")],
        methods=[name for name in options.methods.split(",") if name],
        jobs=options.jobs,
    )
    blind = {k: tells(load_manifest(toml, features=False), task_of(k, options.draws)) for k in shots}
    text = table_of(results_of(folders), shots, METRICS, {"letter and digit alone": blind})
    save_text(options.out / "few.md", text)
    print(text)


def grid_folder() -> Path:
    """Where the GRID clips are."""
    data = os.environ.get("AVSHOT_DATA")
    if not data or not Path(data, "grid", "labels.csv").exists():
        sys.exit("Set AVSHOT_DATA to a folder that holds grid/labels.csv and grid/clips/*.mp4.")
    return Path(data, "grid")


def declared(out: Path, design: Design) -> Path:
    """Declare the dataset `out/grid.toml`: of each base label 6 clips validate, 8 test, the others train."""
    grid, toml = grid_folder(), out / "grid.toml"
    rule = SplitRule(val=6, test=8, unseen_val=design.val, unseen_test=design.test, seed=0)
    out.mkdir(parents=True, exist_ok=True)
    declare(grid / "labels.csv", toml, columns=Columns(label=design.label), rule=rule, media=grid / "clips")
    return toml


def prepare(out: Path, design: Design) -> Path:
    """Declare the dataset and extract its features, where they are not there yet; returns its `.toml`."""
    from avshot.cli.extract import extract_source

    toml = declared(out, design)
    extract_source(toml, None, audio="logmel", visual="pixels", workers=None)
    return toml


def task_of(shots: int, draws: int) -> Task:
    """The task with so many shots."""
    return get_task(f"gfsl?shots={shots}&draws={draws}")


def leak_table(shots: Sequence[int], draws: int) -> str:
    """What a classifier reaches that reads letter and digit and sees and hears nothing, for each design."""
    rows: dict[str, dict[int, Mapping[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, design in DESIGNS.items():
            data = load_manifest(declared(Path(folder, name), design), features=False)
            rows[f"{name}: {design.why}"] = {k: tells(data, task_of(k, draws)) for k in shots}
            guess = task_of(1, 1).guessers(scored_by_cues(data, task_of(1, 1).stages(data)[1], cues()))["chance"]
    rows["chance"] = dict.fromkeys(shots, guess)
    return table_of({}, shots, last=rows)


def cues() -> dict[str, tuple[str, ...]]:
    """`{clip id: (letter, digit)}`."""
    with open(grid_folder() / "labels.csv", newline="", encoding="utf-8") as file:
        return {Path(row["filename"]).stem: tuple(row[cue] for cue in CUES) for row in csv.DictReader(file)}


def tells(data: Dataset, task: Task) -> dict[str, Any]:
    """The task's metrics of naive Bayes on letter and digit: stage 1 chooses beta, the draws are averaged."""
    known = cues()
    selecting, *tested = (scored_by_cues(data, stage, known) for stage in task.stages(data))
    chosen = task.select({"both": selecting}, Selection(beta_grid="exact"))
    return task.average([task.measure(one, chosen.settings) for one in tested])


def scored_by_cues(data: Dataset, stage: Stage, known: Mapping[str, tuple[str, ...]]) -> Scored:
    """Log probabilities by naive Bayes with classes equally likely, each word counted a quarter more than seen."""

    def words(rows: np.ndarray, cue: int) -> list[str]:
        return [known[data.clips[i].id][cue] for i in rows.tolist()]

    place = {name: j for j, name in enumerate(stage.candidates)}
    train_labels, labels = (
        np.array([place[str(data.clips[i].label)] for i in rows.tolist()]) for rows in (stage.train, stage.judge)
    )
    scores = np.zeros((len(labels), len(place)))
    for cue in range(len(CUES)):
        column = {word: j for j, word in enumerate(sorted({found[cue] for found in known.values()}))}
        counts = np.full((len(place), len(column)), 0.25)
        np.add.at(counts, (train_labels, [column[word] for word in words(stage.train, cue)]), 1.0)
        log = np.log(counts / counts.sum(axis=1, keepdims=True))
        scores += log[:, [column[word] for word in words(stage.judge, cue)]].T
    seen = torch.tensor([name in set(stage.seen) for name in stage.candidates])
    ids = tuple(data.clips[i].id for i in stage.judge.tolist())
    return Scored(torch.from_numpy(scores), torch.from_numpy(labels), seen, stage.candidates, ids)


if __name__ == "__main__":
    main()
