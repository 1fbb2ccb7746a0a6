"""Class names as one embedding or as several: what is averaged, what stands apart, and which prompts are whose."""

import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.classes.wording import Wording, prompts_of
from avshot.experiment import Experiment, parse_experiment, resolve
from avshot.nn.text import encoder_of, entry_name

KEPT = {
    "dogbarking": ["a dog makes short loud sounds", "fur and an open mouth", "woof"],
    "rain": ["water falls from clouds", "drops on a window"],
}
WORDS = {"dog barking": "dog barking", "Rain": "rain", "a lorry": "a lorry"}


def vector(*texts):
    """The normalised mean of the unit vectors of some texts, by a loop."""
    encoder = create_text_encoder("wordllama")
    total = torch.zeros(256)
    for text in texts:
        total += encoder.encode([text])[0]
    return total / total.square().sum().sqrt()


def embed(described=KEPT, words=WORDS, **fields):
    wording = Wording(**fields)
    return wording.embed(words, described, wording.made())


def same(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_one_mean_over_prompts_and_descriptions():
    classes = embed(prompts=("clip-vggsound",))
    assert (classes.names, list(classes.text)) == (("dog barking", "Rain", "a lorry"), ["wordllama"])
    prompts = [f"a {kind} of dog barking." for kind in ("photo", "video", "example", "demonstration")]
    prompts += ["a photo of the person dog barking."]
    prompts += [f"a {kind} of the dog barking." for kind in ("video", "example", "demonstration")]
    same(classes.text["wordllama"][0], vector(*prompts, *KEPT["dogbarking"]))
    same(embed().text["wordllama"][2], vector("a lorry"))


def test_separate_descriptions_are_entries_without_the_name():
    classes = embed(separate=True)
    assert list(classes.text) == ["wordllama#1", "wordllama#2", "wordllama#3"]
    for number in (1, 2, 3):
        same(classes.text[f"wordllama#{number}"][0], vector(KEPT["dogbarking"][number - 1]))


def test_a_class_with_fewer_descriptions_has_its_own_mean_in_place_of_the_missing_one():
    classes = embed(separate=True)
    same(classes.text["wordllama#2"][1], vector(KEPT["rain"][1]))
    same(classes.text["wordllama#3"][1], vector(*KEPT["rain"]))


def test_a_class_without_descriptions_is_a_point_at_its_prompts():
    for prompts in ("name", "clap-vggsound"):
        classes = embed(separate=True, prompts=(prompts,))
        assert len({tuple(vectors[2].tolist()) for vectors in classes.text.values()}) == 1
        same(classes.text["wordllama#1"][2], embed(prompts=(prompts,)).text["wordllama"][2])


def test_how_many_entries_there_are_is_a_matter_of_the_table():
    """New names come in later, a few at a time; they must have as many as those of the training."""
    assert len(embed(separate=True, words={"Rain": "rain"}).text) == 3
    assert len(embed(separate=True, words={"a lorry": "a lorry"}).text) == 3


def test_descriptions_of_several_text_encoders_are_joined_each_with_its_like(tmp_path):
    import numpy as np

    texts = sorted({text for texts in KEPT.values() for text in texts})
    rng = np.random.default_rng(0)
    file = tmp_path / "own.npy"
    np.save(file, {text: rng.normal(size=5) for text in texts}, allow_pickle=True)
    two = {"encoders": ("wordllama", f"vectors:{file}"), "prompts": ("name", "name"), "separate": True}
    words = {"dog barking": "dog barking", "Rain": "rain"}
    apart, joined = embed(words=words, **two), embed(words=words, join=True, **two)
    assert list(apart.text) == [f"{name}#{i}" for name in ("wordllama", "vectors") for i in (1, 2, 3)]
    assert list(joined.text) == [f"wordllama+vectors#{i}" for i in (1, 2, 3)]
    for i in (1, 2, 3):
        same(
            joined.text[f"wordllama+vectors#{i}"],
            torch.cat([apart.text[f"wordllama#{i}"], apart.text[f"vectors#{i}"]], dim=1),
        )


@pytest.mark.parametrize("encoder", ["clip", "vectors:a/glove#1.txt", "vectors:glove#1", "clip+clap", "vectors:C:\\a"])
def test_names_of_entries_lead_back_to_their_text_encoder(encoder):
    assert encoder_of(encoder) == (encoder, 0)
    assert encoder_of(entry_name(encoder, 12)) == (encoder, 12)


def test_prompts_of_each_text_encoder():
    both = ("clip:openai/x", "clap:laion/y")
    assert prompts_of("name", both) == ("name", "name")
    assert prompts_of("clip-actions", both) == ("clip-actions", "clip-actions")
    each = {"clip": "clip-actions", "clap": "clap-actions"}
    assert prompts_of(each, both) == ("clip-actions", "clap-actions")
    assert prompts_of({"clap": "clap-vggsound"}, both) == ("name", "clap-vggsound")
    assert prompts_of({"clap:laion/y": "clap-vggsound", "clap": "clap-actions"}, both)[1] == "clap-vggsound"
    assert prompts_of(each, ("clip",)) == ("clip-actions",)  # rows of one bench share them
    assert prompts_of({"w2v": "clip-actions"}, ("w2v",)) == ("clip-actions",)  # class vectors of a dataset


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("clip", r"'clip' does not exist; choose one of: name, clip-actions"),
        ({"clip": "clip-action"}, r"'clip-action' does not exist.*Did you mean 'clip-actions'"),
        ({"clpi": "clip-actions"}, r"prompts names the text encoder 'clpi'.*Did you mean 'clip'"),
    ],
)
def test_prompts_that_do_not_exist_are_refused(prompts, message):
    with pytest.raises(ValueError, match=message):
        prompts_of(prompts, ("clip:x", "clap:y"))


def test_each_text_encoder_reads_its_own_prompts():
    fields = {"encoders": ("wordllama", "wordllama"), "prompts": ("clip-vggsound", "clap-vggsound")}
    calls = []

    class Listening(type(create_text_encoder("wordllama"))):
        def encode(self, texts):
            calls.append(list(texts))
            return super().encode(texts)

    first, second = Listening(), Listening()
    first.name, second.name = "clip", "clap"
    Wording(**fields).embed({"Rain": "rain"}, None, [first, second])
    assert [texts[0] for texts in calls] == ["a photo of rain.", "a rain can be heard."]
    assert [len(texts) for texts in calls] == [8, 9]


def asked(**fields):
    return parse_experiment({"dataset": "d", **fields})


def test_prompts_as_an_option_and_in_a_file_are_the_same():
    text = ("clip:a/x", "clap:y")
    option = asked(text=text, prompts="clip=clip-actions, clap=clap-actions")
    file = asked(text=text, prompts={"clip": "clip-actions", "clap": "clap-actions"})
    assert option == file
    assert resolve(file).wording.prompts == ("clip-actions", "clap-actions")
    assert option.label() == "ez_avgzl-text=clip:x+clap:y-prompts=clip=clip-actions+clap=clap-actions"
    assert asked(prompts="clip-actions").label() == "ez_avgzl-prompts=clip-actions"
    for wrong in ("=clip-actions", "clip=", "clip=clip-actions,"):
        with pytest.raises(ValueError, match="expected encoder=ensemble"):
            asked(prompts=wrong)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("official:here?name=VGGSound&split=cls", ("clip-vggsound", "clap-vggsound", "name", "clap-vggsound")),
        ("official:here?name=UCF", ("clip-actions", "clap-actions", "name", "clap-actions")),
        ("simulated:activitynet-cls?seed=1", ("clip-actions", "clap-actions", "name", "clap-actions")),
        ("birds.toml", ("clip-vggsound", "clap-vggsound", "name", "clap-vggsound")),
    ],
)
def test_released_prompts_go_by_benchmark_and_text_encoder(dataset, expected):
    found = resolve(
        Experiment(dataset=dataset, text=("clip:x", "clap:y", "wordllama", "wavcaps:z"), prompts="released")
    )
    assert found.wording.prompts == expected


def test_separate_descriptions_need_descriptions():
    with pytest.raises(ValueError, match="separate_descriptions needs descriptions"):
        resolve(asked(separate_descriptions=True))
