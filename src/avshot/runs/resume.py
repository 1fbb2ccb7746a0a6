"""What is left of an unfinished Run: used where it is whole and fits together, else removed, and said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from avshot.files.atomic import file_digest, load_sealed, load_tensors, save_sealed
from avshot.terminal.callbacks import Say
from avshot.training.checkpoint import load_history
from avshot.training.selection import last_file


def keep_choice(folder: Path, chosen: dict[str, Any], history: dict[str, Any], best: Path) -> None:
    """Write `stage1.json`: what stage 1 chose, its history, and the digest of the scores it was chosen by."""
    best = last_file(best, history.get("starts", ()))
    scores = file_digest(best) if best.exists() else None
    save_sealed(folder / "stage1.json", {"chosen": chosen, "history": history, "scores": scores})


def kept_choice(folder: Path, best: Path, say: Say) -> dict[str, Any] | None:
    """What `keep_choice` wrote; None where stage 1 is not done, or where it has to be gone through again.

    Where the choice is damaged the checkpoint of the last epoch gives it back; where the scores are, all of it is
    trained again.
    """
    done = folder / "stage1.json"
    if not os.path.lexists(done):
        return None
    try:
        record = load_sealed(done)
    except ValueError as error:
        say(f"{error} It is chosen again.")
        done.unlink()
        return None
    best = last_file(best, record["history"].get("starts", ()))
    if "settings" in record["chosen"] and record["scores"] == _digest(best):
        return record
    why = "is missing or damaged" if "settings" in record["chosen"] else "is of avshot 0.1"
    say(f"{best} {why}; stage 1 is trained again.")
    for name in ("stage1.json", "stage*.checkpoint", "stage1*.safetensors"):
        for file in folder.glob(name):
            file.unlink(missing_ok=True)
    return None


def _digest(file: Path) -> str | None:
    try:
        return file_digest(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(error)


def check_stage(checkpoint: Path, best: Path | None, say: Say) -> None:
    """Before a stage is trained: see whether its files are whole and of one training; it begins anew otherwise.

    Args:
        checkpoint: State of the stage after its last epoch; need not be there.
        best: Scores and weights of the best epoch so far, where the stage is judged.
        say: Told what was wrong.
    """
    files = [file for file in (checkpoint, best) if file is not None]
    if not os.path.lexists(checkpoint):
        if best is not None:
            best.unlink(missing_ok=True)  # killed in the first epoch, between the two files
        return
    try:
        history = load_history(checkpoint)
        scores = history.scores[history.starts[-1] if history.starts else 0 :]
        best = None if best is None else last_file(best, history.starts)
        kept = None if best is None else float(load_tensors(best)[0]["best"])
        if kept is not None and kept < max(scores, default=kept):
            raise ValueError(f"{best} is older than {checkpoint}.")
    except (ValueError, KeyError) as error:
        say(f"{error} {checkpoint.stem} is trained again from its beginning.")
        for file in files:
            file.unlink(missing_ok=True)
