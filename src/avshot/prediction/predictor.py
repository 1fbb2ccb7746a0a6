"""From a raw video and class names to a ranking with probabilities, and to what the decision rested on.

A finished Run is enough: it names the extractors and text encoders, holds weights, calibration and temperature.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from avshot.classes.names import tidy_all
from avshot.machine.device import check_device
from avshot.method import Method
from avshot.prediction.attribution import Moment, log_odds, modality_shares, moments
from avshot.prediction.names import Names
from avshot.prediction.novelty import strangeness
from avshot.prediction.prediction import Guess, Prediction
from avshot.prediction.video import one_clip
from avshot.run import Run
from avshot.runs.knowledge import about, doubts
from avshot.training.finite import checked_scores
from avshot.types import MODALITIES, Classes, Clip, Features

if TYPE_CHECKING:
    from avshot.features.describe import Described, Job

__all__ = ["Guess", "Moment", "Prediction", "Predictor"]

# The temperature rises by this power of how far out a clip lies. With 1 a real clip got a class of the rendered world
# at 74 %, with 2 none of 27 reached 50 %, and clips of that world kept their probabilities (docs/protocol.md).
FLATTENING = 2
LISTS = 32  # of class names that are kept ready
_WORDS = {"audio": "sound", "visual": "picture"}
_EMPTY = {"audio": "silent", "visual": "black"}


class Predictor:
    """A Run opened for prediction; loads the model, the extractors and the class embeddings once.

    Several threads may use one Predictor: what it keeps is made once under a lock, and scoring changes nothing.

    Args:
        run: A finished Run.
        device: torch device.
    """

    def __init__(self, run: Run, device: str = "cpu") -> None:
        check_device(device)
        self.run, self.device = run, device
        self.model: Method = run.method(device)
        closed = ""
        if not self.model.needs.open_vocabulary and not self.model.adapts():
            closed = f"Method {run.experiment.method!r} knows only its own {len(run.classes())} classes"
        self._names = Names(run, closed)
        self._usual = run.familiar()
        self._lists: OrderedDict[tuple[str, ...], tuple[Classes, Method]] = OrderedDict()
        self._lock = threading.RLock()
        self._made: Job | None = None

    def classes(self, names: Sequence[str] | None = None) -> Classes:
        """Candidate classes `names`, in that order and spelling; None takes the Run's own (`Names.classes`).

        The last `LISTS` lists of names are kept. Raises ValueError for names that the Run cannot embed.
        """
        return self._prepared(names)[0]

    def _prepared(self, names: Sequence[str] | None) -> tuple[Classes, Method]:
        """Candidates, and the method that scores them."""
        if names is None:
            return self._names.known, self.model
        wanted = tidy_all(names)
        with self._lock:
            if wanted not in self._lists:
                candidates = self._names.classes(wanted)
                self._lists[wanted] = (candidates, self._adapted(candidates))
                if len(self._lists) > LISTS:
                    self._lists.popitem(last=False)
            self._lists.move_to_end(wanted)
            return self._lists[wanted]

    def _adapted(self, candidates: Classes) -> Method:
        """The model; where it scores nothing but the candidates it has adapted to, one that has adapted to these.

        It knows the Run's classes from their clips. With a new name among them it has to learn all candidates from what
        it kept, without clips.
        """
        if self.model.needs.open_vocabulary or not self.model.adapts():
            return self.model
        if _rows(candidates) <= _rows(self._names.known):
            return self.model
        model = self.run.method(self.device)
        torch.manual_seed(self.run.experiment.seed)
        model.adapt(None, candidates.to(self.device))
        return model

    @property
    def _job(self) -> Job:
        """The Run's extractors, made once."""
        with self._lock:
            if self._made is None:
                self._made = self._extractors()
            return self._made

    def _extractors(self) -> Job:
        from avshot.features.describe import Job
        from avshot.features.extractor import extractor_of

        spec = self.run.info["features"]
        if not any(isinstance(spec.get(m), dict) and "version" in spec[m] for m in MODALITIES):
            raise ValueError(
                f"The Run in {self.run.path} was trained on ready-made features ({spec or 'unnamed'}), so it cannot "
                "describe a raw video; train on a dataset made by `avshot dataset` and `avshot extract`."
            )
        audio, visual = (None if spec.get(m) is None else extractor_of(spec[m]) for m in MODALITIES)
        return Job(audio, visual, store="")

    def features(self, clip: Clip) -> tuple[Features, str, float]:
        """Decode and describe one clip with the Run's extractors: `(features of 1 clip, status, seconds)`.

        Raises:
            ValueError: The file cannot be read at all, or the Run was trained on features without extractors.
        """
        features, described, duration = self._described(clip)
        return features, described.status, duration

    def _described(self, clip: Clip) -> tuple[Features, Described, float]:
        from avshot.media import read

        media = read(clip.path, start=clip.start, end=clip.end, **self._job.request())
        described = self._job.describe_media(media)
        if described.status.startswith("error"):
            raise ValueError(f"{clip.path} cannot be used: {described.status.removeprefix('error: ').rstrip('.')}.")
        features = Features.from_sequences(
            [described.audio],
            [described.visual],
            [described.audio_time],
            [described.visual_time],
            dims=(self.run.inputs.audio, self.run.inputs.visual),
        )
        return features.only(self.run.shown), described, media.duration

    def predict(
        self, video: str | Path | Clip, classes: Sequence[str] | None = None, *, top: int | None = None
    ) -> Prediction:
        """Rank classes for one video.

        Args:
            video: A file, or a `Clip` with a time span.
            classes: Candidate names in free text; None takes the Run's own.
            top: How many classes to keep in the ranking, at least 1; None keeps all.

        Raises:
            ValueError: Not one video, the file cannot be read, holds neither sound nor picture, or the class names are
                not usable.
        """
        if top is not None and top < 1:
            raise ValueError(f"top is {top}; expected at least 1, or None for all classes.")
        clip = one_clip(video)
        candidates, model = self._prepared(classes)
        features, described, duration = self._described(clip)
        self._check_usable(clip, features, described.empty)
        used = features.prefer(self.run.view)
        strange = self._strangeness(used)
        p = self._log_probabilities(used, candidates, _heat(strange), name=clip.id, model=model)[0].exp()
        order = p.argsort(descending=True, stable=True).tolist()
        guesses = [Guess(candidates.names[i], float(p[i]), bool(candidates.seen[i])) for i in order]

        def evidence(views: Features) -> Tensor:
            return log_odds(self._log_probabilities(views, candidates, name=clip.id, model=model), order[0])

        return Prediction(
            video=clip.path,
            status=described.status,
            duration=duration,
            ranking=tuple(guesses[:top]),
            modality=modality_shares(used, evidence, self._usual),
            moments=moments(used, evidence, self._usual, start=clip.start or 0.0, duration=duration),
            notes=(
                *doubts(self.run.info["knows"]),
                *self._notes(features, used, described, strange, len(candidates)),
                *described.notes,
            ),
            about=about(self.run.info["knows"]),
        )

    def _check_usable(self, clip: Clip, features: Features, empty: Sequence[str]) -> None:
        missing = [
            f"{_WORDS[name]} (it is {_EMPTY[name]})" if name in empty else _WORDS[name]
            for name in self._read()
            if not _has(features, name)
        ]
        if not any(_has(features, name) for name in MODALITIES) or (missing and not self.model.needs.missing_modality):
            raise ValueError(f"{clip.path} has no {' and no '.join(missing)}, which this Run needs.")

    def _read(self) -> list[str]:
        """Modalities that the model was trained to read."""
        modality, spec = self.run.shown, self.run.info["features"]
        return [m for m in MODALITIES if modality in ("both", m) and spec.get(m) is not None]

    @torch.inference_mode()
    def _log_probabilities(
        self, features: Features, classes: Classes, heat: float = 1.0, *, name: str = "", model: Method | None = None
    ) -> Tensor:
        """`[view, class]` of views of clip `name`, in double precision: a confident model's evidence is in the tail."""
        model = self.model if model is None else model
        scores = model.score(features.to(self.device), classes.to(self.device)).cpu().double()
        scores = checked_scores(model.name, scores, features, classes, [name] * len(features))
        lowered = self.run.task.apply(scores, classes.seen, self.run.settings)
        return torch.log_softmax(lowered / (self.run.temperature * heat), dim=1)

    def _strangeness(self, features: Features) -> dict[str, float]:
        """How far each modality of the clip lies from the training clips, in units of the farthest usual one."""
        pooled = dict(zip(MODALITIES, features.pooled(), strict=True))
        return {
            name: float(strangeness(pooled[name], self._usual, name)[0])
            for name in MODALITIES
            if _has(features, name) and f"{name}/limit" in self._usual
        }

    def _notes(
        self, there: Features, used: Features, described: Described, strange: dict[str, float], n_classes: int
    ) -> Iterator[str]:
        for name, other in (("audio", "visual"), ("visual", "audio")):
            if name in self._read() and not _has(there, name):
                why = (
                    f"The {_WORDS[name]} is {_EMPTY[name]}"
                    if name in described.empty
                    else f"There is no {_WORDS[name]}"
                )
                yield f"{why}; the {_WORDS[other]} alone decided."
            elif _has(there, name) and not _has(used, name):
                yield f"The {_WORDS[other]} alone decided: validation went better without the {_WORDS[name]}."
        if self.run.shown != self.run.experiment.modality and len(self.run.inputs.modalities) > 1:
            yield f"No training clip had anything but {_WORDS[self.run.shown]}, so nothing else of this one was used."
        if described.status == "truncated":
            yield "The file ends early; only the part that is there was used."
        if n_classes == 1:
            yield "Only one class was named, so its probability is 1 whatever the video holds."
        far = [f"its {_WORDS[name]} lies {factor:.1f} times" for name, factor in strange.items() if factor > 1]
        if far:
            yield (
                f"This clip is unlike anything it was trained on ({' and '.join(far)} as far out as usual clips go at "
                "most): take the ranking as a guess; its probabilities were flattened."
            )


def _heat(strange: dict[str, float]) -> float:
    """By what the temperature of a clip rises that lies so far out."""
    return max([1.0, *strange.values()]) ** FLATTENING


def _rows(classes: Classes) -> set[tuple[float, ...]]:
    """The class embeddings, to see whether two lists of classes share them."""
    return {tuple(row) for row in torch.cat(list(classes.text.values()), dim=1).tolist()}


def _has(features: Features, modality: str) -> bool:
    return bool(features.has_audio[0] if modality == "audio" else features.has_visual[0])
