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

from torch import Tensor

from avshot.classes.names import tidy_all
from avshot.errors import BadMedia, BadSetting, MissingFile, told_as
from avshot.machine.device import check_device
from avshot.machine.draws import sole_draws
from avshot.method import Method
from avshot.prediction.attribution import Moment, log_odds, modality_shares, moments
from avshot.prediction.batch import Failed, answers
from avshot.prediction.describing import extractors_of
from avshot.prediction.lists import ClassLists, Ready
from avshot.prediction.manners import Manner, Pair, actions_of, asked_names, assumed_action, manners
from avshot.prediction.notes import EMPTY, WORDS, clip_notes, has
from avshot.prediction.novelty import strangeness
from avshot.prediction.prediction import Guess, Prediction
from avshot.prediction.probabilities import Probabilities
from avshot.prediction.upload import LARGEST, Video, on_disk
from avshot.run import Run
from avshot.runs.knowledge import about, doubts, few_clips, learnt_later
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
        self._probabilities = Probabilities(run, self.model, device)
        self._few = few_clips(run.info)
        self._taught = {one["name"]: one["clips"] for one in run.info["taught"]}
        self._usual = run.familiar()
        self._lock = threading.Lock()
        self._made: Job | None = None

    def classes(self, names: Sequence[str] | None = None) -> Classes:
        """Candidate classes `names`, in that order and spelling; None takes the Run's own (`Names.classes`).

        The last 32 lists of names are kept. Raises ValueError for names that the Run cannot embed.
        """
        return self._lists.ready(names).classes

    def candidates(self, names: Sequence[str] | None = None, pairs: tuple[Pair, ...] | None = None) -> Ready:
        """As `classes`, with the method that scores them; `pairs` says which action and adverb each name is."""
        return self._lists.ready(names, pairs)

    @property
    def _job(self) -> Job:
        """The Run's extractors, made once and with their weights loaded: threads would load them once each."""
        with self._lock:
            if self._made is None:
                started, made = time.perf_counter(), extractors_of(self.run)
                with sole_draws():  # loading weights may draw some
                    made.warm_up()
                self._made = made
                _log.info("extractors of %s ready in %.2f s", self.run.path, time.perf_counter() - started)
            return self._made

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

    def read(self, video: Video, *, largest: int = LARGEST) -> Features:
        """One video as the method is shown it: features of 1 clip. Arguments and errors as for `predict`."""
        with on_disk(video, largest=largest) as (clip, name):
            features, described, _ = self._described(clip, name)
            self._check_usable(name, features, described.empty)
            return features

    def probabilities(self, features: Features, classes: Sequence[str] | None = None) -> Tensor:
        """Probabilities `[clip, class]` of clips whose features are at hand, made by the Run's extractors.

        Args:
            features: Any number of clips.
            classes: As for `predict`.
        """
        used = features.only(self.run.shown).prefer(self.run.view)
        return self._probabilities.log(used, self._lists.ready(classes), ["a clip"] * len(used)).exp()

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
        asked = asked_names(self._lists.known, classes, action, adverbs)
        with on_disk(video, largest=largest) as (clip, name):
            found = self._predicted(clip, name, self._lists.ready(*asked), top, free=classes is not None)
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
        self._lists.ready(*asked_names(self._lists.known, names, action, adverbs))

        def one(video: Video) -> Prediction:
            return self.predict(video, names, action=action, adverbs=adverbs, top=top, largest=largest)

        return answers(one, videos, workers=workers)

    def _predicted(self, clip: Clip, name: str, asked: Ready, top: int | None, *, free: bool) -> Prediction:
        """What is said of a clip. Pairs of several actions are ranked as classes where they were named (`free`)."""
        features, described, duration = self._described(clip, name)
        self._check_usable(name, features, described.empty)
        used, candidates = features.prefer(self.run.view), asked.classes
        strange = self._strangeness(used)
        heat, action, assumed = max([1.0, *strange.values()]) ** FLATTENING, "", None
        p = self._probabilities.log(used, asked, [name], heat)[0].exp()
        several = actions_of(candidates)
        if len(several) == 1:
            (action,) = several
        elif several and not free:
            action, assumed, own = assumed_action(p, candidates)
            asked = asked.only(own)
            candidates = asked.classes
            p = self._probabilities.log(used, asked, [name], heat)[0].exp()
        order = p.argsort(descending=True, stable=True).tolist()
        guesses = [self._guess(asked, i, float(p[i])) for i in order]

        def evidence(views: Features) -> Tensor:
            return log_odds(self._probabilities.log(views, asked, [name] * len(views)), order[0])

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
            about=" ".join(filter(None, (about(self.run.info["knows"]), learnt_later(self.run.info["taught"])))),
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

    def _guess(self, asked: Ready, i: int, p: float) -> Guess:
        name, seen, own = asked.classes.names[i], bool(asked.classes.seen[i]), asked.meant[i]
        return Guess(name, p, seen, self._few.get(own), self._taught.get(own, 0))

    def _strangeness(self, features: Features) -> dict[str, float]:
        """How far each modality of the clip lies from the training clips, in units of the farthest usual one."""
        pooled = dict(zip(MODALITIES, features.pooled(), strict=True))
        return {
            name: float(strangeness(pooled[name], self._usual, name)[0])
            for name in MODALITIES
            if has(features, name) and f"{name}/limit" in self._usual
        }


def _check_top(top: int | None) -> None:
    if top is not None and top < 1:
        raise BadSetting(f"top is {top}; expected at least 1, or None for all classes.")
