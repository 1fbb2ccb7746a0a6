"""Run the Python code blocks of a Markdown page, top to bottom, as one program, and compare what it prints.

A block whose first line is a comment with a file name (`# plain.py`) is written to that file instead of being run. In a
block with comment lines `# => text`, these are what the block prints; `...` in one stands for anything.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/.-]+\.py)\n")
EXPECTED = re.compile(r"^ *# => (.*)$", re.MULTILINE)
MARK = "--- end of block ---"


def code_blocks(page: Path) -> list[str]:
    return FENCE.findall(page.read_text(encoding="utf-8"))


def write_files(page: Path, folder: Path) -> list[str]:
    """Write the blocks that are files to `folder`; return the others."""
    rest = []
    for block in code_blocks(page):
        named = FILE.match(block)
        if named is None:
            rest.append(block)
        else:
            (folder / named[1]).write_text(block, encoding="utf-8")
    return rest


def matches(expected: str, found: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, found) is not None


def run_page(page: Path, folder: Path, before: str = "") -> list[str]:
    """Run the page's program in `folder` after the statements `before`; return the output of each block.

    Raises AssertionError when it fails.
    """
    blocks = write_files(page, folder)
    program = before + "".join(f"\n{block}\nprint({MARK!r})\n" for block in blocks)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{page.name}:\n{done.stderr}"
    return done.stdout.split(f"{MARK}\n")[:-1]


def differences(page: Path, printed: list[str]) -> list[str]:
    """Where the output of the blocks that run is not what the page says."""
    blocks = [block for block in code_blocks(page) if FILE.match(block) is None]
    wrong = []
    for block, output in zip(blocks, printed, strict=True):
        expected, found = EXPECTED.findall(block), output.splitlines()
        if expected and (
            len(expected) != len(found) or not all(matches(e, f) for e, f in zip(expected, found, strict=True))
        ):
            wrong.append(f"{page.name} says {expected}, printed {found}")
    return wrong


SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^```toml\n(# ([\w/.-]+\.toml)\n.*?)^```$", re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> list[str]:
    """The lines of a page's `sh` blocks, in order."""
    return [line for block in SHELL.findall(page.read_text(encoding="utf-8")) for line in block.splitlines() if line]


def run_shell(page: Path, folder: Path) -> dict[str, str]:
    """What each line of the page's `sh` blocks prints on standard output, typed in `folder` beside the page's files.

    The command `avshot` is the one of this source, as pip would install it: the folder is not on Python's path. Raises
    AssertionError when a line fails.
    """
    write_files(page, folder)
    for content, name in TABLE.findall(page.read_text(encoding="utf-8")):
        (folder / name).write_text(content, encoding="utf-8")
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "avshot"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m avshot "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    printed = {}
    for line in shell_lines(page):
        done = subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{page.name}: {line}\n{done.stdout}{done.stderr}"
        printed[line] = done.stdout
    return printed
