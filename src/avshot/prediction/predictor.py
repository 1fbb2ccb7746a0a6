"""From a raw video and class names to a ranking with probabilities, and to what the decision rested on.

A finished Run is enough: it names the extractors and text encoders, holds weights, calibration and temperature.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from avshot.classes.names import tidy_all
from avshot.errors import BadMedia, BadSetting, MissingFile, WrongRun, told_as
from avshot.machine.device import check_device
from avshot.machine.draws import sole_draws
from avshot.method import Method
from avshot.prediction.attribution import Moment, log_odds, modality_shares, moments
from avshot.prediction.batch import Failed, answers
from avshot.prediction.lists import ClassLists
from avshot.prediction.manners import Manner, Pair, actions_of, asked_pairs, assumed_action, manners
from avshot.prediction.notes import EMPTY, WORDS, clip_notes, has
from avshot.prediction.novelty import strangeness
from avshot.prediction.prediction import Guess, Prediction
from avshot.prediction.upload import LARGEST, Video, on_disk
from avshot.run import Run
from avshot.runs.knowledge import about, doubts
from avshot.training.finite import checked_scores
from avshot.types import MODALITIES, Classes, Clip, Features

if TYPE_CHECKING:
    from avshot.features.describe import Described, Job

__all__ = ["Failed", "Guess", "Manner", "Moment", "Prediction", "Predictor"]

# The temperature rises by this power of how far out a clip lies. With 1 a real clip got a class of the rendered world
# at 74 %, with 2 none of 27 reached 50 %, and clips of that world kept their probabilities (docs/protocol.md).
FLATTENING = 2
_log = logging.getLogger(__name__)


class Predictor:
    """A Run opened for prediction; loads the model, the extractors and the class embeddings once.

    Several threads may use one Predictor: what it keeps is made once, what was handed out does not change any more, and
    scoring changes nothing. While a list of class names is embedded, predictions with other lists go on.

    Args:
        run: A finished Run.
        device: torch device.
    """

    def __init__(self, run: Run, device: str = "cpu") -> None:
        check_device(device)
        self.run, self.device = run, device
        self.model: Method = run.method(device)
        self._lists = ClassLists(run, self.model, device)
        self._usual = run.familiar()
        self._lock = threading.Lock()
        self._made: Job | None = None

    def classes(self, names: Sequence[str] | None = None) -> Classes:
        """Candidate classes `names`, in that order and spelling; None takes the Run's own (`Names.classes`).

        The last 32 lists of names are kept. Raises ValueError for names that the Run cannot embed.
        """
        return self._lists.ready(names)[0]

    def candidates(
        self, names: Sequence[str] | None = None, pairs: tuple[Pair, ...] | None = None
    ) -> tuple[Classes, Method]:
        """As `classes`, with the method that scores them; `pairs` says which action and adverb each name is."""
        return self._lists.ready(names, pairs)

    @property
    def _job(self) -> Job:
        """The Run's extractors, made once and with their weights loaded: threads would load them once each."""
        with self._lock:
            if self._made is None:
                started, made = time.perf_counter(), self._extractors()
                with sole_draws():  # loading weights may draw some
                    made.warm_up()
                self._made = made
                _log.info("extractors of %s ready in %.2f s", self.run.path, time.perf_counter() - started)
            return self._made

    def _extractors(self) -> Job:
        from avshot.features.describe import Job
        from avshot.features.extractor import extractor_of

        spec = self.run.info["features"]
        if not any(isinstance(spec.get(m), dict) and "version" in spec[m] for m in MODALITIES):
            raise WrongRun(
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
        features, described, duration = self._described(clip, clip.path)
        return features, described.status, duration

    def _described(self, clip: Clip, name: str) -> tuple[Features, Described, float]:
        from avshot.media import read

        job, started = self._job, time.perf_counter()
        with told_as(BadSetting):
            media = read(clip.path, start=clip.start, end=clip.end, **job.request())
        described = job.describe_media(media)
        if described.status.startswith("error"):
            kind = BadMedia if os.path.exists(clip.path) else MissingFile
            raise kind(f"{name} cannot be used: {described.status.removeprefix('error: ').rstrip('.')}.")
        took = time.perf_counter() - started
        _log.info("%s (%.1f s, %s) described in %.2f s", name, media.duration, described.status, took)
        features = Features.from_sequences(
            [described.audio],
            [described.visual],
            [described.audio_time],
            [described.visual_time],
            dims=(self.run.inputs.audio, self.run.inputs.visual),
        )
        return features.only(self.run.shown), described, media.duration

    def predict(
        self,
        video: Video,
        classes: Sequence[str] | None = None,
        *,
        action: str | None = None,
        adverbs: Sequence[str] | None = None,
        top: int | None = None,
        largest: int = LARGEST,
    ) -> Prediction:
        """Rank classes for one video; of a Run of the task adverb: how something is done.

        Args:
            video: A path, a `file://` URL, a `Clip` with a time span, the bytes of a file, or a file that is open for
                reading bytes. Content is put into a private temporary file while it is read.
            classes: Candidate names in free text; None takes the Run's own.
            action: What is done, in free text, where the Run's classes are pairs of an action and an adverb; None
                assumes one of the Run's, and says which.
            adverbs: The manners to choose from, in free text; None takes the Run's own. In place of `classes`, as is
                `action`.
            top: How many classes to keep in the ranking, at least 1; None keeps all.
            largest: Most bytes of content that are taken; a file that is named may have any size.

        Raises:
            ValueError: A subclass of `avshot.errors.AvshotError` says which kind: not one video, the file cannot be
                read, is too large or holds neither sound nor picture, or the class names are not usable.
        """
        _check_top(top)
        asked = self._asked(classes, action, adverbs)
        with on_disk(video, largest=largest) as (clip, name):
            candidates, model = self._lists.ready(*asked)
            found = self._predicted(clip, name, candidates, model, top, free=classes is not None)
        for note in found.notes:
            _log.info("%s: %s", name, note)
        return found

    def predict_many(
        self,
        videos: Iterable[Video],
        classes: Sequence[str] | None = None,
        *,
        action: str | None = None,
        adverbs: Sequence[str] | None = None,
        top: int | None = None,
        workers: int | None = None,
        largest: int = LARGEST,
    ) -> Iterator[Prediction | Failed]:
        """Rank classes for many videos, several at a time; what it says of each is what `predict` says.

        Args:
            videos: Any number, each as for `predict`; may be a generator, which is read a little ahead.
            classes: As for `predict`, for all of them.
            action: Likewise.
            adverbs: Likewise.
            top: As for `predict`.
            workers: Threads that describe and score, at least 1; None takes one for each core.
            largest: As for `predict`.

        Returns:
            An iterator with one answer per video, in order: a `Prediction`, or a `Failed` with the error for a video
            that cannot be used. The other videos go on.

        Raises:
            ValueError: At once, before any video is read: the class names or a setting are not usable, or `videos` is
                a single one.
        """
        _check_top(top)
        names = None if classes is None else tidy_all(classes)
        self._lists.ready(*self._asked(names, action, adverbs))

        def one(video: Video) -> Prediction:
            return self.predict(video, names, action=action, adverbs=adverbs, top=top, largest=largest)

        return answers(one, videos, workers=workers)

    def _asked(
        self, classes: Sequence[str] | None, action: str | None, adverbs: Sequence[str] | None
    ) -> tuple[Sequence[str] | None, tuple[Pair, ...] | None]:
        """Names of candidates, and the pairs that they are where an action or adverbs were given."""
        if action is None and adverbs is None:
            return classes, None
        if classes is not None:
            raise BadSetting("Give class names, or an action and adverbs, and not both.")
        pairs = asked_pairs(self._lists.known, action, adverbs)
        return [f"{action} {adverb}" for action, adverb in pairs], pairs

    def _predicted(
        self, clip: Clip, name: str, candidates: Classes, model: Method, top: int | None, *, free: bool
    ) -> Prediction:
        """What is said of a clip. Pairs of several actions are ranked as classes where they were named (`free`)."""
        features, described, duration = self._described(clip, name)
        self._check_usable(name, features, described.empty)
        used = features.prefer(self.run.view)
        strange = self._strangeness(used)
        heat = _heat(strange)
        p = self._log_probabilities(used, candidates, heat, name=name, model=model)[0].exp()
        action, assumed, several = "", None, actions_of(candidates)
        if len(several) == 1:
            (action,) = several
        elif several and not free:
            action, assumed, candidates = assumed_action(p, candidates)
            p = self._log_probabilities(used, candidates, heat, name=name, model=model)[0].exp()
        order = p.argsort(descending=True, stable=True).tolist()
        names, few = candidates.names, self._lists.few(candidates.names)
        guesses = [Guess(names[i], float(p[i]), bool(candidates.seen[i]), few.get(names[i])) for i in order]

        def evidence(views: Features) -> Tensor:
            return log_odds(self._log_probabilities(views, candidates, name=name, model=model), order[0])

        return Prediction(
            video=name,
            status=described.status,
            duration=duration,
            ranking=tuple(guesses[:top]),
            modality=modality_shares(used, evidence, self._usual),
            moments=moments(used, evidence, self._usual, start=clip.start or 0.0, duration=duration),
            notes=(
                *doubts(self.run.info["knows"]),
                *clip_notes(self.run, self._read(), features, used, described, strange, len(candidates)),
                *described.notes,
            ),
            about=about(self.run.info["knows"]),
            action=action,
            assumed=assumed,
            manners=manners(p, candidates)[:top] if action else (),
        )

    def _check_usable(self, name: str, features: Features, empty: Sequence[str]) -> None:
        missing = [
            f"{WORDS[m]} (it is {EMPTY[m]})" if m in empty else WORDS[m] for m in self._read() if not has(features, m)
        ]
        if not any(has(features, m) for m in MODALITIES) or (missing and not self.model.needs.missing_modality):
            raise BadMedia(f"{name} has no {' and no '.join(missing)}, which this Run needs.")

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
            if has(features, name) and f"{name}/limit" in self._usual
        }


def _heat(strange: dict[str, float]) -> float:
    """By what the temperature of a clip rises that lies so far out."""
    return max([1.0, *strange.values()]) ** FLATTENING


def _check_top(top: int | None) -> None:
    if top is not None and top < 1:
        raise BadSetting(f"top is {top}; expected at least 1, or None for all classes.")
