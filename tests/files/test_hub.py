"""Models of a hub that cannot be reached: this machine's copy is used, and where there is none that is said at once."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

import avshot.files.hub as hub

constants = pytest.importorskip("huggingface_hub.constants")  # not there with the newest Python (`make newest`)

LOAD = """
import sys, time
from transformers import CLIPConfig
from avshot.files.hub import load_pretrained
started = time.monotonic()
try:
    made = load_pretrained(CLIPConfig, "some/model", "Weights 'some/model'", "processor", revision="main")
    print(made.projection_dim)
except ValueError as error:
    print(error)
print(time.monotonic() - started)
"""


@pytest.fixture(autouse=True)
def forget():
    hub._answers.cache_clear()
    yield
    hub._answers.cache_clear()


def cached(home):
    """A model as the hub's client keeps it."""
    commit, model = "a" * 40, home / "hub" / "models--some--model"
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    config = {"model_type": "clip", "projection_dim": 7}
    (model / "snapshots" / commit / "config.json").write_text(json.dumps(config))


def loaded(home, endpoint):
    """What a process of its own prints: the settings of the hub's client are read when it is imported."""
    env = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", LOAD], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, seconds = done.stdout.strip().splitlines()
    return told, float(seconds), done.stderr


def test_without_a_hub_and_without_a_copy_it_is_said_at_once(tmp_path, closed):
    told, seconds, noise = loaded(tmp_path, closed)
    assert told == (
        "Weights 'some/model' cannot be loaded (the hub cannot be reached, and this machine has no whole copy of it); "
        "give a Hugging Face id that can be reached, or a folder with config, weights and processor."
    )
    assert seconds < 3  # 23 s without a look at the hub first
    assert "Retrying" not in noise


def test_a_copy_on_this_machine_is_used(tmp_path, closed):
    cached(tmp_path)
    told, seconds, noise = loaded(tmp_path, closed)
    assert told == "7"
    assert seconds < 3
    assert "Retrying" not in noise


@pytest.fixture
def closed():
    """A hub at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def answering():
    """A hub that takes connections."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_reachable(monkeypatch, closed, answering):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "*")
    for endpoint, expected in ((answering, True), (closed, False), ("https://no-such-host.invalid", False)):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        assert hub.reachable() is expected
    monkeypatch.setattr(constants, "ENDPOINT", answering)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub.reachable()


def test_a_proxy_stands_for_the_hub(monkeypatch, answering, closed):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.urllib.request, "proxy_bypass", lambda host: False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://no-such-host.invalid")
    for proxy, expected in ((answering, True), (answering.removeprefix("http://"), True), (closed, False)):
        hub._answers.cache_clear()
        monkeypatch.setattr(hub.urllib.request, "getproxies", lambda proxy=proxy: {"https": proxy})
        assert hub.reachable() is expected


def test_a_name_that_nobody_looks_up_costs_a_second(monkeypatch):
    over = threading.Event()

    def connect(*args, **options):
        over.wait(30)
        raise OSError

    monkeypatch.setattr(hub.socket, "create_connection", connect)
    started = time.monotonic()
    assert not hub._answers("https://slow.invalid", 0)
    assert not hub._answers("https://slow.invalid", 0)  # kept
    assert time.monotonic() - started < 3
    over.set()


def test_a_folder_asks_no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: pytest.fail("the hub was asked"))

    class Kind:
        @staticmethod
        def from_pretrained(place, **options):
            return place, options

    assert hub.load_pretrained(Kind, str(tmp_path), "It", "tokenizer", revision="x") == (
        str(tmp_path),
        {"revision": "x"},
    )
