"""The report: what stands in the tables, that the page needs nothing but itself, and that odd names break nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot.data.dataset import Dataset, MemoryFeatures
from avshot.experiment import Experiment
from avshot.report import look
from avshot.report.bars import per_class
from avshot.report.confusion import confusion
from avshot.report.page import write_page
from avshot.report.published import published
from avshot.report.rows import summarise, table
from avshot.run import find_runs
from avshot.types import Clip, Features
from synthetic import synthetic_dataset

SMALL = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 16, "lr": 1e-2}
ODD = (
    "a, b; c", "<script>alert(1)</script>", "cost $5 and $6 _{x}^", "naïve 日本語", "x" * 200, "line\nbreak",
    "**bold** | pipe", "&amp; `code`", "dog", "_cat",
)  # fmt: skip


def experiment(**changes):
    return Experiment(**{"dataset": "in memory", "method": "devise", "recipe": SMALL, **changes})


def named(dataset, name, names=None, folds=None):
    """The same dataset under another name, with other class names or folds."""
    names = dataset.names if names is None else tuple(names)
    other = dict(zip(dataset.names, names, strict=True))
    clips = [replace(clip, label=other[clip.label]) for clip in dataset.clips]
    return Dataset(name, clips, names, folds or dataset.folds, dataset.features, text=dataset.text)


def wide_dataset(count):
    """`count` classes of five clips."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, 8)).astype(np.float32)
    labels = np.repeat(np.arange(count), 5)
    names = [f"class {i:03d}" for i in range(count)]
    values = torch.from_numpy(vectors[labels])
    clips = [Clip(f"{i}", label=names[c]) for i, c in enumerate(labels)]
    source = MemoryFeatures([clip.id for clip in clips], Features.averaged(values, values), {})
    within, seen = np.arange(len(clips)) % 5, labels < 0.8 * count
    folds = {
        "train": np.flatnonzero(seen & (within < 4)),
        "test_seen": np.flatnonzero(seen & (within == 4)),
        "test_unseen": np.flatnonzero(~seen),
    }
    return Dataset("wide", clips, tuple(names), folds, source, text={"made": torch.from_numpy(vectors)})


@pytest.fixture(scope="module")
def dataset():
    return synthetic_dataset()


@pytest.fixture(scope="module")
def root(dataset, tmp_path_factory):
    """Runs of one method with two seeds, of it with one modality, and of EZ-AVGZL with optimised classes."""
    root = tmp_path_factory.mktemp("report")
    for seed in (0, 1):
        protocol.run(experiment(seed=seed), root / "main" / str(seed), dataset=dataset)
    protocol.run(experiment(modality="audio"), root / "main" / "audio", dataset=dataset)
    small = SMALL | {"epochs": 1}
    protocol.run(experiment(method="ez_avgzl", recipe=small, optimise_classes=True), root / "main/ez", dataset=dataset)
    return root


@pytest.fixture(scope="module")
def page(root, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_page(find_runs(root / "main"), file)
    return file


class References(HTMLParser):
    """Everything a browser would fetch, and the tags that run something."""

    def __init__(self, text):
        super().__init__()
        self.found, self.others, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.others += [value for key, value in attrs if key == "xlink:href" and not value.startswith("data:image/")]
        self.found += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]


def test_the_page_opens_offline(page):
    html = page.read_text()
    read = References(html)
    assert len(read.found) >= 6
    assert all(value.startswith("data:image/png;base64,") for value in read.found)
    assert read.tags.count("svg") >= 1  # maps of clips, which tell names on hover
    assert not [value for value in read.others if not value.startswith("#")]
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_the_table_has_mean_and_deviation_over_seeds_and_a_chance_row(root, page):
    runs = find_runs(root / "main")
    rows = summarise(runs)
    mine = next(row for row in rows if row.label == experiment().label())
    both = [run.metrics["HM"] for run in runs if run.experiment.model_dump(exclude={"seed"}) == experiment().model_dump(
        exclude={"seed"}
    )]  # fmt: skip
    assert len(both) == 2
    wanted = f"{100 * np.mean(both):.1f} ± {100 * np.std(both, ddof=1):.1f}"
    assert mine.cell("HM") == wanted
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        assert wanted in text
    *trained, chance, majority = rows
    assert (chance.label, majority.label) == ("chance", "majority")
    assert chance.cell("S") == chance.cell("U") == "10.0"  # ten classes
    assert chance.cell("ZSL") == majority.cell("ZSL") == "50.0"  # two of them unseen
    assert (majority.cell("S"), majority.cell("U"), majority.cell("HM")) == ("12.5", "0.0", "0.0")  # eight seen
    hm = [np.mean(row.values["HM"]) for row in trained]
    assert hm == sorted(hm, reverse=True)
    head, cells = table(rows)
    assert head[:6] == ["method", "S", "U", "HM", "ZSL", "AUSUC"]
    assert all(len(row) == len(head) for row in cells)


def test_chance_is_what_guessing_gives():
    """Witness: the accuracies of random scores on a set with 8 seen and 2 unseen classes."""
    from avshot.metrics.generalised import gzsl_metrics

    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40000, 10, generator=generator)
    seen = torch.arange(10) < 8
    found = gzsl_metrics(scores, torch.arange(40000) % 10, seen, 0.0)
    assert found["S"] == pytest.approx(0.1, abs=0.01)
    assert found["U"] == pytest.approx(0.1, abs=0.01)
    assert found["ZSL"] == pytest.approx(0.5, abs=0.02)
    assert found["AUSUC"] == pytest.approx(1 / (2 * 8 * 2), abs=0.002)


def test_every_picture_is_there_in_both_forms(page):
    html, text = page.read_text(), page.with_suffix(".md").read_text()
    titles = re.findall(r"<figure><h3>(.*?)</h3>", html)
    for start in (
        "Seen against unseen", "Learning", "Accuracy per class: ", "Confusion: ", "Input and learnt embeddings: ",
        "Class-embedding optimisation: ez_avgzl",
    ):  # fmt: skip
        assert any(title.startswith(start) for title in titles), start
    named = re.findall(r"!\[.*?\]\(<(.*?)>\)", text)
    assert len(named) == len(titles)
    for name in named:
        content = (page.parent / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000
        picture = page.parent / name
        assert picture.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert ElementTree.fromstring(picture.with_suffix(".svg").read_bytes()).tag.endswith("svg")
    assert "Accuracy per class as a table" in html
    assert "<summary>synthetic: " in html  # settings, folded away


def test_another_report_leaves_no_old_pictures(root, tmp_path):
    runs = find_runs(root / "main")
    write_page(runs, tmp_path / "r.html")
    many = len(list((tmp_path / "r-figures").glob("*.png")))
    (tmp_path / "r-figures" / "mine.png").write_bytes(b"kept")
    write_page(runs[:1], tmp_path / "r.html")
    left = {path.name for path in (tmp_path / "r-figures").glob("*.png")}
    assert "mine.png" in left
    assert len(left) - 1 < many
    assert len(left) - 1 == (tmp_path / "r.md").read_text().count("![")
    assert (
        len(list((tmp_path / "r-figures").glob("*.svg")))
        == len(list((tmp_path / "r-figures").glob("*.pdf")))
        == len(left) - 1
    )
    with pytest.raises(ValueError, match="expected a path"):
        write_page(runs, tmp_path / "r.md")
    with pytest.raises(ValueError, match="0 Runs"):
        write_page([], tmp_path / "r.html")


def test_odd_names_are_shown_as_they_are_and_run_nothing(dataset, tmp_path):
    name = '<script>x</script>, "odd" | $name$ ' + "l" * 200
    protocol.run(experiment(optimise_classes=True), tmp_path / "run", dataset=named(dataset, name, ODD))
    write_page(find_runs(tmp_path), tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\\<script\\>" in (tmp_path / "report.md").read_text()
    assert max(len(path.name) for path in (tmp_path / "report-figures").iterdir()) < 100
    assert look.shown("cost $5\nand $6") == r"cost \$5 and \$6"
    assert len(look.shown("x" * 300)) == look.LONGEST


@pytest.mark.parametrize("kind", ["no test clips", "one class", "seen alone"])
def test_datasets_that_lack_something(dataset, tmp_path, kind):
    first = dataset.labels(range(len(dataset))).numpy() == 0
    folds = {
        "no test clips": {k: v for k, v in dataset.folds.items() if not k.startswith("test")},
        "one class": {"train": np.flatnonzero(first)[:8], "test_seen": np.flatnonzero(first)[8:]},
        "seen alone": {k: dataset.folds[k] for k in ("train", "val_seen", "test_seen")},
    }[kind]
    if kind == "seen alone":
        folds["test_seen"] = folds["test_seen"][:6]
    protocol.run(experiment(), tmp_path / "run", dataset=named(dataset, kind, folds=folds))
    write_page(find_runs(tmp_path), tmp_path / "report.html")
    row, *guessers = summarise(find_runs(tmp_path))
    assert [guesser.label for guesser in guessers] == ([] if kind == "no test clips" else ["chance", "majority"])
    assert all(line.cell("U") == "-" for line in (row, *guessers))
    assert ("Seen against unseen" in (tmp_path / "report.md").read_text()) is False
    assert "nan" not in (tmp_path / "report.md").read_text().lower()


def test_hundreds_of_classes(tmp_path):
    protocol.run(experiment(recipe=SMALL | {"epochs": 1}), tmp_path / "run", dataset=wide_dataset(300))
    write_page(find_runs(tmp_path), tmp_path / "report.html")
    row, *_ = summarise(find_runs(tmp_path))
    assert max(per_class(row).get_size_inches()) < 12
    assert max(confusion(row).get_size_inches()) < 12
    assert "class 299" in (tmp_path / "report.html").read_text()  # in the table per class


def test_data_that_differ_are_never_averaged_even_under_one_name(dataset, root, tmp_path):
    fewer = {**dataset.folds, "test_unseen": dataset.folds["test_unseen"][::2]}
    protocol.run(experiment(), tmp_path / "run", dataset=named(dataset, "synthetic", folds=fewer))
    runs = [*find_runs(root / "main"), *find_runs(tmp_path)]
    rows = summarise(runs)
    titles = {row.dataset for row in rows}
    assert len(titles) == 2
    assert all(re.fullmatch(r"synthetic \(data [0-9a-f]{8}\)", title) for title in titles)
    assert sum(row.label == "chance" for row in rows) == 2
    write_page(runs, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("<h2>synthetic (data ") == 2


def test_settings_that_the_label_does_not_show_are_never_averaged(root):
    run = next(run for run in find_runs(root / "main") if run.experiment.label() == experiment().label())
    described = replace(run, experiment=run.experiment.model_copy(update={"prompts": "clip-actions", "seed": 5}))
    rows = [row for row in summarise([run, described]) if row.runs]
    assert len(rows) == 2
    assert {row.label for row in rows} == {run.experiment.label(), f"{run.experiment.label()}-prompts=clip-actions"}
    row, *_ = summarise([run, run])  # a copy is not a second seed
    assert len(row.runs) == 1


def test_published_numbers_stand_beside_ours(dataset, tmp_path):
    protocol.run(experiment(method="avca"), tmp_path / "run", dataset=named(dataset, "UCF-cls-legacy"))
    write_page(find_runs(tmp_path), tmp_path / "report.html")
    text = (tmp_path / "report.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| avca "))
    shown = [row for row in text.splitlines() if row.startswith("| avca ") and "41.34" in row]
    assert len(shown) == 1
    run = find_runs(tmp_path)[0]
    assert f"{100 * run.metrics['HM']:.1f}" in shown[0]
    assert run.experiment.label() in shown[0]
    assert "EZ-AVGZL Table 2, selected on val" in shown[0]
    assert line


def test_published_numbers_are_consistent_and_belong_to_names_that_datasets_have():
    for name in ("UCF", "ActivityNet", "VGGSound"):  # as avshot.data.official.benchmark calls them
        for split in ("main", "cls"):
            rows = published(f"{name}-{split}")
            assert rows, (name, split)
            assert published(f"{name}-{split}-legacy") == rows
            for row in rows:
                s, u, hm = (float(row[key]) for key in ("S", "U", "HM"))
                agrees = hm == pytest.approx(2 * s * u / (s + u), abs=0.06)
                assert agrees != ("printed HM" in row["note"]), row  # a misprint is noted, and nothing else is
                assert row["source"]
                assert row["selected_on"] in ("val", "test", "unstated")
    assert published("my videos") == []


def agrees(row):
    """The printed HM can be that of numbers that are rounded to the printed B and N."""
    b, n, hm = (float(row[key]) for key in ("B", "N", "HM"))
    low, high = (2 * (b + e) * (n + e) / (b + n + 2 * e) for e in (-0.005, 0.005))
    return low - 0.005 <= hm <= high + 0.005


def few_shot_rows():
    """Every printed row of the few-shot benchmarks: eleven methods with 1, 5, 10 and 20 shots, eight ablations."""
    names = [f"{name}-fsl-{k}" for name in ("VGGSound", "UCF", "ActivityNet") for k in (1, 5, 10, 20)]
    return [row for name in names for row in published(name)]


def test_published_few_shot_numbers_are_consistent():
    rows = few_shot_rows()
    assert len(rows) == 3 * (4 * 11 + 8)
    assert published("UCF-fsl-5-legacy") == published("ucf-fsl-5")
    assert published("ucf-fsl-3") == published("ucf-fsl") == []
    misprinted = {(row["dataset"], row["method"]) for row in rows if not agrees(row)}
    odd = ("hip", "avdiff A in all layers", "avdiff visual only")
    assert misprinted == {("vggsound-fsl-5", method) for method in odd}
    assert {(row["dataset"], row["method"]) for row in rows if "printed HM" in row["note"]} == misprinted
    for row in rows:
        # A novel clip that is right among all classes is right among the novel ones.
        assert float(row["N"]) <= float(row["FSL"]), row
        assert ("N equals FSL" in row["note"]) == (row["N"] == row["FSL"]), row
        assert (row["selected_on"], "thesis Table" in row["source"]) == ("val", True)


def test_published_numbers_of_adverbs_are_per_cent_and_their_oddities_are_noted():
    sets = ("howto100m", "activitynet", "msrvtt", "vatex")
    rows = [r for name in ("air", *(f"{s}-adverbs{e}" for s in sets for e in ("", "-unseen"))) for r in published(name)]
    assert len(rows) == 188
    for row in rows:
        values = [float(row[key]) for key in ("mAP W", "mAP M", "Acc-A", "Acc-A cls") if row[key]]
        assert values
        assert all(0 < value < 100 for value in values), row
        assert bool(row["Acc-A cls"]) == row["dataset"].endswith("-unseen")
        assert (row["selected_on"] == "none") == (row["method"].split()[0] in ("priors", "s3d", "clip"))
    table = {(r["dataset"], r["method"]): r for r in rows if r["source"] == "thesis Table 6.2"}
    assert len(table) == 5 * 7
    again = {(r["dataset"], r["method"]): r for r in rows if r["source"] == "thesis Table E.3"}
    s3d = ("activitynet-adverbs", "s3d")
    assert (table[s3d]["mAP M"], again[s3d]["mAP M"]) == ("7.0", "7.1")
    assert "7.1 in Table E.3" in table[s3d]["note"]
    # Training without antonyms helps ReGaDa on every set but the mAP W of AIR.
    worse = [
        (name, metric)
        for (name, method), row in again.items()
        if method == "regada without antonyms"
        for metric in ("mAP W", "mAP M")
        if float(row[metric]) <= float(table[name, "regada"][metric])
    ]
    assert worse == [("air", "mAP W")]


def test_more_shots_help_all_but_three_methods():
    """The thesis says they always help."""
    hm = {(row["dataset"], row["method"]): float(row["HM"]) for row in few_shot_rows()}
    falls = set()
    for data, method in hm:
        benchmark, shots = data.rsplit("-", 1)
        more = {"1": "5", "5": "10", "10": "20", "20": "20"}[shots]
        if hm.get((f"{benchmark}-{more}", method), 100.0) < hm[data, method]:
            falls.add((benchmark, method))
    assert falls == {
        ("activitynet-fsl", "protogan"),
        ("activitynet-fsl", "tsl"),
        ("ucf-fsl", "sldg"),
        ("ucf-fsl", "tsl"),
    }
