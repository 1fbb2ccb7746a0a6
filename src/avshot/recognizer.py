"""`Recognizer`: own videos and labels in, predictions for any class names out, in three lines of Python."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avshot.classes.names import refuse_alike
from avshot.errors import BadSetting, WrongRun
from avshot.experiment import Experiment, files_of, parse_experiment, resolve
from avshot.features.extractor import Extractor, create_extractor, extractor_of
from avshot.machine.device import check_device
from avshot.prediction.examples import read_examples
from avshot.prediction.labelled import described_clips, labelled_clips, own_dataset
from avshot.prediction.labelled_pairs import further_classes, named_labels, own_pairs
from avshot.prediction.manners import Pair
from avshot.prediction.predictor import Failed, Prediction, Predictor
from avshot.prediction.search import Match, search
from avshot.prediction.teach import LOSE, teach
from avshot.prediction.upload import LARGEST, Video
from avshot.run import Run, load_run
from avshot.settings import did_you_mean
from avshot.terminal.callbacks import Progress
from avshot.types import MODALITIES

_DATASET = "videos passed to Recognizer.fit"


class Recognizer:
    """Learn from labelled videos; recognise any class that can be named in words.

    Args:
        method: Method name, or the path of a `.py` file with one.
        audio: Audio extractor or its spec text, or None to ignore the sound.
        visual: Visual extractor or its spec text, or None to ignore the picture.
        device: torch device.
        folder: Where features and Runs are kept, so that a second `fit` on the same videos skips extraction; None
            takes a temporary folder.
        experiment: Further fields of `avshot.experiment.Experiment`: `preset`, `text`, `seed` (decides weights, draws
            and which clips and classes are held out to choose epochs and calibration), `recipe={"epochs": 20}`, ...

    Example:
        >>> from avshot import Recognizer
        >>> recognizer = Recognizer().fit(videos, labels, classes=["dog barking", "rain"])  # doctest: +SKIP
        >>> recognizer.predict("new.mp4").label  # doctest: +SKIP
        'rain'
    """

    def __init__(
        self,
        method: str = "ez_avgzl",
        *,
        audio: str | Extractor | None = "logmel",
        visual: str | Extractor | None = "pixels",
        device: str = "cpu",
        folder: str | Path | None = None,
        **experiment: Any,
    ) -> None:
        check_device(device)
        _check_names(experiment)
        self.audio, self.visual, self.device = audio, visual, device
        self.experiment = parse_experiment({"dataset": _DATASET, "method": method, "device": device} | experiment)
        resolve(self.experiment)  # an unknown method, preset or field is reported now, not after the extraction
        self._folder = None if folder is None else Path(folder)
        self._temporary: _TemporaryFolder | None = None
        self._predictor: Predictor | None = None

    def fit(
        self,
        videos: Iterable[str | Path],
        labels: Iterable[str | Pair],
        *,
        classes: Iterable[str] = (),
        antonyms: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Recognizer:
        """Extract features and train.

        With at least five classes, a fifth of them is held out once to choose epochs and calibration for unseen
        classes, and a fifth of the clips of the others; with fewer, only clips are held out. The final model then
        trains on everything. Videos without usable features are left out with a warning. In the task adverb a tenth of
        the videos is held out, and every action with every adverb is a candidate.

        Args:
            videos: Paths of video files.
            labels: One class name for each, each class spelt one way (`avshot.classes.names.join_key` says what is
                alike); in the task adverb an action and an adverb for each: `("cutting", "slowly")`.
            classes: Further candidate classes without clips; those that are among the labels are left out. Not in the
                task adverb.
            antonyms: In the task adverb the opposites among the adverbs: `{"slowly": "quickly"}`; methods learn from
                them, and predictions set an adverb beside its opposite.
            progress: Called with (stage, done, in all, numbers); the stages are "extract", "stage1" and "stage2",
                counted in videos and epochs.

        Returns:
            self.

        Raises:
            ValueError: Lengths differ, a video is given twice, a class is spelt in two ways or has no name in words, or
                fewer than two classes have a usable video.
        """
        from avshot.protocol import run

        named, pair_of = named_labels(labels, self.experiment)
        clips = labelled_clips(videos, named)
        further = further_classes(classes, antonyms, self.experiment)
        refuse_alike(sorted({str(clip.label) for clip in clips} | set(further)))
        store = str(self.folder / f"features-{_digest([_spec(self.audio), _spec(self.visual)])}")
        usable, source = described_clips(clips, store, self.audio, self.visual, progress)
        if pair_of:
            dataset = own_pairs(usable, pair_of, antonyms or {}, source)
        else:
            dataset = own_dataset(usable, further, source, self.experiment.seed)
        files = files_of(self.experiment)  # of another text: another Run
        key = _digest([dataset.fingerprint(), self.experiment.model_dump(mode="json"), *([files] if files else [])])
        made = run(self.experiment, self.folder / f"run-{key}", dataset=dataset, progress=progress)
        # A Run that outlives this recogniser still reads its temporary folder.
        self._predictor = Predictor(dataclasses.replace(made, keeps=self._temporary), self.device)
        return self

    def teach(
        self,
        examples: Mapping[str, Iterable[Video]],
        *,
        replace: bool = False,
        lose: float = LOSE,
        progress: Progress | None = None,
    ) -> Recognizer:
        """Add classes from a few clips each: at once, without a training and without the old clips.

        No weight moves; see `avshot.prediction.teach.teach`. `save` keeps what was taught. Clips that cannot be used
        are left out with a warning.

        Args:
            examples: `{class name: its videos}`, each video as for `predict`.
            replace: Classes that were taught before may be taught anew, from these clips alone.
            lose: The share of the clips of trained classes that taught ones may take over, as far as the Run can tell.
            progress: Called with ("teach", videos read, videos in all, {}).

        Returns:
            self.

        Raises:
            ValueError: A class without a usable clip, one that it was trained on or was taught before, or a recogniser
                that has not learnt anything yet.
        """
        predictor, told = self._ready(), progress or (lambda *_: None)
        found = read_examples(predictor, examples, progress=lambda done, total: told("teach", done, total, {}))
        if found.failed:
            first = found.failed[0]
            warnings.warn(
                f"{len(found.failed)} clips cannot be used, the first {first.video}: {first.error}", stacklevel=2
            )
        place = self.folder / f"taught-{secrets.token_hex(8)}"
        made = teach(predictor.run, found.features, place, replace=replace, lose=lose, device=self.device)
        self._predictor = Predictor(dataclasses.replace(made, keeps=self._temporary), self.device)
        return self

    @property
    def folder(self) -> Path:
        """Where features and Runs are kept; a temporary folder is made on first use.

        That one is removed when neither the recogniser nor a Run that it made is used any more.
        """
        if self._folder is None:
            self._temporary = _TemporaryFolder()
            self._folder = self._temporary.path
        return self._folder

    @property
    def run(self) -> Run:
        """The Run behind the predictions. Raises ValueError before `fit`."""
        return self._ready().run

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
        """Rank classes, or of an action its manners, for one video; see `Predictor.predict` (`avshot.prediction`).

        Several threads may call it on one recogniser, but not while it learns (`fit`).
        """
        return self._ready().predict(video, classes, action=action, adverbs=adverbs, top=top, largest=largest)

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
        """Rank classes for many videos, in order; see `avshot.prediction.predictor.Predictor.predict_many`."""
        asked: dict[str, Any] = {"action": action, "adverbs": adverbs, "top": top}
        return self._ready().predict_many(videos, classes, **asked, workers=workers, largest=largest)

    def search(
        self, what: str, videos: Iterable[Video], *, workers: int | None = None
    ) -> tuple[list[Match], list[Failed]]:
        """Videos by how much they are what is named, best first; see `avshot.prediction.search.search`."""
        return search(self._ready(), what, videos, workers=workers)

    def save(self, folder: str | Path) -> Path:
        """Copy the Run to `folder`; `Recognizer.load` opens it. Raises ValueError when the folder is not empty."""
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise BadSetting(f"{folder} is not empty; save to a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.run.path.rglob("*")):
            target = folder / path.relative_to(self.run.path)
            # Without their modes: who may read new files is for the umask to say.
            target.mkdir(exist_ok=True) if path.is_dir() else shutil.copyfile(path, target)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Recognizer:
        """Open a Run folder made by `save` or by `avshot train`.

        The videos it was trained on are not needed. A `fit` afterwards trains anew, with the Run's settings.
        """
        run = load_run(folder)
        spec, settings = run.info["features"], run.experiment.model_dump(exclude={"dataset", "device"})
        if _made(spec):
            settings |= {m: None if spec.get(m) is None else extractor_of(spec[m]) for m in MODALITIES}
        recognizer = cls(device=device, **settings)
        recognizer._predictor = Predictor(run, device)
        return recognizer

    def _ready(self) -> Predictor:
        if self._predictor is None:
            raise WrongRun("This recogniser has not learnt anything yet; call fit(videos, labels) or load(folder).")
        return self._predictor


def _check_names(given: Iterable[str]) -> None:
    """Refuse keyword arguments that neither `Recognizer` nor `Experiment` knows."""
    own = ("method", "audio", "visual", "device", "folder")
    known = [*own, *(name for name in Experiment.model_fields if name not in (*own, "dataset"))]
    for name in given:
        if name not in known:
            near = did_you_mean(name, known)
            raise ValueError(f"Recognizer has no argument {name!r}; arguments: {', '.join(known)}.{near}")


class _TemporaryFolder:
    """A folder that is removed when the last object that holds this one is gone, or the process that made it ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="avshot-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process ends before its parent has done with the folder
        shutil.rmtree(folder, ignore_errors=True)


def _made(spec: Mapping[str, Any]) -> bool:
    """The features of a Run were made by extractors, not ready-made."""
    return any(isinstance(spec.get(m), dict) and "version" in spec[m] for m in MODALITIES)


def _spec(extractor: str | Extractor | None) -> Any:
    extractor = create_extractor(extractor) if isinstance(extractor, str) else extractor
    return None if extractor is None else extractor.spec()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
