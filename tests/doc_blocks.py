"""Run the Python code blocks of a Markdown page, top to bottom, as one program, and compare what it prints.

A block whose first line is a comment with a file name (`# plain.py`) is written to that file instead of being run. A
comment line `# => text` is what the program prints at that point; `...` in it stands for anything.
"""

import re
import subprocess
import sys
from pathlib import Path

FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/.-]+\.py)\n")
EXPECTED = re.compile(r"^ *# => (.*)$", re.MULTILINE)


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


def run_page(page: Path, folder: Path, before: str = "") -> None:
    """Run the page's program in `folder`, after the statements `before`; raises AssertionError where it differs."""
    program = "\n".join([before, *write_files(page, folder)])
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{page.name}:\n{done.stderr}"
    expected, found = EXPECTED.findall(program), done.stdout.splitlines()
    wrong = [f"{e!r}, printed {f!r}" for e, f in zip(expected, found, strict=False) if not matches(e, f)]
    assert not wrong and len(expected) == len(found), f"{page.name}: {wrong or (expected, found)}"
