"""A trained Run as a scorer in time: each window is a clip, described, scored and calibrated as the Run does it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.features.steps import Steps
from avshot.files.atomic import file_digest
from avshot.prediction.describing import extractors_of
from avshot.prediction.lists import ClassLists
from avshot.prediction.novelty import strangeness
from avshot.prediction.predictor import FLATTENING
from avshot.prediction.probabilities import Probabilities
from avshot.run import Run, load_run
from avshot.types import MODALITIES, Features


class RunScorer:
    """A Run that says what happens in each window of a recording.

    A Run knows its classes and nothing else: its probabilities add up to 1 over the candidates. In a window that lies
    farther out than the training clips do they are flattened, as in a prediction, and lowered by as much, so that none
    is probable where the Run has seen nothing like it.

    Args:
        run: A finished Run, or its folder.
        names: What is looked for, in free text; None takes the Run's own classes.
        window: Seconds of a window; best as long as the training clips.
        device: torch device.

    Raises:
        ValueError: No such Run, one that cannot describe videos or cannot take these names.
    """

    def __init__(
        self,
        run: Run | str | os.PathLike[str],
        names: Sequence[str] | None = None,
        *,
        window: float = 4.0,
        device: str = "cpu",
    ) -> None:
        if not 0 < window < float("inf"):
            raise BadSetting(f"The window is {window} s; expected more than 0 s.")
        self._run = run if isinstance(run, Run) else load_run(os.fspath(run))
        job, model = extractors_of(self._run), self._run.method(device)
        shown = self._run.shown
        self._audio = job.audio if shown in ("both", "audio") else None
        self._visual = job.visual if shown in ("both", "visual") else None
        self._asked = ClassLists(self._run, model, device).ready(names)
        self._probabilities = Probabilities(self._run, model, device)
        self._alone, self._usual, self._window = model.needs.missing_modality, self._run.familiar(), window

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked for."""
        return tuple(self._asked.classes.names)

    @property
    def audio(self) -> Extractor | None:
        """Describes the sound, where the Run hears."""
        return self._audio

    @property
    def visual(self) -> Extractor | None:
        """Describes the picture, where the Run sees."""
        return self._visual

    @property
    def reach(self) -> float:
        """Half a window."""
        return self._window / 2

    def key(self) -> dict[str, object]:
        """The Run by the digest of its record, which holds those of its files; names and window."""
        made = file_digest(self._run.path / "run.json")
        return {"run": made, "names": list(self.names), "window": self._window, "flattening": FLATTENING}

    def __call__(self, audio: Steps, visual: Steps, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `StepScorer`, of steps that were not normalised over their window."""
        return self.clips(*([_near(steps, centre, self.reach) for centre in time] for steps in (audio, visual)))

    @torch.inference_mode()
    def clips(self, audio: Sequence[Steps], visual: Sequence[Steps]) -> tuple[np.ndarray, np.ndarray]:
        """As `ClipScorer`: each window with its own steps."""
        features = self._features(audio, visual)
        found = np.zeros((len(features), len(self.names)), np.float32)
        sound = np.full_like(found, 0.5)
        usable = features.has_audio | features.has_visual
        if not self._alone:
            usable = features.has_audio & features.has_visual
        rows = usable.nonzero()[:, 0]
        if len(rows):
            some = features.take(rows)
            found[rows.numpy()] = self._scores(some)
            sound[rows.numpy()] = self._sound(some)
        return found, sound

    def _features(self, audio: Sequence[Steps], visual: Sequence[Steps]) -> Features:
        inputs = self._run.inputs
        rows = ([steps.vectors for steps in some] for some in (audio, visual))
        times = ([torch.from_numpy(steps.time).float() for steps in some] for some in (audio, visual))
        features = Features.from_sequences(*rows, *times, dims=(inputs.audio, inputs.visual))
        return features.only(self._run.shown).prefer(self._run.view)

    def _scores(self, features: Features) -> np.ndarray:
        heat = self._heat(features)[:, None]
        log_p = self._probabilities.log(features, self._asked, ["a window"] * len(features), heat)
        return np.asarray((log_p.exp() / heat).clamp(0, 1).float())

    def _heat(self, features: Features) -> Tensor:
        """By what the temperature of each clip rises: at least 1, more the farther out it lies."""
        heat = torch.ones(len(features), dtype=torch.float64)
        for name, pooled in zip(MODALITIES, features.pooled(), strict=True):
            if f"{name}/limit" in self._usual:
                far = strangeness(pooled, self._usual, name) ** FLATTENING
                has = features.has_audio if name == "audio" else features.has_visual
                heat = torch.where(has, torch.maximum(heat, far), heat)
        return heat

    def _sound(self, features: Features) -> np.ndarray:
        """The share of the sound: what it says alone, beside what the picture says alone."""
        shares = np.repeat(features.has_audio.float().numpy()[:, None], len(self.names), axis=1)
        both = (features.has_audio & features.has_visual).nonzero()[:, 0]
        if len(both) == 0:
            return shares
        shares[both.numpy()] = 0.5
        if self._alone:
            heard, seen = (self._scores(features.take(both).only(name)) for name in MODALITIES)
            shares[both.numpy()] = heard / np.maximum(heard + seen, 1e-9)
        return shares


def _near(steps: Steps, centre: float, reach: float) -> Steps:
    first, stop = np.searchsorted(steps.time, [centre - reach, centre + reach])
    return Steps(steps.vectors[first:stop], steps.time[first:stop] - max(0.0, centre - reach))
