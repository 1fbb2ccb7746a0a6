"""Run the Python code blocks of a Markdown page, top to bottom, as one program, and compare what it prints.

A block whose first line is a comment with a file name (`# plain.py`) is written to that file instead of being run. In a
block with comment lines `# => text`, these are what the block prints; `...` in one stands for anything.
"""

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
