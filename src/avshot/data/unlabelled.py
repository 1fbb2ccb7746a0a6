"""What can be done with recordings that nobody has labelled, in sentences for whoever asks for more."""

from __future__ import annotations

import shlex
from pathlib import Path


def ways(source: str | Path) -> str:
    """What to do with recordings without labels, each as a command: label some, or ask a finished Run by names.

    Args:
        source: The folder or file they are.
    """
    place = shlex.quote(str(source))
    return (
        "To train, label some: write a table with the columns filename,label and call "
        f"`avshot dataset TABLE.csv own.toml --media {place}`, or move the files into a sub-folder for each class; "
        "then `avshot extract own.toml` and `avshot train own.toml`. Without labels, ask a Run that was trained on "
        f'others: `avshot predict RUN {place} --classes "dog barking, rain"`. It knows what its clips taught it; of '
        "names beyond them only one of pretrained features knows anything (`avshot extract --audio clap:MODEL --visual "
        "clip:MODEL`, `avshot train --method nearest_text --text clip:MODEL,clap:MODEL`)."
    )


def no_dataset(folder: str) -> str:
    """Why a folder cannot be trained on as it is, and the command that makes a dataset or says what is lacking."""
    path = Path(folder)
    store = (path / "store.json").is_file()
    videos = path.with_suffix("") if store and path.suffix == ".features" else path
    return (
        f"{folder} is a {'feature store' if store else 'folder'}, which says neither labels nor folds; training takes "
        f"a dataset .toml. `avshot dataset {shlex.quote(str(videos))} own.toml` makes one, or says what is possible "
        "where nothing is labelled."
    )
