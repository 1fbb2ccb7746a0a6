"""How long `avshot --help` and `import avshot` take beside an empty Python, and their memory."""

from __future__ import annotations

import subprocess
import sys

from measure import Target, interleaved, keep, options

from avshot.terminal.tables import print_table

LIMIT = 0.5  # seconds that `avshot --help` may take
SHOWN = 8  # modules named when it takes longer
PROGRAMS = {
    "python -c pass": "pass",
    "import avshot": "import avshot",
    "avshot --help": "import sys; from avshot.cli.app import main; sys.argv = ['avshot', '--help']; main()",
}
# The peak of the process itself; the system's own count begins with what the process that started it had.
MEMORY = """import atexit, sys
atexit.register(lambda: print(*[l for l in open("/proc/self/status") if l.startswith("VmHWM")], file=sys.stderr))
"""


def run() -> list[Target]:
    """Whole processes, in turn, median of several."""
    works = {name: lambda code=code: _run(code) for name, code in PROGRAMS.items()}
    seconds = interleaved(works, 3 if options.quick else 11)
    memory = {name: int(_run(MEMORY + code).stderr.split()[-2]) / 1024 for name, code in PROGRAMS.items()}
    target = Target("avshot --help", seconds["avshot --help"], LIMIT, "s", higher_is_better=False)
    rows = [[name, f"{1000 * seconds[name]:.0f}", f"{memory[name]:.0f}", "", ""] for name in PROGRAMS]
    rows[-1][3:] = [f"{1000 * LIMIT:.0f}", target.verdict]
    print_table("start-up: whole processes", ["program", "ms", "peak MB", "target ms", "verdict"], rows)
    if not target.reached:
        slowest = offenders(_run(PROGRAMS["avshot --help"], "-X", "importtime").stderr)[:SHOWN]
        cells = [[name, f"{milliseconds:.0f}"] for name, milliseconds in slowest]
        print_table("what it imports: time in the module itself", ["module", "ms"], cells)
    keep("startup", {"seconds": seconds, "peak_mb": memory})
    return [target]


def _run(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)


def offenders(report: str) -> list[tuple[str, float]]:
    """Modules and their own milliseconds, slowest first, from what `python -X importtime` writes."""
    found = []
    for line in report.splitlines():
        head, _, rest = line.partition("import time:")
        own, _, rest = rest.partition("|")
        if not head and own.strip().isdigit():
            found.append((rest.partition("|")[2].strip(), int(own) / 1000))
    return sorted(found, key=lambda pair: -pair[1])
