"""Adverbs on real media, a smoke test of the line: 800 GRID clips, command x adverb, half of the 16 pairs unseen.

One command makes the whole table and resumes where it was stopped; the other one says what the data give away:

    AVSHOT_DATA=<folder with grid/> python benchmarks/grid_adverbs.py --out results/grid-adverbs --jobs 2
    AVSHOT_DATA=<folder with grid/> python benchmarks/grid_adverbs.py --leak

It is no test of composition. A sentence of GRID ("bin blue at f two now") begins with a command, bin, lay, place or
set, and ends with an adverb, again, now, please or soon; both are heard, each at its own place, and "now" sounds the
same whatever was commanded. What the table shows is that decoding, features, pairs, training and both directions of
retrieval work on real videos.

None of the four adverbs has an opposite, and the measure needs one, so two pairs of stand-ins take their place. Which
ones is not free: in GRID the digit decides on half of the adverbs, the even ones (and zero) go along with now and
please, the odd ones with again and soon. With now/again and please/soon as "antonyms" whoever understands the digit is
always right, without hearing the adverb. So now/please and again/soon are taken, between which the digit says nothing.
It still halves the candidates of a ranking: chance of mAP is not a quarter but nearly a half, and so the row "digit and
letter alone" stands below the table. `--leak` measures all three ways of pairing the adverbs.

The data: GRID corpus (Cooke et al., JASA 2006), https://zenodo.org/records/3625687, one speaker, re-encoded.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from adverb_table import METRICS, SIDES, Values, print_sides, table_of
from grid_few import CUES, cues, grid_folder

from avshot.data.dataset import Dataset
from avshot.data.label_table import Columns
from avshot.data.manifest import declare, load_manifest
from avshot.data.pair_split import PairRule
from avshot.files.atomic import save_text
from avshot.task import Scored, get_task
from avshot.types import Factor

ROWS = Path(__file__).parent.parent / "experiments" / "adverb-all-methods.toml"
ANTONYMS = {"now": "please", "again": "soon"}
OTHERS = ({"now": "again", "please": "soon"}, {"now": "soon", "please": "again"})
RULE = PairRule(unseen=0.5, unlabelled=0.5, test=0.25, seed=0)


def main() -> None:
    """Declare, extract, train, print the table; or print what letter and digit tell."""
    from avshot.cli.bench import run_bench

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/grid-adverbs"))
    parser.add_argument("--rows", type=Path, default=ROWS, help="bench file")
    parser.add_argument("--methods", default="", help="only these methods of it, comma-separated")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--leak", action="store_true", help="only measure what letter and digit alone tell")
    options = parser.parse_args()
    if options.leak:
        print(leak_table())
        return
    toml = prepare(options.out)
    run_bench(
        options.rows,
        options.out,
        datasets=[str(toml)],
        seeds=[int(seed) for seed in options.seeds.split(",")],
        methods=[name for name in options.methods.split(",") if name],
        jobs=options.jobs,
    )
    blind = {"digit and letter alone": tells(load_manifest(toml, features=False), cues())}
    save_text(options.out / "sides.md", print_sides(options.out / toml.stem, blind))


def declared(out: Path, antonyms: Mapping[str, str] = ANTONYMS) -> Path:
    """Declare the dataset `out/grid.toml` of 16 pairs: half of them unseen, adverb and stand-in on one side."""
    grid, toml = grid_folder(), out / "grid.toml"
    lines = ["adverb,antonym", *(f"{adverb},{other}" for adverb, other in antonyms.items())]
    out.mkdir(parents=True, exist_ok=True)
    save_text(out / "antonyms.csv", "\n".join(lines) + "\n")
    columns = Columns(pairs=("command", "adverb"))
    declare(
        grid / "labels.csv",
        toml,
        columns=columns,
        rule=RULE,
        media=grid / "clips",
        antonyms=out / "antonyms.csv",
        overwrite=True,
    )
    return toml


def prepare(out: Path) -> Path:
    """Declare the dataset and extract its features, where they are not there yet; returns its `.toml`."""
    from avshot.cli.extract import extract_source

    toml = declared(out)
    extract_source(toml, None, audio="logmel", visual="pixels", workers=None)
    return toml


def leak_table() -> str:
    """What a classifier reaches that reads letter and digit and sees and hears nothing, for each way of pairing."""
    rows, known = {}, cues()
    with tempfile.TemporaryDirectory() as folder:
        for i, antonyms in enumerate((ANTONYMS, *OTHERS)):
            name = ", ".join(f"{adverb}/{other}" for adverb, other in antonyms.items())
            rows[name] = tells(load_manifest(declared(Path(folder, str(i)), antonyms), features=False), known)
    return table_of(rows)


def tells(data: Dataset, known: Mapping[str, tuple[str, ...]]) -> Values:
    """The task's metrics, on both sides, of naive Bayes on letter and digit given the adverb."""
    task = get_task("adverb")
    scored = scored_by_cues(data, known)
    found = task.measure(scored, task.neutral)
    return {side: {metric: [found[side][metric]] for metric in METRICS} for side in SIDES}


def scored_by_cues(data: Dataset, known: Mapping[str, tuple[str, ...]]) -> Scored:
    """Log probability of letter and digit given the adverb, each word counted a quarter more than in training.

    The adverb alone counts, for no pair of an unseen composition has training clips; other actions are no candidates.
    """
    assert data.pairs is not None
    *_, stage = get_task("adverb").stages(data)
    adverb_of, action_of = data.pairs.adverbs, data.pairs.actions
    counts = [
        Counter((adverb_of[str(data.clips[i].label)], known[data.clips[i].id][c]) for i in stage.train.tolist())
        for c in range(len(CUES))
    ]
    words = [sorted({found[c] for found in known.values()}) for c in range(len(CUES))]
    scores = np.full((len(stage.judge), len(stage.candidates)), -np.inf)
    for row, i in enumerate(stage.judge.tolist()):
        clip = data.clips[i]
        for column, name in enumerate(stage.candidates):
            if action_of[name] == action_of[str(clip.label)]:
                scores[row, column] = sum(
                    _log_share(counts[c], adverb_of[name], known[clip.id][c], words[c]) for c in range(len(CUES))
                )
    place = {name: j for j, name in enumerate(stage.candidates)}
    labels = torch.tensor([place[str(data.clips[i].label)] for i in stage.judge.tolist()])
    seen = torch.tensor([name in set(stage.seen) for name in stage.candidates])
    ids = tuple(data.clips[i].id for i in stage.judge.tolist())
    return Scored(torch.from_numpy(scores), labels, seen, stage.candidates, ids, _factors(data))


def _log_share(count: Mapping[tuple[str, str], int], adverb: str, word: str, words: list[str]) -> float:
    total = sum(count[adverb, other] + 0.25 for other in words)
    return float(np.log((count[adverb, word] + 0.25) / total))


def _factors(data: Dataset) -> dict[str, Factor]:
    """The factors of all classes, without word vectors."""
    assert data.pairs is not None
    found = {}
    for factor, values in data.pairs.words.items():
        place = {value: i for i, value in enumerate(values)}
        index = torch.tensor([place[data.pairs.of_class[factor][name]] for name in data.names])
        opposite = torch.tensor(data.pairs.opposites) if factor == "adverb" else None
        found[factor] = Factor(index, tuple(values), {}, opposite)
    return found


if __name__ == "__main__":
    main()
