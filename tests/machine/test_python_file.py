"""Somebody's own file as a module: what was read is what runs, and what fails names the line."""

import dataclasses
import os
import pickle
import sys
import typing

import pytest

from avshot.machine.python_file import digest_of_file, full_path, is_python_file, load_python_file, place_of, with_place

TYPED = """from __future__ import annotations

from dataclasses import dataclass, field

@dataclass(frozen=True)
class Config:
    inner: Inner | None = None
    sizes: tuple[int, ...] = (1, 2)

@dataclass(frozen=True)
class Inner:
    depth: int = 3

class Thing:
    pass

def fail(kind, words):
    raise kind(words)
"""


@pytest.fixture
def file(tmp_path):
    """A file in a folder whose name holds what file names may hold."""
    folder = tmp_path / "a folder, with - signs"
    folder.mkdir()
    path = folder / "my.file 1.py"
    path.write_text(TYPED)
    return path


def test_a_file_is_run_once_and_again_when_it_changed(file):
    stat = file.stat()
    first = load_python_file(file, "method")
    assert load_python_file(file, "method") is first
    file.write_text(TYPED.replace("= 3", "= 4"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time: Python's own cache would not see it
    second = load_python_file(file, "method")
    assert (first.Inner().depth, second.Inner().depth) == (3, 4)
    assert not (file.parent / "__pycache__").exists()


def test_annotations_written_as_text_can_be_read_and_objects_be_pickled(file):
    module = load_python_file(file, "method")
    assert typing.get_type_hints(module.Config)["inner"] == (module.Inner | None)
    made = dataclasses.replace(module.Config(), inner=module.Inner())
    assert pickle.loads(pickle.dumps(made)) == made
    assert module.__name__.rpartition(".")[2] == "my_file 1"
    assert module.__file__ == str(file)


def test_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert full_path("~/x.py") == full_path("x.py") == tmp_path.resolve() / "x.py"
    assert is_python_file("a/b.py")
    assert not is_python_file("devise")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = 1\ny = (\n", r"SyntaxError: '\(' was never closed, line 2\); mend it"),
        ("x = 1\n\n1 / 0\n", r"ZeroDivisionError: division by zero, line 3\); mend it"),
        ("def f():\n    raise KeyError('a')\n\nf()\n", r"KeyError: 'a', line 2\); mend it"),
        ("import sys\nsys.exit(7)\n", r"SystemExit: 7, line 2\); mend it"),
        ("raise RuntimeError\n", r"RuntimeError, line 1\); mend it"),
        ("import no_such_library\n", r"No module named 'no_such_library', line 1\); install what it imports"),
        (
            "\nimport blocks_beside\n",
            r"'blocks_beside', line 2\); blocks_beside may lie beside it, but a method is one",
        ),
        ("from .blocks_beside import x\n", r"line 1\); blocks_beside may lie beside it, but a method is one file"),
        ("from . import blocks_beside\n", r"line 1\); what it imports may lie beside it, but a method is one file"),
    ],
)
def test_what_fails_names_the_line(tmp_path, content, words):
    (tmp_path / "blocks_beside.py").write_text("x = 1\n")
    path = tmp_path / "mine.py"
    path.write_text(content)
    before = set(sys.modules)
    with pytest.raises(ValueError, match=words) as raised:
        load_python_file(path, "method")
    assert str(raised.value).startswith(f"{path} cannot be imported (")
    assert "\n" not in str(raised.value)
    assert set(sys.modules) == before
    path.write_text("x = 2\n")
    assert load_python_file(path, "method").x == 2  # nothing of the failure is left


@pytest.mark.parametrize("there", [False, True])
def test_what_cannot_be_read(tmp_path, there):
    path = tmp_path / "folder.py"
    if there:
        path.mkdir()
    for ask in (load_python_file, digest_of_file):
        with pytest.raises(ValueError, match=r"The method .*folder.py cannot be read"):
            ask(path, "method")


def test_the_place_of_an_error_is_the_innermost_line_of_such_a_file(file):
    module = load_python_file(file, "method")

    def caught(kind, words):
        try:
            module.fail(kind, words)
        except Exception as error:
            return error
        raise AssertionError

    place = f"{file} line 18"
    assert place_of(caught(KeyError, "x")) == place
    found = with_place(caught(RuntimeError, "first line\nsecond"))
    assert isinstance(found, ValueError)
    assert str(found) == f"{place}: RuntimeError: first line"
    assert isinstance(found.__cause__, RuntimeError)
    assert str(with_place(caught(ValueError, "a sentence."))) == f"{place}: a sentence."
    assert str(with_place(caught(RuntimeError, ""))) == f"{place}: RuntimeError"
    other = ValueError("ours")
    assert with_place(other) is other
    assert place_of(other) == ""
