import dataclasses
import math

import pytest
import torch

from avshot.nn.augment import add_noise, crop_window, drop_modality, drop_steps
from avshot.nn.fusion import FusionConfig, TemporalFusion
from avshot.nn.position import PositionBlock
from avshot.types import Features

CONFIG = FusionConfig(
    dim=12,
    encoder_hidden=9,
    layers=2,
    heads=2,
    head_dim=4,
    feedforward=6,
    position_dim=8,
    audio_scaling="none",
    visual_scaling="none",
)


def some_features(lengths=((3, 4), (1, 6), (5, 2))) -> Features:
    g = torch.Generator().manual_seed(0)
    return Features.from_sequences(
        [torch.randn(a, 5, generator=g) for a, _ in lengths],
        [torch.randn(v, 7, generator=g) for _, v in lengths],
        [torch.arange(a) * 0.5 for a, _ in lengths],
        [torch.arange(v) * 0.25 for _, v in lengths],
        dims=(5, 7),
    )


def fusion(**fields) -> TemporalFusion:
    torch.manual_seed(0)
    return TemporalFusion(dataclasses.replace(CONFIG, **fields), 5, 7)


def test_time_code_against_the_formula():
    torch.manual_seed(0)
    block = PositionBlock(3, 4, scale=2.0)
    audio, time = torch.randn(1, 2, 3), torch.tensor([[0.3, 250.0]])
    tokens, _ = block(audio, audio, time, time)
    for i, t in enumerate(time[0].tolist()):
        phase = [2 * math.pi * t * (float(block.fourier[0, k]) + float(block.fourier[1, k])) for k in range(2)]
        waves = torch.tensor([math.sin(p) for p in phase] + [math.cos(p) for p in phase])
        position = block.modality.weight[0] + block.time(waves)
        torch.testing.assert_close(tokens[0, i], block.project_audio(torch.cat([audio[0, i], position])))


def test_without_time_order_does_not_matter():
    features = some_features(((4, 4),))
    back = dataclasses.replace(features, audio=features.audio.flip(1), visual=features.visual.flip(1))
    for use_time, same in ((True, False), (False, True)):
        model = fusion(use_time=use_time).eval()
        assert torch.allclose(model(features).clip, model(back).clip, atol=1e-5) is same


def test_tokens_mask_and_kinds():
    fused = fusion().eval()(some_features())
    assert fused.modality.tolist() == [0] + [1] * 5 + [2] * 6
    assert fused.mask.sum(dim=1).tolist() == [8, 8, 8]
    assert torch.equal(fused.clip, fused.tokens[:, 0])


def test_without_class_token_the_clip_is_the_mean_of_real_tokens():
    fused = fusion(class_token=False).eval()(some_features())
    for i in range(3):
        torch.testing.assert_close(fused.clip[i], fused.tokens[i][fused.mask[i]].mean(dim=0))


@pytest.mark.parametrize("class_token", [True, False])
def test_neither_modality_is_finite(class_token):
    nothing = some_features().only("audio").only("visual")
    for model in (fusion(class_token=class_token).eval(), fusion(class_token=class_token).train()):
        assert torch.isfinite(model(nothing).clip).all()


def test_self_layers_come_first():
    features = some_features()
    torch.testing.assert_close(
        fusion(self_layers=2, attention="full").eval()(features).clip,
        fusion(attention="self").eval()(features).clip,
    )
    mixed = fusion(self_layers=1, attention="full").eval()(features).clip
    assert not torch.allclose(mixed, fusion(attention="full").eval()(features).clip)


def test_alternating_layers_begin_with_self():
    features = some_features()
    alternating, hybrid = fusion(attention="alternating").eval(), fusion(attention="full", self_layers=1).eval()
    torch.testing.assert_close(alternating(features).clip, hybrid(features).clip)
    kinds = [fusion(layers=4, attention="alternating")._pattern(i) for i in range(4)]
    assert kinds == ["self", "full", "self", "full"]
    with pytest.raises(ValueError, match="expected one of cross, self, full, alternating"):
        fusion(attention="hybrid")


@pytest.mark.parametrize(
    ("fields", "reached"),
    [
        ({"layers": 3, "self_layers": 3, "class_token": False}, False),  # nothing but attention could carry it
        ({"layers": 1, "self_layers": 1}, False),  # the class token hears it, too late to tell
        ({"layers": 2, "self_layers": 2}, True),  # by the class token
        ({"layers": 3, "self_layers": 2, "class_token": False}, True),  # by the last layer
        ({"layers": 1, "self_layers": 0}, True),
    ],
)
def test_sound_reaches_a_picture_in_self_layers_by_the_class_token_alone(fields, reached):
    model, features = fusion(attention="full", **fields).eval(), some_features(((3, 4), (2, 4)))
    louder = dataclasses.replace(features, audio=features.audio + 1.0)
    silent, heard = (model(value) for value in (features, louder))
    for modality, moved in ((2, reached), (1, True)):
        at = silent.modality == modality
        same = torch.allclose(silent.tokens[:, at], heard.tokens[:, at], atol=1e-6)
        assert same is not moved
    if model.class_token is not None:
        assert not torch.allclose(silent.clip, heard.clip, atol=1e-4)


def test_padding_enters_batch_statistics_only_by_request():
    features = some_features()
    for asked, moved in ((False, False), (True, True)):
        plain, padded = fusion(norm_over_padding=asked), fusion(norm_over_padding=asked)
        plain(features)
        padded(features._padded_to(20, 20))
        same = torch.allclose(plain.audio_encoder.fc[1].running_mean, padded.audio_encoder.fc[1].running_mean)
        assert same is not moved


def test_augmentation_is_off_in_eval_and_on_in_training():
    features = some_features()
    fields = {"dropout_encoder": 0.0, "dropout_position": 0.0, "dropout_transformer": 0.0}
    for change in ({"drop_steps": 0.5}, {"feature_noise": 0.5}, {"drop_modality": 0.9}):
        plain, model = fusion(**fields), fusion(**fields, **change)
        torch.manual_seed(1)
        assert not torch.allclose(model(features).clip, plain(features).clip, atol=1e-4), change
        assert torch.equal(fusion(**change).eval()(features).clip, fusion().eval()(features).clip)


def test_dropping_steps_keeps_one_per_modality():
    torch.manual_seed(0)
    features = some_features(((40, 40),) * 5)
    kept = drop_steps(features, 0.3)
    assert 0.6 < kept.audio_mask.float().mean() < 0.8
    single = some_features(((1, 1),) * 20)
    assert drop_steps(single, 0.9).audio_mask.all()
    assert drop_steps(features, 0.0) is features


def test_dropping_a_modality_never_takes_the_last():
    torch.manual_seed(0)
    features = some_features(((2, 2),) * 200)
    one = drop_modality(features, 0.5)
    assert (one.has_audio | one.has_visual).all()
    assert 0.15 < 1 - one.has_audio.float().mean() < 0.35
    assert 0.15 < 1 - one.has_visual.float().mean() < 0.35
    lone = features.only("audio")
    assert torch.equal(drop_modality(lone, 0.9).audio_mask, lone.audio_mask)


def test_noise_is_in_deviations_of_the_real_values():
    torch.manual_seed(0)
    features = some_features(((200, 3),))
    scaled = dataclasses.replace(features, audio=features.audio * 50)
    change = add_noise(scaled, 0.1).audio - scaled.audio
    assert float(change.std()) == pytest.approx(5.0, rel=0.1)


def test_window_keeps_the_sound_of_its_seconds():
    features = some_features(((10, 20), (3, 2)))  # audio every 0.5 s, visual every 0.25 s
    cut = crop_window(features, 8, random=False)
    assert cut.visual.shape[1] == 8
    assert torch.equal(cut.visual[0], features.visual[0, 6:14])
    assert cut.visual_time[0, 0] == 0
    assert cut.audio_time[0][cut.audio_mask[0]].tolist() == [0.0, 0.5, 1.0, 1.5]  # of 1.5 s to 3.5 s, moved to 0
    assert torch.equal(cut.audio_mask[1], features.audio_mask[1])
    assert torch.equal(cut.visual_time[1, :2], features.visual_time[1, :2])
    assert crop_window(features, 0, random=True) is features


def test_random_windows_reach_both_ends():
    torch.manual_seed(0)
    features = some_features(((10, 6),) * 60)
    cut = crop_window(features, 4, random=True)
    firsts = {int((features.visual[i] == cut.visual[i, 0]).all(dim=1).nonzero()[0]) for i in range(len(features))}
    assert firsts == {0, 1, 2}


def test_training_windows_differ_from_test_windows():
    model = fusion(train_visual_steps=2, test_visual_steps=3)
    features = some_features()
    assert (model.train()(features).modality == 2).sum() == 2
    assert (model.eval()(features).modality == 2).sum() == 3


@pytest.mark.parametrize(
    "fields", [{"position_dim": 7}, {"self_layers": 3}, {"drop_steps": 1.0}, {"attention": "x"}, {"audio_scaling": "x"}]
)
def test_wrong_settings_raise(fields):
    with pytest.raises(ValueError, match="expected"):
        fusion(**fields)
