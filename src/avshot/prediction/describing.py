"""The extractors of a Run, which describe a raw video as its training clips were described."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avshot.errors import WrongRun
from avshot.run import Run
from avshot.types import MODALITIES

if TYPE_CHECKING:
    from avshot.features.describe import Job


def extractors_of(run: Run) -> Job:
    """What describes videos for a Run. Raises ValueError for one that was trained on features made elsewhere."""
    from avshot.features.describe import Job
    from avshot.features.extractor import extractor_of

    spec = run.info["features"]
    if not any(isinstance(spec.get(m), dict) and "version" in spec[m] for m in MODALITIES):
        raise WrongRun(
            f"The Run in {run.path} was trained on ready-made features ({spec or 'unnamed'}), so it cannot "
            "describe a raw video; train on a dataset made by `avshot dataset` and `avshot extract`."
        )
    audio, visual = (None if spec.get(m) is None else extractor_of(spec[m]) for m in MODALITIES)
    return Job(audio, visual, store="")
