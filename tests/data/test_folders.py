"""Which media files a folder holds; the witness is what the test itself put there."""

import os

import pytest

from avshot.data.listing import MEDIA_SUFFIXES, media_files


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def relative(found, kind="files"):
    return [path.relative_to(found.folder).as_posix() for path in getattr(found, kind)]


def test_suffixes_in_any_case_and_what_is_left_out_is_counted(tmp_path):
    touch(
        tmp_path, "a.mp4", "b.MTS", "c.m2ts", "d.opus", "e.aac", "f.vob", "g.Mka", "n.txt", "o.txt", "p.jpg", "README"
    )
    found = media_files(tmp_path)
    assert relative(found) == ["a.mp4", "b.MTS", "c.m2ts", "d.opus", "e.aac", "f.vob", "g.Mka"]
    assert found.notes() == ("4 files left out, no video or sound by their suffix: .txt 2, .jpg 1, no suffix 1.",)


def test_every_promised_suffix_is_taken(tmp_path):
    touch(tmp_path, *(f"x{suffix}" for suffix in MEDIA_SUFFIXES))
    assert len(media_files(tmp_path).files) == len(MEDIA_SUFFIXES)
    assert {".qt", ".divx", ".m2t", ".mxf", ".rmvb", ".gif", ".oga", ".caf", ".w64", ".tta"} <= MEDIA_SUFFIXES


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path, "real/a.mp4", "in/plain/b.mp4", "single.mp4")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "c.mp4").symlink_to(tmp_path / "single.mp4")
    (tmp_path / "in" / "plain" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    found = media_files(tmp_path / "in")
    assert relative(found) == ["c.mp4", "linked/a.mp4", "plain/b.mp4"]
    assert relative(found, "again") == ["plain/up"]
    assert relative(found, "broken") == ["gone.mp4"]
    assert "1 entry left out, a link to nothing or not to be opened: gone.mp4." in found.notes()


def test_a_folder_linked_beside_itself_is_entered_once_under_its_own_name(tmp_path):
    touch(tmp_path, "z/a.mp4")
    (tmp_path / "b").symlink_to(tmp_path / "z")
    found = media_files(tmp_path)
    assert relative(found) == ["z/a.mp4"]
    assert found.notes() == ("1 folder not entered, links lead to the same folder twice: b.",)


def test_hidden_folders_stores_and_runs_are_not_entered_but_their_media_are_reported(tmp_path):
    touch(tmp_path, "a.mp4", ".b.mp4", ".git/c.mp4", ".git/config", "x.features/store.json", "x.features/d.mp4")
    touch(tmp_path, "run/experiment.yaml", "run/run.json", "seen/e.mp4")
    found = media_files(tmp_path)
    assert relative(found) == ["a.mp4", "seen/e.mp4"]
    assert relative(found, "hidden") == [".b.mp4", ".git/c.mp4", "x.features/d.mp4"]
    assert found.notes() == (
        "3 media files left out, hidden or inside a feature store or Run: .b.mp4, .git/c.mp4, x.features/d.mp4.",
    )


def test_the_folder_asked_for_is_looked_into_whatever_it_is(tmp_path):
    touch(tmp_path, ".cache/store.json", ".cache/a.mp4")
    assert relative(media_files(tmp_path / ".cache")) == ["a.mp4"]


def test_a_name_that_is_not_utf8_is_left_out_and_can_be_printed(tmp_path):
    touch(tmp_path, "a.mp4")
    try:
        open(os.fsencode(tmp_path) + b"/lat\xe9n.mp4", "w").close()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = media_files(tmp_path)
    assert relative(found) == ["a.mp4"]
    assert found.notes() == ("1 media file left out, the name is not UTF-8 (rename it): lat\\xe9n.mp4.",)


def test_odd_names_are_taken_as_they_are(tmp_path):
    names = ["-dash.mp4", "a,b.mp4", 'quo"te.mp4', "new\nline.mp4", "x" * 240 + ".mp4", "Ünï 犬.mp4", "a.MP4", "A.mp4"]
    touch(tmp_path, *names)
    assert sorted(relative(media_files(tmp_path))) == sorted(names)


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        media_files(tmp_path / "none")
    assert media_files(tmp_path).files == ()
    assert media_files(tmp_path).notes() == ()
