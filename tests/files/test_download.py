"""A file from the web, against a server that behaves badly: breaks off, knows no ranges, gives other bytes."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from avshot.files.download import download

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def served(content=CONTENT, *, ranges=True, break_after=None, status=None):
    """A server on this machine: yields its address and the `Range` of each request that it got."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            asked.append(wanted)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/file")
                self.end_headers()
                return
            if status is not None and len(asked) <= status[1]:
                self.send_error(status[0])
                return
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
            if first and first >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            last = len(content) if break_after is None else first + break_after
            self.wfile.write(content[first:last])

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file", asked
    finally:
        server.shutdown()
        server.server_close()


def fetch(url, path, **more):
    download(url, path, sha256=SHA256, size=len(CONTENT), what="The weights x", pause=0.0, **more)


def parts(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_progress_is_told(tmp_path):
    told = []
    with served() as (url, asked):
        fetch(url, tmp_path / "a", progress=lambda done, size: told.append((done, size)))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert asked == [None]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert parts(tmp_path) == ["a"]


def test_a_connection_that_breaks_goes_on_where_it_broke_off(tmp_path):
    with served(break_after=110_000) as (url, asked):
        fetch(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert asked == [None, "bytes=110000-", "bytes=220000-"]


def test_what_an_earlier_call_left_is_continued(tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT[:123_456])
    with served() as (url, asked):
        fetch(url, tmp_path / "a")
    assert asked == ["bytes=123456-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_needs_no_network(tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    fetch("http://127.0.0.1:1/nobody", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(tmp_path):
    (tmp_path / "a.part").write_bytes(b"old" * 1000)
    with served(ranges=False) as (url, asked):
        fetch(url, tmp_path / "a")
    assert asked == ["bytes=3000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_redirection_is_followed_and_the_range_kept(tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT[:1000])
    with served() as (url, asked):
        fetch(url.replace("/file", "/moved"), tmp_path / "a")
    assert asked == ["bytes=1000-", "bytes=1000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_that_is_busy_is_asked_again(tmp_path):
    with served(status=(503, 2)) as (url, asked):
        fetch(url, tmp_path / "a")
    assert len(asked) == 3


WRONG = {
    "other bytes": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]),
    "longer": CONTENT + b"more" * 1000,
    "shorter": CONTENT[:1000],
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("ranges", [True, False])
def test_another_file_is_refused_in_a_sentence_and_removed(tmp_path, name, ranges):
    words = "sha256 differs" if name != "shorter" or ranges else "ended too early"
    with served(WRONG[name], ranges=ranges) as (url, asked), pytest.raises(ValueError, match=words) as caught:
        fetch(url, tmp_path / "a")
    assert "The weights x" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists()
    assert len(asked) < 8
    if "sha256" in words:
        assert parts(tmp_path) == []


def test_never_more_than_the_stated_size_is_taken(tmp_path):
    with served(CONTENT * 20) as (url, _), pytest.raises(ValueError, match="sha256 differs"):
        fetch(url, tmp_path / "a")


@pytest.mark.parametrize("ranges", [True, False])
def test_a_line_that_always_breaks_at_the_same_place_is_given_up(tmp_path, ranges):
    with served(ranges=ranges, break_after=0) as (url, asked), pytest.raises(ValueError, match="run it again"):
        fetch(url, tmp_path / "a")
    assert len(asked) == 5


def test_nobody_there_and_not_found_are_sentences(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be fetched from http://127\.0\.0\.1:1/x .*refused"):
        fetch("http://127.0.0.1:1/x", tmp_path / "a")
    with served(status=(404, 9)) as (url, asked), pytest.raises(ValueError, match="answers 404"):
        fetch(url, tmp_path / "a")
    assert len(asked) == 1
