"""The command line: what each command does on tiny inputs, and one sentence with exit code 2 for every wrong use."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import avshot.bench.sweep as grid
from avshot.cli.app import main
from avshot.cli.parsing import parse_changes
from avshot.experiment import Experiment
from avshot.media import write
from avshot.run import find_runs, load_run
from avshot.runs.placing import run_folder
from avshot.settings import read_value
from small_videos import FPS, RATE, heard_videos, picture, seen_videos

TINY = ["--set", "recipe.epochs=2", "--set", "recipe.batches_per_epoch=4", "--set", "recipe.batch_size=12"]


def one_sentence(told, *words):
    """Exit code 2; after progress and notes one line on standard error that names `words`, and no traceback."""
    code, _, error = told
    assert code == 2, error
    *before, last = [line for line in error.splitlines() if line]
    assert last.startswith("avshot: "), error
    assert all(line.startswith(("note: ", "extracting: ", "report: ")) for line in before), error
    assert "Traceback" not in error
    for word in words:
        assert word in error


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with `videos/<label>/*.mp4` of six classes, a dataset, its features and two Runs."""
    root = tmp_path_factory.mktemp("cli")
    for make in (heard_videos, seen_videos):
        for video, label in zip(*make(root / "made", per_class=5), strict=True):
            target = root / "videos" / label
            target.mkdir(parents=True, exist_ok=True)
            video.rename(target / video.name)
    (root / "videos" / "low humming" / "broken.mp4").write_text("no video")
    unseen = ["--unseen-val", "red light", "--unseen-test", "high beeping,green light"]
    for arguments in (
        ["dataset", root / "videos", root / "own.toml", *unseen],
        ["extract", root / "own.toml", "--workers", 1],
        ["train", root / "own.toml", "--method", "devise", "--seeds", "0,1", "--out", root / "runs", *TINY],
    ):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            # One broken video does not stop the extraction, but shows in its exit code.
            assert (stop.code or 0) == (1 if arguments[0] == "extract" else 0)  # noqa: PT017
    return root


@pytest.fixture(scope="module")
def first_run(work):
    return find_runs(work / "runs")[0].path


def test_the_line_from_videos_to_runs(work):
    runs = find_runs(work / "runs")
    assert [r.experiment.seed for r in runs] == [0, 1]
    assert runs[0].metrics["U"] is not None
    assert runs[0].classes().names[-2:] == ("green light", "high beeping")
    assert (work / "runs" / "report.html").exists()
    assert (work / "runs" / "report.md").exists()
    assert "1 clips are left out" in " ".join(runs[0].info["data"]["warnings"])


def test_extract_says_what_failed_and_starts_where_it_stopped(work, avshot):
    code, out, error = avshot("extract", work / "own.toml", "--workers", 1)
    assert code == 1  # one video cannot be used
    assert "0 new, 30 already there, 1 failed" in error
    assert "broken.mp4" in out
    assert "low humming" in out
    code, _, error = avshot("extract", work / "videos" / "low humming" / "broken.mp4", "--workers", 1)
    assert code == 1


def test_extract_takes_a_folder_and_a_store_of_its_own(work, avshot, tmp_path):
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.mp4", "b.MP4"):
        shutil.copy(work / "videos" / "red light" / "red-light-0.mp4", folder / name)
    (folder / ".hidden.mp4").write_text("left by another program")
    code, _, error = avshot("extract", folder, "--workers", 1, "--visual", "")
    assert code == 0
    assert f"{folder}.features: 2 new" in error
    code, _, error = avshot("extract", work / "own.toml", "--store", tmp_path / "elsewhere", "--workers", 1)
    assert code == 1
    assert 'write  features = "' in error


def test_predict_prints_a_ranking_for_people_and_for_machines(work, first_run, avshot):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    code, out, error = avshot("predict", first_run, video, "--classes", 'red light, "rain, on a roof", Low Humming')
    assert code == 0, error
    for text in ("rain, on a roof", "Low Humming", "from words", "trained", f"{video} (1.2 s, ok)\n", "rested on: "):
        assert text in out
    code, out, _ = avshot("predict", first_run, video, "--json", "--top", 2)
    assert code == 0
    found = json.loads(out)
    assert set(found) == {"video", "status", "duration", "ranking", "modality", "moments", "notes", "about"}
    assert len(found["ranking"]) == 2
    assert found["video"] == str(video)


def test_separate_descriptions_and_prompts_from_the_command_line(work, avshot, tmp_path):
    names = load_run(find_runs(work / "runs")[0].path).classes().names
    table = tmp_path / "words.csv"
    table.write_text(
        "name,seen,heard\n" + "".join(f"{name},{name} in a picture,the sound of {name}\n" for name in names)
    )
    train = ["train", work / "own.toml", "--method", "kda", *TINY, "--descriptions", table, "--separate-descriptions"]
    code, _, error = avshot(*train, "--prompts", "wordllama=clip-vggsound", "--out", tmp_path / "runs")
    assert code == 0, error
    (run,) = find_runs(tmp_path / "runs")
    assert run.experiment.prompts == {"wordllama": "clip-vggsound"}
    assert list(run.inputs.text) == ["wordllama#1", "wordllama#2"]
    video = work / "videos" / "red light" / "red-light-0.mp4"
    code, out, error = avshot("predict", run.path, video, "--classes", "red light, thunder", "--json")
    assert code == 0, error
    assert {guess["name"] for guess in json.loads(out)["ranking"]} == {"red light", "thunder"}
    one_sentence(avshot(*train[:-3], "--separate-descriptions"), "separate_descriptions needs descriptions")
    one_sentence(avshot(*train, "--prompts", "clpi=clip-vggsound"), "'clpi'", "Did you mean 'clip'")


def test_predict_takes_a_span_and_folders(work, first_run, avshot, tmp_path):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    code, out, error = avshot("predict", first_run, video, "--json", "--start", 0.2, "--end", 0.8)
    assert code == 0, error
    found = json.loads(out)
    assert found["duration"] == pytest.approx(0.6, abs=0.05)
    assert all(0.2 <= moment["start"] < moment["end"] <= 0.85 for moment in found["moments"])
    assert sum(guess["probability"] for guess in found["ranking"]) < 1.0 + 1e-12
    code, out, error = avshot("predict", first_run, video, "--json", "--top", 99)
    assert sum(guess["probability"] for guess in json.loads(out)["ranking"]) == pytest.approx(1.0, abs=1e-12)
    shutil.copy(video, tmp_path / "a.mp4")
    (tmp_path / "linked").symlink_to(video.parent)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "bare").mkdir()
    code, out, error = avshot("predict", first_run, tmp_path, tmp_path / "bare", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["video"] for line in lines] == [
        str(tmp_path / "a.mp4"),
        *(str(tmp_path / "linked" / f"red-light-{i}.mp4") for i in range(5)),
        str(tmp_path / "bare"),
    ]
    assert code == 1
    assert "holds no videos" in lines[-1]["error"]
    assert "1 file left out, no video or sound by their suffix: .txt 1." in error


def test_predict_says_what_is_wrong_before_it_reads_a_video(work, first_run, avshot, tmp_path):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    one_sentence(avshot("predict", tmp_path / "none", video), "The Run folder", "is not there")
    one_sentence(avshot("predict", work / "runs", video), "choose one of those in it", str(first_run))
    one_sentence(avshot("predict", first_run, video, "--start", "2", "--end", "1"), "span from 2.0 to 1.0")
    one_sentence(avshot("predict", first_run, video, "--start", "nan"), "span from nan")
    one_sentence(avshot("predict", first_run, video, "--classes", "rain; wind"), "separate parts by commas")
    code, _, error = avshot("predict", first_run, "https://example.org/a.mp4")
    assert code == 1
    assert "https://example.org/a.mp4 is not on this machine; download it first" in error


@pytest.mark.parametrize("device", ["cuda", "gpu", "mps", "cuda:7", ""])
def test_a_device_that_is_not_there_is_said_first(work, first_run, avshot, tmp_path, device):
    import torch

    if torch.accelerator.is_available():
        pytest.skip("this machine has another device")
    toml, bench = tmp_path / "none.toml", tmp_path / "none.yaml"
    for command in (["predict", first_run, "a.mp4"], ["train", toml, "--out", tmp_path / "r"], ["bench", bench]):
        one_sentence(avshot(*command, "--device", device), f"Device {device!r}", "use cpu")


def test_the_same_ranking_whatever_the_capitals(work, first_run, avshot):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    found = []
    for names in (
        "a dog barking, playing the cello",
        "A DOG BARKING, Playing_The_Cello",
        "ADogBarking,playing-the  cello",
    ):
        code, out, error = avshot("predict", first_run, video, "--classes", names, "--json")
        assert code == 0, error
        found.append([guess["probability"] for guess in json.loads(out)["ranking"]])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_every_line_is_printed_in_every_encoding(work, first_run, encoding):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    command = [sys.executable, "-m", "avshot.cli.app", "predict", first_run, video, video, "--classes", "警笛, rain"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding)
    assert out.count("known") == out.count("rested on") == 2
    assert out.count("警笛" if encoding == "utf-8" else "??") == 2


def test_a_closed_or_full_output_is_no_traceback(work, first_run):
    video = work / "videos" / "red light" / "red-light-0.mp4"
    command = f"{sys.executable} -m avshot.cli.app predict '{first_run}' '{video}'"
    for redirection, code in ((">&-", 0), ("2>&-", 0), (">/dev/full", 2)):
        if redirection == ">/dev/full" and not os.path.exists("/dev/full"):
            continue
        done = subprocess.run(f"{command} {redirection}", shell=True, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == (1 if code else 0)


def test_outputs_are_checked_before_the_work(work, avshot, tmp_path, monkeypatch):
    import avshot.classes.embed as embed

    names = tmp_path / "names.txt"
    names.write_bytes("\ufeffdog barking\r\ncat meowing\r\nrain\r\n".encode("utf-16-le"))
    code, _out, error = avshot("optimise-classes", names, "--plot", tmp_path / "new" / "a.png")
    assert code == 0, error
    assert (tmp_path / "new" / "a.png").is_file()
    monkeypatch.setattr(embed, "embed_classes", None)
    one_sentence(avshot("optimise-classes", names, "--plot", tmp_path / "a.docx"), "picture", "a.docx", ".png")
    one_sentence(avshot("optimise-classes", names, "--plot", names / "a.png"), "picture cannot be written")
    code, _, error = avshot("report", work / "runs", "--out", tmp_path / "r" / "page.html")
    assert code == 0, error
    assert (tmp_path / "r" / "page.html").is_file()
    one_sentence(avshot("report", work / "runs", "--out", tmp_path / "page.txt"), "page.txt", ".html")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("dog\nkücheä\n".encode("latin-1"), ("names.txt is not UTF-8 text (line 2)",)),
        (b"dog\n\xf0\x9f\x91\x8d\n", ("names.txt line 2: Class name", "no letter or digit")),
        (b"dog\nDog\ncat", ("names.txt: Class names that differ only in case", "spell each one way")),
        (b"dog, cat, rain\n", ("a single line", "one class name per line")),
        (b"dog\0\ncat\n", ("names.txt is not text",)),
    ],
)
def test_names_files_that_cannot_be_used(avshot, tmp_path, content, words):
    (tmp_path / "names.txt").write_bytes(content)
    one_sentence(avshot("optimise-classes", tmp_path / "names.txt"), *words)


def test_a_byte_order_mark_is_no_part_of_a_name(avshot, tmp_path):
    text = "dog barking\ncat meowing\nrain\nthunder\n"
    found = []
    for name, content in (("a.txt", text.encode()), ("b.txt", b"\xef\xbb\xbf" + text.replace("\n", "\r").encode())):
        (tmp_path / name).write_bytes(content)
        found.append(avshot("optimise-classes", tmp_path / name))
    assert found[0] == found[1]
    assert found[0][0] == 0


def test_predict_answers_the_other_videos_when_one_is_bad(work, first_run, avshot, tmp_path):
    good = work / "videos" / "red light" / "red-light-0.mp4"
    bad, absent, silent = tmp_path / "bad.mp4", tmp_path / "absent.mp4", tmp_path / "silent.mp4"
    bad.write_text("no video")
    write(silent, picture(None, np.random.default_rng(0)), FPS, None, RATE)
    code, out, error = avshot("predict", first_run, bad, good, absent, silent)
    assert code == 1
    assert len(error.splitlines()) == 2
    assert "bad.mp4 cannot be used" in error
    assert "absent.mp4 cannot be used" in error
    assert out.count("rested on") == 2
    assert "note: There is no sound; the picture alone decided." in out
    code, out, error = avshot("predict", first_run, bad, good, "--json")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert set(lines[0]) == {"video", "error"}
    assert lines[1]["ranking"]
    assert error == ""


def test_report_methods_audit_and_optimise_classes(work, avshot, tmp_path):
    code, out, error = avshot("report", work / "runs", "--out", tmp_path / "page.html")
    assert code == 0, error
    assert "chance" in out
    assert "±" in out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    code, out, _ = avshot("methods")
    assert code == 0
    assert "ez_avgzl" in out
    assert "hyper_avzsl with variant=single" in out
    names = tmp_path / "names.txt"
    names.write_text("dog barking\ncat meowing\n\nrain\nwind blowing\ndrum playing\ncar passing\n")
    code, out, error = avshot("optimise-classes", names, "--plot", tmp_path / "picture.png", "--set", "growth=1.05")
    assert code == 0, error
    assert "nearest-neighbour cosine distance" in out
    assert (tmp_path / "picture.png").stat().st_size > 5000
    code, out, _ = avshot("--version")
    assert code == 0
    assert out.strip()[0].isdigit()


def test_audit_prints_its_findings(avshot, tmp_path, monkeypatch):
    import avshot.data.official.audit as audit

    asked = []

    class Found:
        benchmark, findings, misjoined = "UCF", (), {}

        def render(self):
            return "what was found"

    monkeypatch.setattr(audit, "audit", lambda *a, **k: asked.append((a, k)) or Found())
    code, out, _ = avshot("audit", tmp_path, "--name", "UCF", "--text", tmp_path / "v.npy")
    assert code == 0
    assert out.startswith("what was found\n")
    assert "published on ucf-main" in out
    assert "what may have moved them" in out
    assert asked == [((tmp_path, "UCF", tmp_path / "v.npy"), {"descriptions": None})]


def test_wrong_use_is_one_sentence(work, avshot, tmp_path):
    own, out = work / "own.toml", ["--out", tmp_path / "runs"]
    one_sentence(avshot("train", own, "--method", "divise", *out), "'divise'", "methods: ", "devise")
    one_sentence(avshot("train", own, "--method", "devise", "--preset", "best", *out), "preset 'best'", "default")
    one_sentence(avshot("train", own, "--method", "", *out), "--method")
    one_sentence(avshot("train", own, "--seeds", "x", *out), "--seeds 'x'")
    one_sentence(avshot("train", own, "--seeds", "0,-1", *out), "--seeds")
    one_sentence(avshot("train", own, "--seeds", "", *out), "--seeds")
    one_sentence(avshot("train", own, "--modality", "smell", *out), "modality")
    one_sentence(avshot("train", own, "--select", "best", *out), "select")
    one_sentence(avshot("train", own, "--text", "word2wec", *out), "Text encoder 'word2wec'")
    one_sentence(avshot("train", own, "--prompts", "nice", *TINY, *out), "Prompt ensemble 'nice'")
    for change, word in (
        ("lr=3", "GROUP.NAME=VALUE"),
        ("recipe.lr", "GROUP.NAME=VALUE"),
        ("recipe.rate=3", "no field 'rate'"),
        ("config.depth=3", "no field 'depth'"),
        ("recipe.epochs=many", "valid integer"),
        ("recipe.epochs=0", "at least 1"),
        ("recipe.schedule=linear", "schedule 'linear'"),
        ("recipe.lr=[", "the value '['"),
    ):
        one_sentence(avshot("train", own, "--method", "devise", "--set", change, *out), word)
    one_sentence(avshot("train", tmp_path / "absent.toml", *out), "is not there", "avshot dataset")
    one_sentence(avshot("train", "simulated:moon", *out), "moon")
    one_sentence(avshot("train", "my-videos", *out), "'my-videos'", "avshot dataset")
    # Nothing is left behind that a corrected command would stumble over.
    assert not list((tmp_path / "runs").rglob("experiment.yaml"))


def test_a_dataset_without_features_says_what_to_do(work, avshot, tmp_path):
    avshot("dataset", work / "videos", tmp_path / "bare.toml")
    told = avshot("train", tmp_path / "bare.toml", "--out", tmp_path / "runs")
    one_sentence(told, "has no features", "avshot extract")


def test_wrong_datasets_are_one_sentence(work, avshot, tmp_path):
    videos, toml = work / "videos", tmp_path / "new.toml"
    one_sentence(avshot("dataset", videos, tmp_path / "new.json"), ".toml")
    one_sentence(avshot("dataset", tmp_path / "absent", toml), "is not there")
    one_sentence(avshot("dataset", videos, toml, "--val", "some"), "the amount 'some'", "fraction")
    one_sentence(avshot("dataset", videos, toml, "--val", "nan"), "the amount 'nan'")
    one_sentence(avshot("dataset", videos, toml, "--val", "1.5"), "1.5")
    one_sentence(avshot("dataset", videos, toml, "--train", "-2"), "-2")
    one_sentence(avshot("dataset", videos, toml, "--train", "50"), "clips")
    one_sentence(avshot("dataset", videos, toml, "--unseen-test", "nobody"), "nobody")
    one_sentence(avshot("dataset", videos, toml, "--unseen-test", "5"), "at least 2")
    table = tmp_path / "table.csv"
    table.write_bytes(b"\xff\xfe\x00label")
    one_sentence(avshot("dataset", table, toml))
    table.write_text("filename,sort\na.mp4,dog\n")
    one_sentence(avshot("dataset", table, toml), "label")
    assert not toml.exists()


def test_wrong_folders_and_files_are_one_sentence(work, first_run, avshot, tmp_path):
    one_sentence(avshot("report", tmp_path), "No finished Run")
    one_sentence(avshot("report", tmp_path / "absent"), "is not a folder")
    one_sentence(avshot("predict", tmp_path, "a.mp4"), "not a Run folder")
    video = work / "videos" / "red light" / "red-light-0.mp4"
    one_sentence(avshot("predict", first_run, video, "--classes", " , "), "no class names")
    one_sentence(avshot("predict", first_run, video, "--classes", "rain,Rain"), "spell each one way")
    one_sentence(avshot("extract", tmp_path / "absent"), "does not exist")
    one_sentence(avshot("extract", tmp_path), "holds no videos")
    one_sentence(avshot("extract", video, "--audio", "mfcc"), "'mfcc'", "logmel")
    one_sentence(avshot("extract", video, "--audio", "", "--visual", ""), "Neither")
    one_sentence(avshot("extract", video, "--workers", 1, "--visual", f"clip:{tmp_path}", "--store", tmp_path / "s"))
    one_sentence(avshot("audit", tmp_path, "--name", "UCF"), "UCF")
    one_sentence(avshot("optimise-classes", tmp_path / "absent.txt"), "absent.txt")
    (tmp_path / "empty.txt").write_text("\n")
    one_sentence(avshot("optimise-classes", tmp_path / "empty.txt"), "holds no class names")
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    one_sentence(avshot("optimise-classes", tmp_path / "names.txt", "--set", "alpha=5"), "alpha is 5")
    one_sentence(avshot("optimise-classes", tmp_path / "names.txt", "--set", "beta=5"), "no field 'beta'")
    one_sentence(avshot("optimise-classes", tmp_path / "names.txt", "--set", "alpha"), "NAME=VALUE")


def test_an_unfinished_run_and_a_run_of_another_experiment(work, first_run, avshot, tmp_path):
    shutil.copytree(first_run, tmp_path / "half")
    (tmp_path / "half" / "run.json").unlink()
    one_sentence(avshot("predict", tmp_path / "half", "a.mp4"), "not finished", "avshot train")
    out = tmp_path / "runs"
    folder = run_folder(out, Experiment(dataset=str(work / "own.toml"), method="devise", modality="audio"))
    folder.parent.mkdir(parents=True)
    shutil.copytree(first_run, folder)
    told = avshot("train", work / "own.toml", "--method", "devise", "--modality", "audio", "--out", out)
    one_sentence(told, "another experiment")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "x.toml", "--jobs", "0"],
        ["train"],
        ["train", "x.toml", "--nope"],
        ["predict", "run", "a.mp4", "--top", "0"],
        ["demo", "--difficulty", "2"],
        ["extract", "x", "--workers", "0"],
        ["sing"],
    ],
)
def test_usage_errors_exit_with_2(avshot, arguments):
    code, _, error = avshot(*arguments)
    assert code == 2
    assert "Usage: " in error
    assert "Traceback" not in error


def test_help_loads_nothing_heavy():
    heavy = ["torch", "numpy", "av", "transformers", "matplotlib", "sklearn", "pydantic", "yaml"]
    code = f"import sys, avshot.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    told = subprocess.run(
        [sys.executable, "-m", "avshot.cli.app", "--help"], capture_output=True, text=True, check=True
    )
    assert "predict" in told.stdout


def test_a_training_that_fails_does_not_lose_the_others(work, avshot, tmp_path, monkeypatch):
    real = grid.run

    def sometimes(experiment, folder, **options):
        if experiment.seed == 1:
            raise RuntimeError("a bug")
        if experiment.seed == 2:
            raise ValueError("a sentence.")
        return real(experiment, folder, **options)

    monkeypatch.setattr(grid, "run", sometimes)
    out = tmp_path / "runs"
    arguments = ["train", str(work / "own.toml"), "--method", "devise", *TINY, "--out", str(out), "--seeds"]
    code, _, error = avshot(*arguments, "1,0,2")
    assert code == 1  # not a sentence for the user: there is a bug to report
    assert error.splitlines()[-1].startswith("avshot: RuntimeError: a bug. This is a bug in avshot: please report it")
    monkeypatch.setenv("AVSHOT_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        main([*arguments, "1"])
    monkeypatch.delenv("AVSHOT_TRACEBACK")
    assert [r.experiment.seed for r in find_runs(out)] == [0]
    assert (out / "report.html").exists()
    code, _, error = avshot(*arguments, "0,2,3")
    assert code == 2
    assert "1 of 3 trainings failed" in error.splitlines()[-1]
    assert [r.experiment.seed for r in find_runs(out)] == [0, 3]


@pytest.mark.slow
def test_trainings_in_processes_end_as_those_in_this_one(work, first_run, avshot, tmp_path):
    out = tmp_path / "runs"
    taken = run_folder(out, Experiment(**(load_run(first_run).experiment.model_dump() | {"seed": 1})))
    shutil.copytree(first_run, taken)  # a Run of another seed lies where seed 1 belongs
    code, printed, error = avshot(
        "train", work / "own.toml", "--method", "devise", *TINY, "--out", out, "--seeds", "0,1", "--jobs", 2
    )
    assert code == 2
    assert "1 of 2 trainings failed" in error
    assert "another experiment" in error
    assert "devise" in printed  # the finished one is reported
    again = load_run(run_folder(out, load_run(first_run).experiment))
    assert (again.path / "weights.safetensors").read_bytes() == (first_run / "weights.safetensors").read_bytes()


def test_errors_of_many_trainings():
    grid.raise_first({}, 3)
    with pytest.raises(ValueError, match=r"^one\.$"):
        grid.raise_first({"a": ValueError("one.")}, 1)
    with pytest.raises(ValueError, match=r"2 of 3 trainings failed \(a, b\); the first: one"):
        grid.raise_first({"a": ValueError("one."), "b": ValueError("two.")}, 3)
    with pytest.raises(KeyError):
        grid.raise_first({"a": ValueError("one."), "b": KeyError("two")}, 3)
    with pytest.raises(ValueError, match="killed.*fewer --jobs"):
        grid.raise_first({"a": grid.BrokenProcessPool("gone")}, 3)


def test_ctrl_c_says_that_the_work_can_go_on(avshot, monkeypatch):
    import avshot.cli.inspect as commands

    def interrupted(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "print_methods", interrupted)
    code, _, error = avshot("methods")
    assert code == 130
    assert error.strip().splitlines()[-1] == "avshot: stopped; run the same command again to go on where it was."


def test_a_traceback_on_demand(avshot, monkeypatch, tmp_path):
    monkeypatch.setenv("AVSHOT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="No finished Run"):
        main(["report", str(tmp_path)])


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m avshot.cli.app methods | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_values_are_read_as_typed():
    changes = ["config.dim=64", "recipe.lr=1e-4", "recipe.betas=[0.5, 0.9]", "recipe.clip_norm=None", "optimise.a=b=c"]
    assert parse_changes(changes) == {
        "config": {"dim": 64},
        "recipe": {"lr": 1e-4, "betas": [0.5, 0.9], "clip_norm": None},
        "selection": {},
        "optimise": {"a": "b=c"},
    }
    assert [read_value(t) for t in ("true", "cosine", " 2 ", "-1E+3", "null", "e", "1e")] == [
        True, "cosine", 2, -1000.0, None, "e", "1e",
    ]  # fmt: skip
    assert [read_value(t) for t in ("010", "1:30", "-5")] == [10, "1:30", -5]
    for text in (".nan", ".inf", "1e999", "[" * 5000, "{"):
        with pytest.raises(ValueError, match="Got the value"):
            read_value(text)


def test_a_run_folder_fits_every_file_system(tmp_path):
    experiment = Experiment(dataset="x", config={f"field{i}": i for i in range(60)})
    other = Experiment(dataset="x", config={f"field{i}": i + 1 for i in range(60)})
    names = [run_folder(tmp_path, e).parent.name for e in (experiment, other)]
    assert max(len(name.encode()) for name in names) < 255
    assert names[0] != names[1]
