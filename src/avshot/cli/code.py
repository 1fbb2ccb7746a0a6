"""Code of somebody's own that a Run names: run only where its user names it, too."""

from __future__ import annotations

from typing import Annotated

import typer

Code = Annotated[list[str] | None, typer.Option(help="A .py file that a Run may use as its method or task.")]


def use_named(paths: list[str] | None) -> None:
    """Let Runs use these files."""
    if paths:
        from avshot.registry import use_code

        use_code(*paths)
