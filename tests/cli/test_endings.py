"""Last words and exit codes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from avshot.cli.endings import GO_ON, last_words


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


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_during_an_import_is_not_lost(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import time\nprint('importing', flush=True)\ntry:\n    time.sleep(0.5)\nexcept BaseException:\n    pass\n"
    )
    code = (
        "import avshot.cli.endings as endings, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # who starts tests with & has it ignored
        "endings.watch_interrupts()\n"
        "try:\n    import swallows\n    print('imported', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    endings.stop()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "importing\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out in ("", "imported\n")
    assert error == f"avshot: {GO_ON}\n"
