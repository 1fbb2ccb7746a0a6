"""From a raw video and class names to a ranking with probabilities, and to what the decision rested on.

A finished Run is enough: it names the extractors and text encoders, holds weights, calibration and temperature.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from avshot.familiar import distance_to_usual
from avshot.method import Method
from avshot.run import Run
from avshot.types import Classes, Clip, Features

MOMENTS = 8  # windows of a clip that are hidden one after the other


@dataclass(frozen=True)
class Guess:
    """One class of a ranking: its probability, and whether the model had training clips of it."""

    name: str
    probability: float
    seen: bool


@dataclass(frozen=True)
class Moment:
    """A window in seconds and its share of the decision (shares of a clip add up to 1, or are all 0)."""

    start: float
    end: float
    share: float


@dataclass(frozen=True)
class Prediction:
    """What a Run says about one video.

    Attributes:
        video: The file.
        status: "ok", or what was wrong with the file: "no_audio", "no_visual", "truncated".
        duration: Seconds.
        ranking: Classes, most probable first; probabilities add up to 1 over all candidates.
        modality: Share of the decision that rested on "audio" and on "visual": how much the log-probability of the
            first class falls when that modality is hidden. Both 0 when hiding either does not lower it.
        moments: Windows of the clip with their share of the decision, in time order.
        notes: What a reader should know: a missing modality, a truncated file, a clip unlike the training clips.
    """

    video: str
    status: str
    duration: float
    ranking: tuple[Guess, ...]
    modality: dict[str, float]
    moments: tuple[Moment, ...]
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.ranking[0].name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)


class Predictor:
    """A Run opened for prediction; loads the model once.

    Args:
        run: A finished Run.
        device: torch device.
    """

    def __init__(self, run: Run, device: str = "cpu") -> None:
        self.run, self.device = run, device
        self.model: Method = run.method(device)

    def classes(self, names: Sequence[str] | None = None) -> Classes:
        """Candidate classes `names`, in that order; None takes the Run's own.

        A name of the Run keeps the embedding it was trained with (case and surrounding spaces do not matter). Others
        are embedded by the Run's text encoder; where the Run optimised its class embeddings, new names are optimised
        jointly with the Run's names, and only the rows of the new names are taken from that.

        Raises:
            ValueError: No names, a name given twice, or a text encoder that is not at hand.
        """
        known = self.run.classes()
        if names is None:
            return known
        by_key = {name.strip().lower(): name for name in known.names}
        wanted = [by_key.get(name.strip().lower(), name.strip()) for name in names]
        if not wanted or not all(wanted):
            raise ValueError('Got an empty class name; name the candidate classes, for example "dog barking, rain".')
        new = [name for name in wanted if name not in set(known.names)]
        return (self._with(known, new) if new else known).select(wanted)

    def _with(self, known: Classes, new: Sequence[str]) -> Classes:
        from avshot.classes.embed import embed_classes
        from avshot.classes.optimise import optimise_classes
        from avshot.classes.phrase import phrases

        experiment = self.run.experiment
        texts = phrases(new, prompts=experiment.prompts, descriptions=experiment.descriptions)
        embedded = embed_classes(new, experiment.text, phrases=texts)
        if set(embedded.text) != set(known.text):
            raise ValueError(
                f"This Run uses the class vectors {', '.join(known.text)}, which came with its dataset, so it cannot "
                f"embed {new[0]!r}; choose among its {len(known)} classes or train with a text encoder."
            )
        names = known.names + tuple(new)
        settings = experiment.resolved_optimise()
        if settings is not None:
            raw = self.run.classes(raw=True)
            joint = {k: torch.cat([raw.text[k], embedded.text[k]]) for k in known.text}
            moved, _ = optimise_classes(Classes(names, joint, torch.zeros(len(names), dtype=torch.bool)), settings)
            embedded = moved.select(new)
        text = {k: torch.cat([known.text[k], embedded.text[k]]) for k in known.text}
        return Classes(names, text, torch.cat([known.seen, torch.zeros(len(new), dtype=torch.bool)]))

    def features(self, clip: Clip) -> tuple[Features, str, float]:
        """Decode and describe one clip with the Run's extractors: `(features of 1 clip, status, seconds)`.

        Raises:
            ValueError: The file cannot be read at all, or the Run was trained on features without extractors.
        """
        from avshot.features.describe import Job
        from avshot.features.extractor import extractor_of
        from avshot.media import read

        spec = self.run.info["features"]
        if not any(isinstance(spec.get(m), dict) and "version" in spec[m] for m in ("audio", "visual")):
            raise ValueError(
                f"The Run in {self.run.path} was trained on ready-made features ({spec or 'unnamed'}), so it cannot "
                "describe a raw video; train on a dataset made by `avshot dataset` and `avshot extract`."
            )
        audio, visual = (None if spec.get(m) is None else extractor_of(spec[m]) for m in ("audio", "visual"))
        job = Job(audio, visual, store="")
        media = read(clip.path, start=clip.start, end=clip.end, **job.request())
        described = job.describe_media(media)
        if described.status.startswith("error"):
            raise ValueError(f"{clip.path} cannot be used: {described.status.removeprefix('error: ')}")
        dims = (self.run.inputs.audio, self.run.inputs.visual)
        features = Features.from_sequences(
            [described.audio], [described.visual], [described.audio_time], [described.visual_time], dims=dims
        )
        return features.only(self.run.experiment.modality), described.status, media.duration

    def predict(self, video: str | Clip, classes: Sequence[str] | None = None, *, top: int | None = None) -> Prediction:
        """Rank classes for one video.

        Args:
            video: A file, or a `Clip` with a time span.
            classes: Candidate names in free text; None takes the Run's own.
            top: How many classes to keep in the ranking; None keeps all.

        Raises:
            ValueError: The file cannot be read, holds neither sound nor picture, or the class names are not usable.
        """
        clip = Clip(id=video, path=video) if isinstance(video, str) else video
        candidates = self.classes(classes)
        features, status, duration = self.features(clip)
        if not bool(features.has_audio[0] | features.has_visual[0]):
            raise ValueError(f"{clip.path} has nothing this Run can use (modality: {self.run.experiment.modality}).")
        strange = self._strangeness(features)
        log_p = self._log_probabilities(features, candidates, max([1.0, *strange.values()]))
        order = log_p[0].argsort(descending=True, stable=True)
        guesses = [
            Guess(candidates.names[i], float(log_p[0, i].exp()), bool(candidates.seen[i])) for i in order.tolist()
        ]
        winner = int(order[0])
        return Prediction(
            video=clip.path,
            status=status,
            duration=duration,
            ranking=tuple(guesses[:top]),
            modality=self._modality(features, candidates, winner),
            moments=self._moments(features, candidates, winner, duration),
            notes=_notes(features, status, strange, self.run.experiment.modality),
        )

    @torch.inference_mode()
    def _log_probabilities(self, features: Features, classes: Classes, heat: float = 1.0) -> Tensor:
        scores = self.model.score(features.to(self.device), classes.to(self.device)).cpu()
        lowered = scores - self.run.beta * classes.seen.to(scores.dtype)
        return torch.log_softmax(lowered / (self.run.temperature * heat), dim=1)

    def _strangeness(self, features: Features) -> dict[str, float]:
        """How far each modality of the clip lies from the training clips, in units of the farthest usual one."""
        file = self.run.path / "familiar.safetensors"
        if not file.exists():
            return {}
        usual = load_file(file)
        pooled = dict(zip(("audio", "visual"), features.pooled(), strict=True))
        present = {"audio": bool(features.has_audio[0]), "visual": bool(features.has_visual[0])}
        return {
            name: float(distance_to_usual(pooled[name], usual, name)[0] / usual[f"{name}/limit"])
            for name in pooled
            if present[name] and f"{name}/limit" in usual
        }

    def _modality(self, features: Features, classes: Classes, winner: int) -> dict[str, float]:
        present = {"audio": bool(features.has_audio[0]), "visual": bool(features.has_visual[0])}
        if not all(present.values()):
            return {name: float(there) for name, there in present.items()}
        if not self.model.needs.missing_modality:
            return {}
        views = Features.cat([features, features.only("visual"), features.only("audio")])
        whole, without_audio, without_visual = self._log_probabilities(views, classes)[:, winner].tolist()
        falls = [max(0.0, whole - without_audio), max(0.0, whole - without_visual)]
        total = sum(falls)
        return dict(zip(("audio", "visual"), [f / total if total > 0 else 0.0 for f in falls], strict=True))

    def _moments(self, features: Features, classes: Classes, winner: int, duration: float) -> tuple[Moment, ...]:
        edges = torch.linspace(0, max(duration, 1e-3), MOMENTS + 1).tolist()
        windows = list(itertools.pairwise(edges))
        views = [_without(features, start, end) for start, end in windows]
        kept = [bool(v.has_audio[0] | v.has_visual[0]) for v in views]
        if not all(kept):  # everything lies in one window: averaged features, or a single frame
            return (Moment(0.0, duration, 1.0),)
        log_p = self._log_probabilities(Features.cat([features, *views]), classes)[:, winner]
        falls = (log_p[0] - log_p[1:]).clamp(min=0)
        shares = (falls / falls.sum()).tolist() if float(falls.sum()) > 0 else [0.0] * MOMENTS
        return tuple(Moment(a, b, share) for (a, b), share in zip(windows, shares, strict=True))


def _without(features: Features, start: float, end: float) -> Features:
    """Hide the steps whose centre lies in [start, end) seconds, in both modalities."""

    def keep(mask: Tensor, time: Tensor) -> Tensor:
        return mask & ~((time >= start) & (time < end))

    return replace(
        features,
        audio_mask=keep(features.audio_mask, features.audio_time),
        visual_mask=keep(features.visual_mask, features.visual_time),
    )


def _notes(features: Features, status: str, strange: dict[str, float], modality: str) -> tuple[str, ...]:
    notes = []
    if modality == "both" and not bool(features.has_audio[0]):
        notes.append("There is no sound; the picture alone decided.")
    if modality == "both" and not bool(features.has_visual[0]):
        notes.append("There is no picture; the sound alone decided.")
    if status == "truncated":
        notes.append("The file ends early; only the part that is there was used.")
    words = {"audio": "sound", "visual": "picture"}
    for name, factor in strange.items():
        if factor > 1:
            notes.append(
                f"The {words[name]} is {factor:.1f} times as unusual as the strangest training clip; "
                "take the ranking as a guess (its probabilities were flattened by that factor)."
            )
    return tuple(notes)
