"""A ranking for a raw video: its probabilities, what it rested on, and what it says of its own limits."""

import json
import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import avshot.protocol as protocol
from avshot import Recognizer
from avshot.experiment import Experiment
from avshot.media import read, write
from avshot.prediction.attribution import log_odds, modality_shares, moments
from avshot.prediction.predictor import FLATTENING, Predictor
from avshot.runs.knowledge import doubts
from avshot.types import Clip, Features
from small_videos import FPS, RATE, SECONDS, heard_videos, picture, seen_videos, sound
from synthetic import synthetic_dataset

RECIPE = {"epochs": 2, "batches_per_epoch": 40, "batch_size": 18, "lr": 3e-3}
PLAIN = {"dropout": 0.2}  # few steps on few clips: what is tested is what a model that has learnt them says
EVENT = 0.8  # second at which the telling sound starts; the last third of a clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def heard(folder):
    """A Run on videos whose class is in the sound alone, and there in the last third alone."""
    videos, labels = heard_videos(folder / "heard", start=EVENT)
    recognizer = Recognizer("devise", folder=folder, recipe=RECIPE, config=PLAIN)
    fitted = recognizer.fit(videos, labels, classes=["dog barking"])
    return Predictor(fitted.run)


@pytest.fixture(scope="module")
def seen(folder):
    """A Run on videos whose class is in the picture alone."""
    fitted = Recognizer("devise", folder=folder, recipe=RECIPE, config=PLAIN).fit(*seen_videos(folder / "seen"))
    return Predictor(fitted.run)


@pytest.fixture(scope="module")
def optimised(folder):
    """As `heard`, with class-embedding optimisation; only whole features differ from file to file, so they are kept."""
    videos = sorted((folder / "heard").glob("*.mp4"))
    labels = [video.stem.rsplit("-", 1)[0].replace("-", " ") for video in videos]
    changed = Recognizer("devise", folder=folder, recipe=RECIPE | {"epochs": 1}, optimise_classes=True)
    return Predictor(changed.fit(videos, labels, classes=["dog barking"]).run)


@pytest.fixture(scope="module")
def clips(folder):
    """New clips: one of each class that is heard, with the sound named in the file."""
    videos, _ = heard_videos(folder / "new", per_class=1, seed=9, start=EVENT)
    return {video.stem.rsplit("-", 1)[0].replace("-", " "): str(video) for video in videos}


def test_a_class_of_few_shots_is_known_from_so_many_clips(heard, clips):
    drawn = {"stage2": {"dog barking": ["clip1", "clip2"]}, "stage3": {"dog barking": ["clip3"]}}
    info = heard.run.info | {"few": ["dog barking"], "task": {"drawn": drawn}}
    few = Predictor(replace(heard.run, info=info))
    names = ["Dog-Barking", "low humming", "church bell"]  # as somebody spells them
    known = {
        guess.name: (guess.seen, guess.few, guess.known) for guess in few.predict(clips["low humming"], names).ranking
    }
    assert known == {
        "Dog-Barking": (False, 2, "trained on 2 clips"),
        "low humming": (True, None, "trained"),
        "church bell": (False, None, "from words"),
    }
    assert all(guess.few is None for guess in heard.predict(clips["low humming"], names).ranking)
    unsaid = Predictor(replace(heard.run, info=info | {"task": {}}))
    assert {guess.known for guess in unsaid.predict(clips["low humming"]).ranking} == {
        "trained",
        "trained on a few clips",
    }


def test_probabilities_add_up_to_one_and_the_ranking_is_sorted(heard, clips):
    for label, clip in clips.items():
        found = heard.predict(clip)
        p = [guess.probability for guess in found.ranking]
        assert sum(p) == pytest.approx(1.0, abs=1e-9)
        assert p == sorted(p, reverse=True)
        assert {guess.name for guess in found.ranking} == {*clips, "dog barking"}
        assert found.label == label
        assert [guess.seen for guess in found.ranking if guess.name == "dog barking"] == [False]
        assert found.status == "ok"
        assert found.duration == pytest.approx(SECONDS, abs=0.1)
    json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(heard.predict(clip, top=2).ranking) == 2


def test_probabilities_are_those_of_calibrated_scores(heard, clips):
    """An independent witness: softmax of (score - beta * seen) / temperature."""
    clip = clips["low humming"]
    features, _, _ = heard.features(Clip(clip, clip))
    run, classes = heard.run, heard.classes()
    with torch.inference_mode():
        scores = heard.model.score(features, classes)[0].double().numpy()
    raised = np.exp((scores - run.beta * classes.seen.numpy()) / run.temperature)
    expected = dict(zip(classes.names, raised / raised.sum(), strict=True))
    for guess in heard.predict(clip).ranking:
        assert guess.probability == pytest.approx(expected[guess.name], rel=1e-6)


@pytest.mark.parametrize("kind", ["heard", "optimised"])
def test_classes_in_free_text(kind, clips, request):
    predictor = request.getfixturevalue(kind)
    names = ["a door slamming", " Low  HUMMING", "rain, on a roof"]
    classes = predictor.classes(names)
    assert classes.names == ("a door slamming", "Low HUMMING", "rain, on a roof")
    known = predictor.run.classes()
    encoder = known.names.index("low humming")
    assert torch.equal(classes.text["wordllama"][1], known.text["wordllama"][encoder])
    assert classes.seen.tolist() == [False, True, False]
    assert torch.allclose(classes.text["wordllama"].norm(dim=1), torch.ones(3), atol=1e-5)
    found = predictor.predict(clips["low humming"], names)
    assert {guess.name for guess in found.ranking} == set(classes.names)
    assert sum(guess.probability for guess in found.ranking) == pytest.approx(1.0)
    alone = predictor.classes(["a door slamming"]).text["wordllama"][0]
    if kind == "heard":  # without optimisation a name's embedding does not depend on the others
        assert torch.allclose(alone, classes.text["wordllama"][0], atol=1e-6)
    else:  # with it, new names move: they are not what the encoder gave
        from avshot.classes.embed import embed_classes

        raw = embed_classes(["a door slamming"]).text["wordllama"][0]
        assert torch.dot(alone, raw) < 0.9999
    if kind == "optimised":
        assert not torch.allclose(known.text["wordllama"], predictor.run.classes(raw=True).text["wordllama"], atol=1e-4)


def test_an_identifier_of_a_class_is_the_class(heard):
    known = heard.run.classes()
    for spelling in ("low_humming", "LowHumming", "low-humming!"):
        assert torch.equal(heard.classes([spelling]).text["wordllama"], known.select(["low humming"]).text["wordllama"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class names"),
        (["rain", "  "], "holds no letter or digit"),
        (["rain", "Rain"], "spell each one way"),
        (["low humming", "Low_Humming"], "spell each one way"),
        (["rain", 3], "the class name 3 [(]int[)]"),
        (["rain", None], "the class name None"),
        (b"rain", "pass a list of names"),
        (["!!!", "rain"], "no letter or digit"),
        ("rain", "pass a list"),
    ],
)
def test_class_names_that_cannot_be_used(heard, clips, names, message):
    with pytest.raises(ValueError, match=message) as caught:
        heard.predict(clips["low humming"], names)
    assert "\n" not in str(caught.value)


def test_the_modality_share_follows_the_modality_that_carries_the_class(heard, seen, clips, folder):
    audio = [heard.predict(clip).modality["audio"] for clip in clips.values()]
    assert min(audio) > 0.5
    assert sum(audio) / len(audio) > 0.75
    videos, _ = seen_videos(folder / "new-seen", per_class=1, seed=9)
    for video in videos:
        shares = seen.predict(str(video)).modality
        assert shares["visual"] > 0.8
        assert sum(shares.values()) == pytest.approx(1.0)


def test_the_moments_are_where_the_event_is(heard, clips):
    for clip in clips.values():
        found = heard.predict(clip).moments
        assert sum(moment.share for moment in found) == pytest.approx(1.0)
        assert [m.start for m in found[1:]] == [m.end for m in found[:-1]]
        assert sum(moment.share for moment in found if moment.end > EVENT) > 0.6  # 0.42 of the time


def test_a_span_of_a_video_is_a_clip_of_its_own(heard, folder):
    rng = np.random.default_rng(3)
    video = str(folder / "long.mp4")
    frames = np.concatenate([picture(None, rng), picture(None, rng)])
    write(
        video,
        frames,
        FPS,
        np.concatenate([sound("high beeping", rng, start=EVENT), sound("low humming", rng, start=EVENT)]),
        RATE,
    )
    first = heard.predict(Clip("a", video, end=SECONDS))
    second = heard.predict(Clip("b", video, start=SECONDS))
    assert (first.label, second.label) == ("high beeping", "low humming")
    assert second.moments[0].start == pytest.approx(SECONDS)  # seconds of the file
    assert second.moments[-1].end == pytest.approx(2 * SECONDS, abs=0.1)


def test_a_video_without_picture_or_without_sound_is_answered_and_says_so(heard, folder):
    rng = np.random.default_rng(4)
    write(folder / "sound.mp4", None, FPS, sound("low humming", rng, start=EVENT), RATE)
    write(folder / "picture.mp4", picture(None, rng), FPS, None, RATE)
    deaf, blind = heard.predict(str(folder / "picture.mp4")), heard.predict(str(folder / "sound.mp4"))
    assert (deaf.status, blind.status) == ("no_audio", "no_visual")
    assert deaf.modality == {"audio": 0.0, "visual": 1.0}
    assert blind.modality == {"audio": 1.0, "visual": 0.0}
    assert "no sound" in " ".join(deaf.notes)
    assert "no picture" in " ".join(blind.notes)
    for found in (deaf, blind):
        assert sum(guess.probability for guess in found.ranking) == pytest.approx(1.0)


def without(stream, path, out):
    """Copy a file but for its "audio" or "video", packet by packet: a second encoding would differ."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        (kept,) = (s for s in source.streams if s.type != stream)
        copy = target.add_stream_from_template(kept)
        for packet in source.demux(kept):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)


def test_a_stream_that_holds_nothing_decides_nothing_and_that_is_said(heard, folder):
    rng = np.random.default_rng(4)
    scene, tone = picture(None, rng), sound("low humming", rng, start=EVENT)
    files = {"muted": (scene, tone * 0), "black": (scene * 0, tone), "cover": (scene[:1] * 0, tone)}
    for name, (frames, waveform) in files.items():
        write(folder / f"{name}.mp4", frames, FPS, waveform, RATE)
        without("audio" if name == "muted" else "video", folder / f"{name}.mp4", folder / f"less-{name}.mp4")
    found = {file.stem: heard.predict(str(file)) for name in files for file in folder.glob(f"*{name}.mp4")}
    for empty in files:
        missing = f"less-{empty}"
        there = [(guess.name, guess.probability) for guess in found[missing].ranking]
        for guess, (name, p) in zip(found[empty].ranking, there, strict=True):
            assert guess.name == name
            assert guess.probability == pytest.approx(p, abs=1e-6)
        assert found[empty].modality == found[missing].modality
    assert (found["muted"].status, found["black"].status) == ("silent", "black")
    assert "The sound is silent; the picture alone decided." in found["muted"].notes
    assert "The picture is black; the sound alone decided." in found["black"].notes
    write(folder / "nothing.mp4", scene * 0, FPS, tone * 0, RATE)
    write(folder / "hush.mp4", None, FPS, tone * 0, RATE)
    for name in ("nothing", "hush"):
        with pytest.raises(ValueError, match=rf"{name}.mp4 cannot be used: .*silent.*[^.][.]$") as caught:
            heard.predict(str(folder / f"{name}.mp4"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seconds", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("end", ["before", "after"])
def test_silence_and_black_at_the_ends_of_a_clip_do_not_count(heard, clips, seconds, end):
    """The arrays of a file with padding that holds nothing: the same ranking, and no share of the decision."""
    job, asked = heard._job, heard._lists.ready(None)

    def ranked(media):
        described = job.describe_media(media)
        dims = (heard.run.inputs.audio, heard.run.inputs.visual)
        columns = ([getattr(described, name)] for name in ("audio", "visual", "audio_time", "visual_time"))
        features = Features.from_sequences(*columns, dims=dims)
        p = heard._probabilities.log(features.prefer(heard.run.view), asked, ["it"])[0].exp()

        def evidence(views):
            return log_odds(heard._probabilities.log(views, asked, ["it"] * len(views)), int(p.argmax()))

        return p, moments(features, evidence, heard._usual, start=0.0, duration=media.duration)

    for clip in clips.values():
        media = read(clip, **job.request())
        silence = np.zeros(round(seconds * media.rate), np.float32)
        dark = np.full((round(seconds * 12.5), 48, 64, 3), 16, np.uint8)
        pairs = [(silence, media.waveform), (dark, media.frames)]
        waveform, frames = (np.concatenate(pair if end == "before" else pair[::-1]) for pair in pairs)
        padded = replace(
            media,
            waveform=waveform,
            frames=frames,
            frame_time=(np.arange(len(frames)) + 0.5) / 12.5,
            duration=media.duration + seconds,
        )
        plain, (found, shares) = ranked(media)[0], ranked(padded)
        assert torch.equal(found.argsort(descending=True), plain.argsort(descending=True))
        torch.testing.assert_close(found, plain, atol=0.02, rtol=0)
        if seconds == 1.0:
            nothing = [m for m in shares if (m.end <= 1.0 if end == "before" else m.start >= media.duration)]
            assert len(nothing) >= 3
            assert all(moment.share == 0 for moment in nothing)


def test_a_modality_that_validation_found_useless_is_left_out_and_that_is_said(heard, clips):
    chosen = heard.run.info["chosen"] | {"settings": heard.run.settings | {"view": "audio"}}
    deaf_to_pictures = Predictor(replace(heard.run, info=heard.run.info | {"chosen": chosen}))
    found = deaf_to_pictures.predict(clips["low humming"])
    assert found.modality == {"audio": 1.0, "visual": 0.0}
    assert found.notes[-1] == "The sound alone decided: validation went better without the picture."


def test_a_truncated_video_is_answered_and_says_so(heard, folder, clips):
    content = Path(clips["low humming"]).read_bytes()
    cut = folder / "cut.mp4"
    cut.write_bytes(content[: int(len(content) * 0.6)])
    found = heard.predict(str(cut))
    assert found.status == "truncated"
    assert "ends early" in " ".join(found.notes)
    assert sum(guess.probability for guess in found.ranking) == pytest.approx(1.0)


def test_files_that_are_no_videos_are_one_sentence(heard, folder):
    (folder / "text.mp4").write_text("this is no video")
    (folder / "empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "empty.mp4", "absent.mp4"):
        with pytest.raises(ValueError, match=f"{name} cannot be used: .*[^.][.]$") as caught:
            heard.predict(str(folder / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="top is 0"):
        heard.predict("x.mp4", top=0)


def test_one_class_alone_is_certain_and_says_that_this_means_nothing(heard, clips):
    found = heard.predict(clips["low humming"], ["dog barking"])
    assert found.ranking[0].probability == 1.0
    assert any("Only one class" in note for note in found.notes)
    assert all(math.isfinite(moment.share) for moment in found.moments)
    json.dumps(found.to_dict(), allow_nan=False)


def test_an_unlike_clip_flattens_the_probabilities_and_says_so(heard, folder):
    rng = np.random.default_rng(6)
    plain, strange = folder / "usual.mp4", folder / "strange.mp4"
    tone = sound("low humming", rng, start=EVENT)
    write(plain, picture(None, rng), FPS, tone, RATE)
    flicker = np.zeros((round(SECONDS * FPS), 48, 64, 3), np.uint8)
    flicker[::2] = 255
    write(strange, flicker, FPS, (0.9 * np.sign(rng.normal(size=len(tone)))).astype(np.float32), RATE)
    usual, unusual = heard.predict(str(plain)), heard.predict(str(strange))
    assert usual.notes == tuple(doubts(heard.run.info["knows"]))  # nothing is odd about the clip
    assert "Judged on 3 validation clips" in usual.notes[0]
    assert any("unlike anything it was trained on" in note for note in unusual.notes)
    assert (
        unusual.about
        == usual.about
        == 'Trained on 18 clips of 3 classes like "high beeping", "loud hissing"; '
        + ("logmel and pixels know nothing else.")
    )
    features, _, _ = heard.features(Clip("s", str(strange)))
    heat = max(heard._strangeness(features).values()) ** FLATTENING
    assert heat > 1
    flat = heard._probabilities.log(features, heard._lists.ready(None), ["it"], heat)[0]
    sharp = heard._probabilities.log(features, heard._lists.ready(None), ["it"])[0]
    assert flat.max() < sharp.max()
    assert unusual.ranking[0].probability == pytest.approx(float(flat.max().exp()))


def test_evidence_is_shared_as_the_shapley_value_has_it():
    """A made-up score that adds 3 for the sound, 1 for the picture and 2 for both together."""
    features = Features.averaged(torch.ones(1, 1), torch.ones(1, 1))

    def evidence(views):
        audio, visual = views.audio[:, 0, 0], views.visual[:, 0, 0]
        return 3 * audio + visual + 2 * audio * visual

    shares = modality_shares(features, evidence, {})
    assert shares == pytest.approx({"audio": 4 / 6, "visual": 2 / 6})
    blind = replace(features, visual_mask=torch.zeros(1, 1, dtype=torch.bool))
    assert modality_shares(blind, evidence, {}) == {"audio": 1.0, "visual": 0.0}
    assert modality_shares(features, lambda views: -evidence(views), {}) == {"audio": 0.0, "visual": 0.0}
    (moment,) = moments(features, evidence, {}, start=2.0, duration=4.0)
    assert (moment.start, moment.end, moment.share) == (2.0, 6.0, 1.0)
    heard = torch.ones(1, 3, 1)
    short = Features.from_sequences([heard[0]], [None], [torch.tensor([1.1, 1.2, 1.3])], [None], dims=(1, 1))
    found = moments(short, lambda views: views.audio.sum(dim=(1, 2)), {}, start=2.0, duration=4.0)
    assert [(moment.start, moment.share) for moment in found if moment.share] == [(3.0, 1.0)]


def test_log_odds_do_not_saturate():
    log_p = torch.log_softmax(torch.tensor([[60.0, 0.0, 1.0], [90.0, 0.0, 1.0]], dtype=torch.float64), dim=1)
    expected = [60 - math.log(1 + math.e), 90 - math.log(1 + math.e)]
    assert log_odds(log_p, 0).tolist() == pytest.approx(expected)


def test_ready_made_features_and_vectors_give_a_clear_error(tmp_path, clips):
    made = protocol.run(
        Experiment(dataset="memory", method="devise", recipe={"epochs": 1, "batches_per_epoch": 1, "batch_size": 8}),
        tmp_path,
        dataset=synthetic_dataset(),
    )
    predictor = Predictor(made)
    with pytest.raises(ValueError, match="trained on ready-made features"):
        predictor.predict(clips["low humming"])
    with pytest.raises(ValueError, match="class vectors made, which came with its dataset"):
        predictor.classes(["a new class"])
    assert predictor.classes(["DOG barking"]).names == ("DOG barking",)


def test_a_generative_method_learns_new_names_and_finds_back_to_its_own(heard, folder, clips):
    """Names without a row in its classifier are learnt from generated features; the Run's own classes keep theirs."""
    videos = sorted((folder / "heard").glob("*.mp4"))
    labels = [video.stem.rsplit("-", 1)[0].replace("-", " ") for video in videos]
    changed = Recognizer(
        "f_vaegan_d2", folder=folder, recipe={"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}
    )
    predictor = Predictor(changed.fit(videos, labels, classes=["dog barking"]).run)
    clip = next(iter(clips.values()))

    def ranked(names=None):
        return {guess.name: guess.probability for guess in predictor.predict(clip, names).ranking}

    before = ranked()
    assert ranked(list(before)) == pytest.approx(before, rel=1e-6)  # no new name, nothing is learnt
    new = predictor.predict(clip, ["dog barking", "a church organ"]).ranking
    assert {guess.name for guess in new} == {"dog barking", "a church organ"}
    assert predictor.predict(clip, ["dog barking", "a church organ"]).ranking == new
    assert ranked() == before


def test_a_run_whose_weights_are_spoiled_gives_no_ranking(heard, clips):
    """A ranking by NaN is an order of columns; the sentence names the method and the file."""
    spoiled = Predictor(heard.run)
    with torch.no_grad():
        next(spoiled.model.parameters()).fill_(math.nan)
    clip = clips["low humming"]
    with pytest.raises(ValueError, match=r"^Method 'devise' gives clip '.*low-humming.*' scores that are not finite"):
        spoiled.predict(clip)
