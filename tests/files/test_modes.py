"""Who may read what avshot writes is what the user's umask says, for all files alike."""

import os
import stat
from pathlib import Path

import pytest

from avshot import Recognizer
from avshot.data.manifest import declare
from avshot.data.split import SplitRule
from avshot.run import load_run
from small_videos import heard_videos

SHORT = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}


@pytest.fixture
def under():
    """Set a umask; the old one comes back."""
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


def modes(folder):
    """`{mode: names}` of the files below a folder, and of the folders."""
    files: dict[int, list[str]] = {}
    folders: dict[int, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        kind = folders if path.is_dir() else files
        kind.setdefault(stat.S_IMODE(path.stat().st_mode), []).append(str(path.relative_to(folder)))
    return files, folders


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_all_files_follow_the_umask(tmp_path, under, umask):
    under(umask)
    videos, labels = heard_videos(tmp_path / "videos", per_class=2)
    fitted = Recognizer("devise", folder=tmp_path / "kept", recipe=SHORT).fit(videos, labels)
    fitted.save(tmp_path / "saved")
    for video, label in zip(videos, labels, strict=True):
        (tmp_path / "sorted" / label).mkdir(parents=True, exist_ok=True)
        video.rename(tmp_path / "sorted" / label / video.name)
    declare(tmp_path / "sorted", tmp_path / "own.toml", rule=SplitRule(unseen_val=0, unseen_test=0))
    files, folders = modes(tmp_path)
    assert sum(map(len, files.values())) > 30
    assert list(files) == [0o666 & ~umask], files
    assert list(folders) == [0o777 & ~umask], folders


def test_a_copy_is_as_new_files_are_whatever_the_run_was(tmp_path, under):
    under(0o077)
    fitted = Recognizer("devise", folder=tmp_path / "kept", recipe=SHORT).fit(
        *heard_videos(tmp_path / "v", per_class=2)
    )
    under(0o022)
    saved = fitted.save(tmp_path / "saved")
    files, _ = modes(saved)
    assert list(files) == [0o644]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o755
    assert load_run(saved).check() is None
