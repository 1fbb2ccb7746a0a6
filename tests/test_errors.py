"""The kinds of errors: who catches one can tell what was wrong, and the text is what it always was."""

import pickle

import pytest

import avshot
from avshot import Recognizer, load_dataset, load_run
from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.encoder import MissingVectors
from avshot.data.dataset import Dataset
from avshot.data.manifest import declare
from avshot.errors import (
    AvshotError,
    BadClassName,
    BadDataset,
    BadMedia,
    BadSetting,
    DamagedRun,
    MissingFile,
    TooLarge,
    WrongRun,
    told_as,
)
from avshot.features.extractor import create_extractor
from avshot.features.store.store import FeatureStore
from small_videos import heard_videos
from synthetic import synthetic_dataset

KINDS = (BadClassName, BadDataset, BadMedia, BadSetting, DamagedRun, MissingFile, TooLarge, WrongRun)
SHORT = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("errors")


@pytest.fixture(scope="module")
def fitted(folder):
    return Recognizer("devise", folder=folder / "kept", recipe=SHORT).fit(*heard_videos(folder / "videos", per_class=2))


def test_every_kind_is_a_value_error_and_is_public():
    assert issubclass(AvshotError, ValueError)
    for kind in KINDS:
        assert issubclass(kind, AvshotError)
        assert getattr(avshot, kind.__name__) is kind
        assert kind.__name__ in avshot.__all__
        back = pickle.loads(pickle.dumps(kind("a sentence")))  # processes hand them on
        assert (type(back), str(back)) == (kind, "a sentence")
    assert issubclass(MissingFile, FileNotFoundError)
    assert issubclass(TooLarge, BadMedia)
    assert issubclass(DamagedRun, WrongRun)


def test_a_video(fitted, folder):
    (folder / "text.mp4").write_text("no video")
    with pytest.raises(MissingFile, match="absent.mp4 cannot be used: the file does not exist"):
        fitted.predict(folder / "absent.mp4")
    for video in (folder / "text.mp4", folder, None, "https://example.org/a.mp4", b""):
        with pytest.raises(BadMedia) as caught:
            fitted.predict(video)
        assert not isinstance(caught.value, FileNotFoundError)
    video = next((folder / "videos").iterdir())
    for wrong in ({"top": 0}, {"largest": 0}):
        with pytest.raises(BadSetting):
            fitted.predict(video, **wrong)
    with pytest.raises(BadSetting, match="span"):
        fitted.predict(avshot.Clip("a", str(video), start=3.0, end=1.0))
    with pytest.raises(BadMedia, match="starts at 90 s"):
        fitted.predict(avshot.Clip("a", str(video), start=90.0))


def test_class_names(fitted):
    for names in ([], ["!!"], "rain", ["rain", "Rain"], ["rain", None]):
        with pytest.raises(BadClassName):
            fitted.predict("a.mp4", names)
    with pytest.raises(BadClassName, match="No phrase"):
        embed_classes(["rain"], phrases={"wind": "wind"})
    assert issubclass(MissingVectors, BadClassName)
    with pytest.raises(BadClassName, match="not among the 3 candidate"):
        fitted.run.classes().index("rain")


def test_datasets(tmp_path):
    (tmp_path / "bad.toml").write_text("folds = [")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bad.csv").write_text("path\na.mp4\n")
    (tmp_path / "videos").mkdir()
    for spec in (tmp_path / "bad.toml", tmp_path / "binary.toml", "simulated:none", "official:?", "unheard"):
        with pytest.raises(BadDataset):
            load_dataset(str(spec))
    with pytest.raises(MissingFile, match="is not there; make it with `avshot dataset`"):
        load_dataset(str(tmp_path / "absent.toml"))
    for source in ("bad.csv", "videos"):
        with pytest.raises(BadDataset):
            declare(tmp_path / source, tmp_path / "out.toml")
    with pytest.raises(MissingFile):
        declare(tmp_path / "absent", tmp_path / "out.toml")
    with pytest.raises(BadDataset):
        synthetic_dataset().fold("none")
    with pytest.raises(BadDataset):
        Dataset("d", (), ("a", "a"), {})
    with pytest.raises(BadDataset):
        FeatureStore(str(tmp_path))
    with pytest.raises(BadDataset, match="2 videos but 1 labels"):
        Recognizer("devise").fit(["a.mp4", "b.mp4"], ["a"])


def test_runs(fitted, folder):
    with pytest.raises(MissingFile, match="is not a Run folder"):
        load_run(folder / "absent")
    with pytest.raises(WrongRun, match="is not a Run folder") as caught:
        load_run(folder)
    assert not isinstance(caught.value, DamagedRun)
    with pytest.raises(WrongRun, match="not learnt anything"):
        Recognizer("devise").predict("a.mp4")
    for name in ("experiment.yaml", "run.json", "metrics.json"):
        saved = fitted.save(folder / f"damaged-{name}")
        (saved / name).write_bytes(b"\x00{")
        with pytest.raises(DamagedRun):
            load_run(saved)
    saved = fitted.save(folder / "damaged")
    (saved / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(DamagedRun, match="weights.safetensors was changed or damaged"):
        load_run(saved).method()
    (saved / "weights.safetensors").unlink()
    with pytest.raises(DamagedRun, match="is missing"):
        load_run(saved).method()


def test_settings():
    for wrong in ({"method": "divise"}, {"preset": "none"}, {"recipe": {"epoch": 1}}, {"device": "gpu"}):
        with pytest.raises(BadSetting):
            Recognizer(**({"method": "devise"} | wrong))
    with pytest.raises(BadSetting):
        create_extractor("logmel?mel=3")
    with pytest.raises(BadSetting):
        create_text_encoder("unheard")


def test_told_as_gives_a_kind_only_to_what_has_none():
    def raised(error):
        try:
            with told_as(BadDataset):
                raise error
        except Exception as caught:
            return caught

    given = raised(ValueError("a sentence"))
    assert (type(given), str(given)) == (BadDataset, "a sentence")
    assert type(raised(BadClassName("x"))) is BadClassName
    assert type(raised(FileNotFoundError("x is gone"))) is MissingFile
    assert type(raised(PermissionError("x"))) is PermissionError
    assert type(raised(UnicodeDecodeError("utf-8", b"", 0, 1, "x"))) is UnicodeDecodeError  # a bug, not an input
    assert type(raised(KeyError("x"))) is KeyError
    with pytest.raises(BadDataset) as caused, told_as(BadDataset):
        raise ValueError("x") from EOFError("why")
    assert isinstance(caused.value.__cause__, EOFError)
