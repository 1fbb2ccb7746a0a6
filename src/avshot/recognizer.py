"""`Recognizer`: own videos and labels in, predictions for any class names out, in three lines of Python."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avshot.data.dataset import Dataset
from avshot.predict import Prediction, Predictor
from avshot.run import Experiment, Run, load_run
from avshot.types import Clip

FEW_CLASSES = 5  # below this, no class is held out to choose the calibration
FEW_CLIPS = 5  # below this, no clip of a class is held out to choose the number of epochs


class Recognizer:
    """Learn from labelled videos; recognise any class that can be named in words.

    Args:
        method: Method name.
        preset: Preset of the method.
        audio: Audio extractor, or None to ignore the sound.
        visual: Visual extractor, or None to ignore the picture.
        text: Text encoders.
        seed: Decides weights, draws and which clips and classes are held out to choose epochs and calibration.
        device: torch device.
        folder: Where features and Run are kept, so that a second `fit` on the same videos skips extraction; None
            takes a temporary folder.

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
        preset: str = "default",
        audio: str | None = "logmel",
        visual: str | None = "pixels",
        text: Sequence[str] = ("wordllama",),
        seed: int = 0,
        device: str = "cpu",
        folder: str | Path | None = None,
    ) -> None:
        self.method, self.preset, self.audio, self.visual = method, preset, audio, visual
        self.text, self.seed, self.device = tuple(text), seed, device
        self._temporary = tempfile.TemporaryDirectory(prefix="avshot-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else folder)  # type: ignore[arg-type]
        self._predictor: Predictor | None = None

    def fit(
        self,
        videos: Sequence[str | Path],
        labels: Sequence[str],
        *,
        classes: Sequence[str] = (),
        progress: Callable[[str, int, int, dict[str, float]], None] | None = None,
    ) -> Recognizer:
        """Extract features and train.

        With at least five classes, a fifth of them is held out once to choose epochs and calibration for unseen
        classes, and a fifth of the clips of the others; with fewer, only clips are held out. The final model then
        trains on everything.

        Args:
            videos: Video files.
            labels: One class name for each.
            classes: Further candidate classes without clips.
            progress: Called with (stage, epochs done, epochs in all, numbers).

        Returns:
            self.

        Raises:
            ValueError: Lengths differ, fewer than two classes, or no video could be read.
        """
        from avshot.features.extract import extract
        from avshot.features.store import FeatureStore
        from avshot.protocol import run

        if len(videos) != len(labels):
            raise ValueError(f"Got {len(videos)} videos but {len(labels)} labels; give one label for each video.")
        if len(set(labels)) < 2:
            raise ValueError(f"Got {len(set(labels))} class; a recogniser needs videos of at least two.")
        clips = [Clip(str(Path(v).resolve()), str(v), label) for v, label in zip(videos, labels, strict=True)]
        store = str(self.folder / "features")
        extract(clips, store, audio=self.audio, visual=self.visual)
        dataset = _dataset(clips, tuple(classes), FeatureStore(store), self.seed)
        experiment = Experiment(
            dataset="videos passed to Recognizer.fit",
            method=self.method,
            preset=self.preset,
            text=self.text,
            seed=self.seed,
            device=self.device,
        )
        target = self.folder / f"run-{dataset.fingerprint()}-{self.method}-{self.seed}"
        self._predictor = Predictor(run(experiment, target, dataset=dataset, progress=progress), self.device)
        return self

    @property
    def run(self) -> Run:
        """The Run behind the predictions. Raises ValueError before `fit`."""
        return self._ready().run

    def predict(
        self, video: str | Path | Clip, classes: Sequence[str] | None = None, *, top: int | None = None
    ) -> Prediction:
        """Rank classes for one video; see `avshot.predict.Predictor.predict`."""
        return self._ready().predict(video if isinstance(video, Clip) else str(video), classes, top=top)

    def save(self, folder: str | Path) -> Path:
        """Copy the Run to `folder`; `Recognizer.load` opens it. Raises ValueError when the folder is not empty."""
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty; save to a new folder.")
        shutil.copytree(self.run.path, folder, dirs_exist_ok=True)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Recognizer:
        """Open a Run folder made by `save` or by `avshot train`."""
        run = load_run(folder)
        experiment = run.experiment
        recognizer = cls(
            experiment.method,
            preset=experiment.preset,
            text=experiment.text,
            seed=experiment.seed,
            device=device,
            folder=folder,
        )
        recognizer._predictor = Predictor(run, device)
        return recognizer

    def _ready(self) -> Predictor:
        if self._predictor is None:
            raise ValueError("This recogniser has not learnt anything yet; call fit(videos, labels) or load(folder).")
        return self._predictor


def _dataset(clips: list[Clip], extra: tuple[str, ...], features: object, seed: int) -> Dataset:
    """All labelled clips as one dataset without test clips: folds train, val_seen, val_unseen."""
    rng = np.random.default_rng(seed)
    seen = sorted({clip.label for clip in clips if clip.label is not None})
    held = rng.permutation(len(seen))[: len(seen) // 5 if len(seen) >= FEW_CLASSES else 0]
    unseen = {seen[i] for i in held}
    folds: dict[str, list[int]] = {"train": [], "val_seen": [], "val_unseen": []}
    for name in seen:
        rows = [i for i, clip in enumerate(clips) if clip.label == name]
        if name in unseen:
            folds["val_unseen"] += rows
            continue
        rows = [rows[i] for i in rng.permutation(len(rows))]
        count = max(1, len(rows) // 5) if len(rows) >= FEW_CLIPS else 0
        folds["val_seen"] += rows[:count]
        folds["train"] += rows[count:]
    names = tuple(seen + [name for name in dict.fromkeys(extra) if name not in set(seen)])
    return Dataset(
        "own videos",
        tuple(clips),
        names,
        {fold: np.array(sorted(rows), dtype=np.int64) for fold, rows in folds.items()}
        | {"test_unseen": np.array([], int)},
        features,  # type: ignore[arg-type]
        candidates={"test_unseen": names[len(seen) :]},
    )
