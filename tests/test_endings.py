"""Last words and exit codes."""

import pytest

from avshot.endings import GO_ON, last_words


def chained(outer, inner):
    try:
        try:
            raise inner
        except BaseException:
            raise outer  # noqa: B904
    except BaseException as error:
        return error


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (ValueError("A sentence."), "A sentence.", 2),
        (FileNotFoundError(2, "No such file", "a"), "[Errno 2] No such file: 'a'", 2),
        (KeyError("x"), "KeyError: 'x'. This is a bug in avshot", 1),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum", 1),
        (RuntimeError("first line\nsecond"), "RuntimeError: first line. This is a bug in avshot", 1),
        (RuntimeError(), "RuntimeError. This is a bug in avshot", 1),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "UnicodeDecodeError: 'utf-8' codec", 1),
        (MemoryError(), "there is not enough memory for this (no more is left).", 1),
        (RuntimeError("alloc_cpu.cpp: can't allocate memory: 9 bytes"), "there is not enough memory", 1),
        (KeyboardInterrupt(), GO_ON, 130),
        (chained(ImportError("numpy failed to import"), KeyboardInterrupt()), GO_ON, 130),
    ],
)
def test_one_line_for_every_error(error, words, code):
    told, found = last_words(error)
    assert told.startswith(words)
    assert "\n" not in told
    assert found == code
