"""The command line: `app` parses, one file per command prints what quiet functions return."""

from __future__ import annotations


def main() -> None:
    """Run the command line: where installations of avshot 0.1 that were updated in place look for it."""
    from avshot.cli.app import main as run

    run()
