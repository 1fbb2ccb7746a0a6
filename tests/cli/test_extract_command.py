"""`avshot extract` on the files and habits that people have: what is taken, where features go, what is said."""

import inspect
import os
from pathlib import Path

import pytest

from avshot.cli.app import extract as command
from avshot.cli.app import main
from avshot.cli.extract import beside, extract_source
from avshot.data.load import load_dataset
from avshot.features.store.store import FeatureStore
from small_videos import seen_videos


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four short videos."""
    return seen_videos(tmp_path_factory.mktemp("videos"), per_class=2)[0][:4]


def extract(source, store=None, **options):
    return extract_source(source, store, audio="logmel", visual=None, workers=1, **options)


def put(video, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video.read_bytes())
    return path


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ("suf", "suf.features"),
        ("suf/", "suf.features"),
        ("./suf", "suf.features"),
        ("suf/a.mp4", "suf/a.mp4.features"),
        ("suf/..", "{here}.features"),
        (".", "{here}.features"),
    ],
)
def test_features_go_beside_the_source_and_are_never_hidden(tmp_path, monkeypatch, given, where):
    monkeypatch.chdir(tmp_path)
    found = Path(beside(Path(given)))
    assert os.path.abspath(found) == os.path.abspath(where.format(here=tmp_path))
    assert not found.name.startswith(".")


def test_the_root_has_no_folder_beside_it():
    with pytest.raises(ValueError, match="say where the features go"):
        beside(Path("/"))


def test_a_folder_with_links_capitals_and_other_files(tmp_path, videos, capsys, monkeypatch):
    folder = tmp_path / "in"
    put(videos[0], folder / "plain" / "a.MP4")
    put(videos[1], tmp_path / "real" / "b.m2ts")
    (folder / "linked").symlink_to(tmp_path / "real")
    (folder / "read me.txt").write_text("not a video")
    monkeypatch.chdir(folder)
    extract(".")
    error = capsys.readouterr().err
    assert FeatureStore(f"{folder}.features").status.keys() == {"plain/a.MP4", "linked/b.m2ts"}
    assert "note: 1 file left out" in error
    assert ".txt 1" in error
    put(videos[2], folder / "c.mp4")
    extract(str(folder))
    assert "1 new, 2 already there" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    extract("in")  # a store inside the folder that is listed is not searched
    assert "0 new, 3 already there" in capsys.readouterr().err


def test_what_was_done_again_or_left_is_said(tmp_path, videos, capsys):
    folder = tmp_path / "v"
    for i, video in enumerate(videos[:2]):
        put(video, folder / f"{i}.mp4")
    (folder / "bad.mp4").write_text("no video")
    assert extract(folder) == 1
    capsys.readouterr()
    put(videos[2], folder / "0.mp4")
    assert extract(folder) == 1
    told = capsys.readouterr()
    assert "note: 1 clips that the store had were described again (the file changed since): 0.mp4." in told.err
    assert "note: 1 failed before, with the same file; --retry tries them again." in told.err
    assert "bad.mp4" in told.out, "the table shows what is not as usual"
    assert extract(folder, retry=True) == 1
    assert "described again (it failed before): bad.mp4." in capsys.readouterr().err


def test_spans_edited_by_hand_are_extracted_anew_and_not_trained_on_before(tmp_path, videos, capsys):
    lines = [f"c{i},{video},{'ab'[i % 2]},,,,{'train' if i < 2 else 'test_seen'}" for i, video in enumerate(videos)]
    (tmp_path / "d.folds.csv").write_text("\n".join(["id,path,label,start,end,group,fold", *lines]))
    (tmp_path / "d.toml").write_text('name = "d"\nfolds = "d.folds.csv"\n')
    extract(tmp_path / "d.toml")
    whole = load_dataset(str(tmp_path / "d.toml"))
    assert whole.missing == ()
    table = (tmp_path / "d.folds.csv").read_text()
    (tmp_path / "d.folds.csv").write_text(table.replace("a,,,,train", "a,0.0,0.3,,train"))
    cut = load_dataset(str(tmp_path / "d.toml"))
    assert [id for id, _ in cut.missing] == ["c0"]
    assert "of another span of the file; run `avshot extract` again" in cut.warnings()[0]
    put(videos[0], videos[3])  # and a file is replaced
    assert [id for id, _ in load_dataset(str(tmp_path / "d.toml")).missing] == ["c0", "c3"]
    capsys.readouterr()
    extract(tmp_path / "d.toml")
    assert "2 new, 2 already there" in capsys.readouterr().err
    fresh = load_dataset(str(tmp_path / "d.toml"))
    assert fresh.missing == ()
    assert fresh.features.content() != whole.features.content()
    assert fresh.gather([0]).audio.shape[1] < whole.gather([0]).audio.shape[1]
    videos[1].unlink()
    assert load_dataset(str(tmp_path / "d.toml")).missing == (), "features may outlive videos"


def test_urls_of_files_are_taken_and_others_refused(tmp_path, videos, capsys):
    video = put(videos[0], tmp_path / "a dog.mp4")
    extract(video.as_uri())
    assert FeatureStore(f"{video}.features").ids == ["a dog.mp4"]
    for source in ("http://localhost:1/a.mp4", "s3://bucket/a.mp4"):
        with pytest.raises(ValueError, match="download it first"):
            extract(source)
    (tmp_path / "t.csv").write_text("path,label\n")
    with pytest.raises(ValueError, match=r"is a table; declare a dataset"):
        extract(tmp_path / "t.csv")


def test_help_says_where_extractors_are_listed_and_limits_are_checked(tmp_path, videos, capsys):
    told = str(inspect.signature(command).parameters)
    assert told.count("avshot encoders") == 2  # which lists every one
    for wrong in (["--memory-limit", "0"], ["--memory-limit", "nan"], ["--time-limit", "-1"], ["--time-limit", "nan"]):
        with pytest.raises(SystemExit) as stop:
            main(["extract", str(videos[2]), "--store", str(tmp_path / "s"), *wrong])
        assert stop.value.code == 2
        assert "expected more than 0" in capsys.readouterr().err
    for boundless in (float("inf"), 1e300):
        store, extractors = str(tmp_path / str(boundless)), {"audio": "logmel", "visual": None}
        assert extract_source(videos[2], store, **extractors, workers=2, memory_limit=boundless) == 0
