"""A stored clip is that of its file and span, and of no other: files copied, touched, replaced, mended, renamed."""

import os
import shutil
from dataclasses import dataclass

import pytest
import torch
from test_extract import Colour, Loudness, everything, video

from avshot.features.extract import extract
from avshot.features.store import origin
from avshot.features.store.origin import origin_of
from avshot.features.store.store import FeatureStore
from avshot.types import Clip

FAST = {"audio": Loudness(), "visual": Colour(), "workers": 1}


def fresh(clips, folder):
    """Values of the clips from a store made now."""
    shutil.rmtree(folder, ignore_errors=True)
    extract(clips, str(folder), **FAST)
    return everything(folder)[1]


def assert_as_fresh(root, clips, folder):
    for name in ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time"):
        torch.testing.assert_close(
            getattr(everything(root)[1], name), getattr(fresh(clips, folder), name), rtol=0, atol=0, msg=name
        )


def same_size(path, like):
    """Make the file as large as another by bytes after its end, which no reader looks at."""
    size = max(path.stat().st_size, like.stat().st_size)
    for file in (path, like):
        with file.open("ab") as out:
            out.write(bytes(size - file.stat().st_size))


@pytest.mark.parametrize("how", ["other size", "same size", "same size and time", "link", "other name"])
def test_another_file_under_the_same_id_is_described_again(tmp_path, how):
    one, two = tmp_path / "a.mp4", tmp_path / "b.mp4"
    video(one, (200, 30, 30)), video(two, (30, 30, 200))
    if how != "other size":
        same_size(one, two)
    if how in ("same size and time", "other name"):  # as archives with one time for all files leave them
        os.utime(one, ns=(1, 1)), os.utime(two, ns=(1, 1))
    path = tmp_path / "clip.mp4"
    path.symlink_to(one) if how == "link" else shutil.copy2(one, path)
    clips = [Clip("x", str(one if how == "other name" else path)), Clip("y", str(two))]
    assert extract(clips, str(tmp_path / "s"), **FAST).done == 2
    if how == "link":
        path.unlink()
        path.symlink_to(two)
    elif how == "other name":
        clips[0] = Clip("x", str(two))
    else:
        os.replace(shutil.copy2(two, tmp_path / "new"), path)
    again = extract(clips, str(tmp_path / "s"), **FAST)
    assert (again.done, again.kept) == (1, 1)
    assert again.again == (("x", clips[0].path, "the file changed since"),)
    assert_as_fresh(tmp_path / "s", clips, tmp_path / "fresh")
    assert extract(clips, str(tmp_path / "s"), **FAST).kept == 2


def test_a_copied_touched_or_renamed_data_set_is_not_described_again(tmp_path, monkeypatch):
    folder = tmp_path / "v"
    folder.mkdir()
    names = ["a.mp4", "b.mp4", "c.mp4"]
    for i, name in enumerate(names):
        video(folder / name, (60 * i + 40, 90, 120))
    clips = [Clip(name, str(folder / name)) for name in names]
    extract(clips, str(tmp_path / "s"), **FAST)
    os.utime(folder / "a.mp4")
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy)
    os.rename(tmp_path / "copy" / "c.mp4", tmp_path / "copy" / "d.mp4")
    moved = [Clip(f"{n}.mp4", str(tmp_path / "copy" / f"{m}.mp4")) for n, m in zip("abc", "abd", strict=True)]
    read_now = []
    monkeypatch.setattr(origin, "file_digest", lambda path, _o=origin.file_digest: (read_now.append(path), _o(path))[1])
    origin._content.cache_clear()
    for given in (clips, moved):
        found = extract(given, str(tmp_path / "s"), **FAST)
        assert (found.done, found.kept, found.again) == (0, 3, ())
    assert len(read_now) == 4, "a.mp4 was touched; then all three are another file of the same content"
    origin._content.cache_clear()
    assert extract(moved, str(tmp_path / "s"), **FAST).kept == 3
    assert len(read_now) == 4, "their new times are remembered"


def test_spans_are_part_of_what_a_clip_is(tmp_path):
    path = video(tmp_path / "a.mp4", seconds=1.2)
    whole = [Clip("x", path), Clip("y", path, start=0.5)]
    extract(whole, str(tmp_path / "s"), **FAST)
    assert extract([Clip("x", path, start=0.0), whole[1]], str(tmp_path / "s"), **FAST).kept == 2, "0 is the beginning"
    cut = [Clip("x", path, start=0.0, end=0.4), Clip("y", path, start=0.5 + 2**-40)]
    found = extract(cut, str(tmp_path / "s"), **FAST)
    assert [(id, why) for id, _, why in found.again] == [
        (id, "its features are of another span of the file") for id in "xy"
    ]
    assert_as_fresh(tmp_path / "s", cut, tmp_path / "fresh")
    with pytest.raises(ValueError, match=r"'x' has the span nan to None"):
        extract([Clip("x", path, start=float("nan"))], str(tmp_path / "s"), **FAST)


def test_what_is_not_as_usual_follows_the_file(tmp_path):
    path = tmp_path / "a.mp4"
    clips = [Clip("x", video(path, sound=False))]
    assert extract(clips, str(tmp_path / "s"), **FAST).partial == (("x", str(path), "no_audio"),)
    video(path)
    assert extract(clips, str(tmp_path / "s"), **FAST).partial == ()
    path.unlink()
    assert extract(clips, str(tmp_path / "s"), **FAST).kept == 1, "features may outlive videos"


def test_a_folder_in_place_of_the_file_and_a_file_in_place_of_the_folder(tmp_path):
    path = tmp_path / "a.mp4"
    path.mkdir()
    assert len(extract([Clip("x", str(path))], str(tmp_path / "s"), **FAST).failed) == 1
    path.rmdir()
    video(path)
    assert extract([Clip("x", str(path))], str(tmp_path / "s"), **FAST).done == 1


@dataclass(frozen=True)
class Meddling(Loudness):
    """Adds to the file that it describes."""

    path: str = ""

    def __call__(self, media):
        if len(media.waveform) < 8000:  # not the second of silence that tries the extractor
            with open(self.path, "ab") as file:
                file.write(b"more")
        return super().__call__(media)


def test_a_file_that_grows_while_it_is_read_fails_and_is_tried_again(tmp_path):
    path = video(tmp_path / "a.mp4")
    options = {"visual": None, "workers": 1}
    found = extract([Clip("x", path)], str(tmp_path / "s"), audio=Meddling(path=path), **options)
    assert "changed while it was read" in found.failed[0][2]
    again = extract([Clip("x", path)], str(tmp_path / "s"), audio=Meddling(path=path), **options)
    assert [why for *_, why in again.again] == ["the file changed since"]


def test_file_urls_are_read_and_others_never_fetched(tmp_path, monkeypatch):
    path = tmp_path / "a dog.mp4"
    video(path)
    urls = [Clip("url", path.as_uri()), Clip("plain", str(path)), Clip("web", "http://localhost:1/a.mp4")]
    found = extract(urls, str(tmp_path / "s"), **FAST)
    assert found.done == 2
    assert [(id, "download it first" in status) for id, _, status in found.failed] == [("web", True)]
    store = FeatureStore(str(tmp_path / "s"))
    torch.testing.assert_close(*(store.gather(store.rows([id])).visual for id in ("url", "plain")), rtol=0, atol=0)
    assert extract(urls, str(tmp_path / "s"), **FAST).kept == 2


def test_large_files_are_read_for_their_digest_once(tmp_path, monkeypatch):
    path, count = video(tmp_path / "a.mp4", seconds=2.0), []
    monkeypatch.setattr(origin, "file_digest", lambda path: count.append(path) or "0" * 64)
    origin._content.cache_clear()
    for start in (0.0, 0.5, 1.0):
        origin_of(Clip("x", path, start=start, end=start + 0.5))
    assert len(count) == 1
