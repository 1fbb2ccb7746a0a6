"""The package says that it is typed, and is: a user's program checks strictly, and nothing public is `Any`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import avshot

PACKAGE = Path(avshot.__file__).parent
PROGRAM = """
from pathlib import Path

from avshot import AvshotError, Failed, MissingFile, Prediction, Recognizer, load_dataset, load_run


def answer(content: bytes) -> str:
    recognizer = Recognizer("devise", recipe={"epochs": 2}).fit(["a.mp4"], ["rain"])
    found = recognizer.predict(content, ["dog barking"], top=3, largest=1 << 20)
    reveal_type(found)
    with open("a.mp4", "rb") as file:
        reveal_type(recognizer.predict(file).ranking[0].probability)
    for each in recognizer.predict_many([Path("a.mp4"), "b.mp4", content]):
        if isinstance(each, Failed):
            reveal_type(each.error)
        else:
            reveal_type(each)
    try:
        reveal_type(load_run("x").classes().names)
        reveal_type(load_dataset("x").warnings())
    except MissingFile as error:
        reveal_type(error.filename)
    except AvshotError as error:
        return str(error)
    return found.label


recognizer: int = Recognizer.load("x")  # the one error
"""
REVEALED = [
    "avshot.prediction.prediction.Prediction",
    "float",
    "ValueError | OSError | MemoryError",
    "avshot.prediction.prediction.Prediction",
    "tuple[str, ...]",
    "tuple[str, ...]",
    "Any",  # what Python says of it
]


def test_the_marker_is_there_and_nothing_keeps_it_out_of_the_wheel():
    assert (PACKAGE / "py.typed").read_bytes() == b""
    ignored = (PACKAGE.parent.parent / ".gitignore").read_text().split()  # hatch leaves out what git ignores
    assert not any("typed" in line for line in ignored)


@pytest.mark.skipif(shutil.which("mypy", path=str(Path(sys.executable).parent)) is None, reason="needs mypy")
@pytest.mark.slow
def test_a_users_program_checks_strictly(tmp_path):
    (tmp_path / "service.py").write_text(PROGRAM)
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "service.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    notes = [
        line.partition('Revealed type is "')[2].rstrip('"') for line in done.stdout.splitlines() if "note:" in line
    ]
    assert [note.replace("builtins.", "") for note in notes] == REVEALED, done.stdout
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'expression has type "Recognizer"' in errors[0]
