"""From a raw video and class names to a ranking with probabilities, and to what the decision rested on.

A finished Run is enough: it names the extractors and text encoders, holds weights, calibration and temperature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from avshot.classes.candidates import joined
from avshot.classes.names import tidy_all
from avshot.classes.phrase import join_key
from avshot.machine.device import check_device
from avshot.method import Method
from avshot.prediction.attribution import Moment, log_odds, modality_shares, moments
from avshot.prediction.names import check_space, texts_of
from avshot.prediction.novelty import distance_to_usual
from avshot.prediction.prediction import Guess, Prediction
from avshot.prediction.video import one_clip
from avshot.run import Run
from avshot.training.finite import checked_scores
from avshot.types import MODALITIES, Classes, Clip, Features

if TYPE_CHECKING:
    from avshot.features.describe import Described, Job

__all__ = ["Guess", "Moment", "Prediction", "Predictor"]

_WORDS = {"audio": "sound", "visual": "picture"}
_EMPTY = {"audio": "silent", "visual": "black"}


class Predictor:
    """A Run opened for prediction; loads the model, the extractors and the class embeddings once.

    Args:
        run: A finished Run.
        device: torch device.
    """

    def __init__(self, run: Run, device: str = "cpu") -> None:
        check_device(device)
        self.run, self.device = run, device
        self.model: Method = run.method(device)
        self._known = run.classes()
        self._named: tuple[tuple[str, ...], Classes] | None = None
        self._usual = run.familiar()
        self._same_space = False
        self._adapted: Classes | None = None  # candidates that a method without an open vocabulary learnt last

    def classes(self, names: Sequence[str] | None = None) -> Classes:
        """Candidate classes `names`, in that order and spelling; None takes the Run's own.

        A class of the Run keeps the embedding it was trained with, however its name is written (case, spaces and
        punctuation do not matter). Others are embedded by the Run's text encoder; where the Run optimised its class
        embeddings, new names are optimised jointly with the Run's, and only the rows of the new names are taken.

        Raises:
            ValueError: No names, a name given twice, or a class that this Run cannot embed.
        """
        if names is None:
            self._adapt(self._known)
            return self._known
        wanted = tidy_all(names)
        if self._named is None or self._named[0] != wanted:
            self._named = (wanted, self._embedded(wanted))
        self._adapt(self._named[1])
        return self._named[1]

    def _adapt(self, candidates: Classes) -> None:
        """Prepare a method that scores nothing but the candidates it has adapted to.

        It knows the Run's classes from their clips. With a new name among them it has to learn all candidates from what
        it kept, without clips.
        """
        if self.model.needs.open_vocabulary or not self.model.adapts() or candidates is self._adapted:
            return
        if _rows(candidates) <= _rows(self._known):
            if self._adapted is not None:
                self.model, self._adapted = self.run.method(self.device), None
            return
        torch.manual_seed(self.run.experiment.seed)
        self.model.adapt(None, candidates.to(self.device))
        self._adapted = candidates

    def _embedded(self, wanted: tuple[str, ...]) -> Classes:
        if not wanted:
            raise ValueError('Got no class names; name the candidate classes, for example "dog barking, rain".')
        spelt = self._spellings()
        meant = [name if name in self._known.names else spelt.get(join_key(name), name) for name in wanted]
        count = Counter(meant)
        twice = [f"{name!r} = {other!r}" for name, other in zip(wanted, meant, strict=True) if count[other] > 1]
        if twice:  # by the words that the dataset gave for a class: no list of names shows that
            raise ValueError(f"Class names that mean one class of the Run: {', '.join(twice)}; name it once.")
        new = [name for name in meant if name not in self._known.names]
        picked = (self._with(new) if new else self._known).select(meant)
        return Classes(wanted, picked.text, picked.seen)

    def _spellings(self) -> dict[str, str]:
        """`{join_key of a name or of its words: class of the Run}`, where one class is meant; names win over words."""
        words = self.run.info["data"].get("phrases", {})
        return _by_key((text, name) for name, text in words.items() if name in self._known.names) | _by_key(
            (name, name) for name in self._known.names
        )

    def _with(self, new: Sequence[str]) -> Classes:
        from avshot.classes.embed import embed_classes
        from avshot.classes.optimise.optimise import optimise_classes

        experiment, known = self.run.experiment, self._known
        if not self.model.needs.open_vocabulary and not self.model.adapts():
            raise ValueError(f"Method {experiment.method!r} knows only its own {len(known)} classes, not {new[0]!r}.")
        embedded = joined(embed_classes(new, experiment.text, phrases=texts_of(self.run, new)), experiment)
        if embedded.dims != known.dims:
            raise ValueError(
                f"This Run uses the class vectors {', '.join(known.text)}, which came with its dataset, so it cannot "
                f"embed {new[0]!r}; choose among its {len(known)} classes or train with a text encoder."
            )
        if not self._same_space:
            check_space(self.run)
            self._same_space = True
        names = known.names + tuple(new)
        settings = experiment.resolved_optimise()
        if settings is not None:
            raw = self.run.classes(raw=True)
            joint = {k: torch.cat([raw.text[k], embedded.text[k]]) for k in known.text}
            moved, _ = optimise_classes(Classes(names, joint, torch.zeros(len(names), dtype=torch.bool)), settings)
            embedded = moved.select(new)
        text = {k: torch.cat([known.text[k], embedded.text[k]]) for k in known.text}
        return Classes(names, text, torch.cat([known.seen, torch.zeros(len(new), dtype=torch.bool)]))

    @cached_property
    def _job(self) -> Job:
        """The Run's extractors."""
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
        candidates = self.classes(classes)
        features, described, duration = self._described(clip)
        self._check_usable(clip, features, described.empty)
        used = features.prefer(self.run.view)
        strange = self._strangeness(used)
        p = self._log_probabilities(used, candidates, heat=max([1.0, *strange.values()]), name=clip.id)[0].exp()
        order = p.argsort(descending=True, stable=True).tolist()
        guesses = [Guess(candidates.names[i], float(p[i]), bool(candidates.seen[i])) for i in order]

        def evidence(views: Features) -> Tensor:
            return log_odds(self._log_probabilities(views, candidates, name=clip.id), order[0])

        return Prediction(
            video=clip.path,
            status=described.status,
            duration=duration,
            ranking=tuple(guesses[:top]),
            modality=modality_shares(used, evidence, self._usual),
            moments=moments(used, evidence, self._usual, start=clip.start or 0.0, duration=duration),
            notes=(*self._notes(features, used, described, strange, len(candidates)), *described.notes),
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
    def _log_probabilities(self, features: Features, classes: Classes, heat: float = 1.0, name: str = "") -> Tensor:
        """`[view, class]` of views of clip `name`, in double precision: a confident model's evidence is in the tail."""
        scores = self.model.score(features.to(self.device), classes.to(self.device)).cpu().double()
        scores = checked_scores(self.model.name, scores, features, classes, [name] * len(features))
        lowered = scores - self.run.beta * classes.seen.double()
        return torch.log_softmax(lowered / (self.run.temperature * heat), dim=1)

    def _strangeness(self, features: Features) -> dict[str, float]:
        """How far each modality of the clip lies from the training clips, in units of the farthest usual one."""
        pooled = dict(zip(MODALITIES, features.pooled(), strict=True))
        return {
            name: float(distance_to_usual(pooled[name], self._usual, name)[0] / self._usual[f"{name}/limit"])
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
        for name, factor in strange.items():
            if factor > 1:
                yield (
                    f"The {_WORDS[name]} is {factor:.1f} times as unusual as the strangest training clip; take the "
                    "ranking as a guess (its probabilities were flattened by that factor)."
                )


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`{join_key(text): class}` of `(text, class)`, without texts that two classes share."""
    keyed = {(join_key(text), name) for text, name in pairs}
    count = Counter(key for key, _ in keyed)
    return {key: name for key, name in keyed if key and count[key] == 1}


def _rows(classes: Classes) -> set[tuple[float, ...]]:
    """The class embeddings, to see whether two lists of classes share them."""
    return {tuple(row) for row in torch.cat(list(classes.text.values()), dim=1).tolist()}


def _has(features: Features, modality: str) -> bool:
    return bool(features.has_audio[0] if modality == "audio" else features.has_visual[0])
