"""What counts as one video."""

import io
from pathlib import Path

import numpy as np
import pytest

from avshot.prediction.video import check_span, one_clip
from avshot.types import Clip


def test_a_path_or_a_clip():
    assert one_clip("a.mp4") == one_clip(Path("a.mp4")) == Clip("a.mp4", "a.mp4")
    assert one_clip("file:///v/a%20b.mp4").path == "/v/a b.mp4"
    clip = Clip("a", "a.mp4", start=1.0)
    assert one_clip(clip) is clip


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (["a.mp4"], r"Got several videos \(list\); pass the path of one, and call predict for each"),
        (("a.mp4", "b.mp4"), r"several videos \(tuple\)"),
        (np.array(["a.mp4"]), r"several videos \(ndarray\)"),
        ((path for path in ["a.mp4"]), r"several videos \(generator\)"),
        (b"\x00\x01", r"the content of a file \(bytes\) as the video; pass the path"),
        (io.BytesIO(b""), r"the content of a file \(BytesIO\)"),
        ("https://example.org/a.mp4", "is not on this machine; download it first"),
        ("file://server/a.mp4", "a file of the machine 'server'"),
        (None, "Got None as the video; pass the path of a video file"),
        ("", "Got '' as the video"),
        (3, "Got 3 as the video"),
    ],
)
def test_anything_else_is_a_sentence(video, message):
    with pytest.raises(ValueError, match=message):
        one_clip(video)


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(ValueError, match="is a folder; pass the path of one video"):
        one_clip(tmp_path)


@pytest.mark.parametrize("span", [(-1, None), (float("nan"), None), (None, float("nan")), (2, 1), (1, 1), (None, 0)])
def test_spans_that_are_none(span):
    with pytest.raises(ValueError, match="Got the span from"):
        check_span(*span)
    check_span(None, None)
    check_span(0.5, None)
    check_span(None, 0.5)
