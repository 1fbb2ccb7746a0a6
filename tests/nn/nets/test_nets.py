"""Networks by their released names: every name and shape of the published sizes, and numbers against NumPy loops."""

import numpy as np
import pytest
import torch

from avshot.nn.nets.audio_mae import AudioMae
from avshot.nn.nets.c3d import C3D
from avshot.nn.nets.r2plus1d import R2Plus1D
from avshot.nn.nets.resnet9 import ResNet9
from avshot.nn.nets.s3d import S3D
from avshot.nn.nets.vggish import VGGish
from naive_nets import batch, conv, linear, mean, numbers, pool, relu
from released_lists import released_list
from small_nets import small

PUBLISHED = {"c3d": C3D, "vggish": VGGish, "r2plus1d": R2Plus1D, "resnet9": ResNet9, "audio_mae": AudioMae, "s3d": S3D}


def size(shape):
    return int(np.prod(shape, dtype=np.int64))


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_those_of_the_release(name):
    """On "meta" nothing is allocated; the sizes that `like` reads from a file are those it was made with."""
    listed = released_list(name)
    with torch.device("meta"):
        network = PUBLISHED[name]()
        again = PUBLISHED[name].like({key: torch.empty(shape) for key, shape in listed.items()})
    for made in (network, again):
        assert {key: tuple(value.shape) for key, value in made.state_dict().items()} == listed


def test_the_lists_agree_with_what_is_known_of_the_files():
    def parameters(name):
        kept = {k: s for k, s in released_list(name).items() if "running_" not in k and "num_batches" not in k}
        return sum(map(size, kept.values()))

    # torchvision states 31,505,325 parameters for r2plus1d_18 with its classifier of 400 classes.
    assert parameters("r2plus1d") == 31_505_325 - (512 * 400 + 400)
    # Audio-MAE's log of fine-tuning: positions are fixed, the norm is one of the mean, 527 classes are added.
    places = size(released_list("audio_mae")["pos_embed"])
    assert parameters("audio_mae") - places + (768 * 527 + 527) == 85_659_407
    # Sizes of the files: what is beyond the numbers is names and padding, some hundred bytes each.
    for name, bytes_of_file in (("vggish", 288_567_937), ("s3d", 125_031_128)):
        listed = released_list(name)
        counted = sum(size(shape) * (8 if key.endswith("tracked") else 4) for key, shape in listed.items())
        assert 0 < bytes_of_file - counted < 250 * len(listed)


def close(got, expected):
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-4, atol=2e-5)


def test_c3d_is_eight_convolutions_and_two_layers():
    network, clips = small("c3d"), torch.randn(2, 3, 16, 112, 112)
    state = numbers(network.state_dict())
    assert float(network(clips).min(dim=1).values.sum()) < float(network(clips).max(dim=1).values.sum())
    for got, clip in zip(network(clips), clips.double().numpy(), strict=True):
        x = pool(relu(conv(state, "conv1", clip, pad=1)), (1, 2, 2), (1, 2, 2))
        x = pool(relu(conv(state, "conv2", x, pad=1)), 2, 2)
        for group in "345":
            for part in "ab":
                x = relu(conv(state, f"conv{group}{part}", x, pad=1))
            if group != "5":
                x = pool(x, 2, 2)
        edged = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
        x = np.stack(
            [edged[:, 0:2, i : i + 2, j : j + 2].max(axis=(1, 2, 3)) for i in range(0, 8, 2) for j in range(0, 8, 2)]
        )
        close(got, relu(linear(state, "fc7", relu(linear(state, "fc6", x.T.reshape(-1))))))


def test_vggish_is_six_convolutions_and_three_layers_channels_last():
    network, patches = small("vggish"), torch.randn(2, 1, 96, 64)
    state = numbers(network.state_dict())
    for got, x in zip(network(patches), patches.double().numpy(), strict=True):
        for layer in (0, None, 3, None, 6, 8, None, 11, 13, None):
            x = pool(x, 2, 2) if layer is None else relu(conv(state, f"features.{layer}", x, pad=1))
        flat = np.moveaxis(x, 0, -1).reshape(-1)
        for layer in (0, 2, 4):
            flat = relu(linear(state, f"embeddings.{layer}", flat))
        close(got, flat)
    assert float(network(patches).abs().sum()) > 0


def naive_r2plus1d(state, x):
    x = relu(batch(state, "stem.1", conv(state, "stem.0", x, (1, 2, 2), (0, 3, 3))))
    x = relu(batch(state, "stem.4", conv(state, "stem.3", x, 1, (1, 0, 0))))
    for group in range(1, 5):
        for block in range(2):
            at, before, stride = f"layer{group}.{block}", x, 2 if group > 1 and block == 0 else 1
            for part, step in (("conv1", stride), ("conv2", 1)):
                x = conv(state, f"{at}.{part}.0.0", x, (1, step, step), (0, 1, 1))
                x = conv(state, f"{at}.{part}.0.3", relu(batch(state, f"{at}.{part}.0.1", x)), (step, 1, 1), (1, 0, 0))
                x = batch(state, f"{at}.{part}.1", x)
                x = relu(x) if part == "conv1" else x
            if stride > 1:
                before = batch(state, f"{at}.downsample.1", conv(state, f"{at}.downsample.0", before, 2))
            x = relu(x + before)
    return mean(x)


def test_r2plus1d_convolves_in_space_and_then_in_time():
    network, clips = small("r2plus1d"), torch.randn(1, 3, 9, 30, 34)
    close(network(clips)[0], naive_r2plus1d(numbers(network.state_dict()), clips[0].double().numpy()))


def test_resnet9_has_one_block_in_each_group():
    network, spectrograms = small("resnet9"), torch.randn(1, 1, 50, 41)
    state, x = numbers(network.state_dict()), spectrograms[0].double().numpy()
    x = relu(batch(state, "bn1", conv(state, "conv1", x, 2, 3)))
    edged = np.pad(x, [(0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    rows, columns = ((n - 3) // 2 + 1 for n in edged.shape[1:])
    x = np.array(
        [[edged[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2)) for j in range(columns)] for i in range(rows)]
    )
    x = np.moveaxis(x, -1, 0)
    for group in range(1, 5):
        at, before, stride = f"layer{group}.0", x, 1 if group == 1 else 2
        x = relu(batch(state, f"{at}.bn1", conv(state, f"{at}.conv1", x, stride, 1)))
        x = batch(state, f"{at}.bn2", conv(state, f"{at}.conv2", x, 1, 1))
        if group > 1:
            before = batch(state, f"{at}.downsample.1", conv(state, f"{at}.downsample.0", before, 2))
        x = relu(x + before)
    close(network(spectrograms)[0], mean(x))


def separable(state, at, x):
    x = relu(batch(state, f"{at}.bn1", conv(state, f"{at}.conv1", x, 1, (0, 1, 1))))
    return relu(batch(state, f"{at}.bn2", conv(state, f"{at}.conv2", x, 1, (1, 0, 0))))


def one(state, at, x):
    return relu(batch(state, f"{at}.bn1", conv(state, f"{at}.conv1", x)))


def gated(state, at, x):
    return x / (1 + np.exp(-linear(state, f"{at}.fc", mean(x)))).reshape(-1, 1, 1, 1)


def group(state, at, x):
    branches = [
        one(state, f"{at}.conv_b0", x),
        separable(state, f"{at}.conv_b1_b", one(state, f"{at}.conv_b1_a", x)),
        separable(state, f"{at}.conv_b2_b", one(state, f"{at}.conv_b2_a", x)),
        one(state, f"{at}.conv_b3_b", pool(x, 3, 1, 1, 1)),
    ]
    return np.concatenate([gated(state, f"{at}.gating_b{i}", branch) for i, branch in enumerate(branches)])


def naive_s3d(state, clip):
    """TensorFlow's "SAME": of what is missing the smaller half is put before, and zeros take part in maxima."""
    colour, time, height, width = clip.shape
    cells = np.zeros((8 * colour, time // 2, height // 2, width // 2))
    for t, i, j, c in np.ndindex(2, 2, 2, colour):
        cells[(4 * t + 2 * i + j) * colour + c] = clip[c, t::2, i::2, j::2]
    edged = np.pad(cells, [(0, 0), (0, 1), (1, 2), (1, 2)])
    x = relu(batch(state, "conv1.bn1", conv(state, "conv1.conv1", edged)))
    x = pool(x, (1, 3, 3), (1, 2, 2), 0, (0, 1, 1), fill=0)
    x = gated(state, "gating", separable(state, "conv_2c", one(state, "conv_2b", x)))
    x = pool(x, (1, 3, 3), (1, 2, 2), 0, (0, 1, 1), fill=0)
    x = group(state, "mixed_3c", group(state, "mixed_3b", x))
    x = pool(x, 3, 2, 0, 1, fill=0)
    for letter in "bcdef":
        x = group(state, f"mixed_4{letter}", x)
    x = group(state, "mixed_5c", group(state, "mixed_5b", pool(x, 2, 2)))
    return mean(x), linear(state, "fc", mean(x))


def test_s3d_is_the_gated_inception_of_the_release():
    network, clips = small("s3d"), torch.rand(1, 3, 8, 36, 44)
    expected = naive_s3d(numbers(network.state_dict()), clips[0].double().numpy())
    for got, wanted in zip(network(clips), expected, strict=True):
        close(got[0], wanted)


def test_a_text_is_the_maximum_over_its_words_and_padding():
    tower = small("s3d").text_module
    state, tokens = numbers(tower.state_dict()), torch.tensor([[3, 1, 0, 0], [8, 8, 2, 0]])
    for got, row in zip(tower(tokens), tokens.tolist(), strict=True):
        words = np.stack([relu(linear(state, "fc1", state["word_embd.weight"][word])) for word in row])
        close(got, linear(state, "fc2", words.max(axis=0)))


@pytest.mark.parametrize("name", ["audio_mae", "audio_mae_tuned"])
def test_audio_mae_is_the_vision_transformer_of_transformers(name):
    """`ViTModel` with the same numbers under its own names; rows of patches are time, columns are bands."""
    from transformers import ViTConfig, ViTModel

    network, spectrograms = small(name), torch.randn(2, 1, 32, 128)
    config = ViTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=256, layer_norm_eps=1e-6,
        image_size=(32, 128), patch_size=16, num_channels=1,
    )  # fmt: skip
    model = ViTModel(config, add_pooling_layer=False).eval()
    state = network.state_dict()
    named = {"embeddings.cls_token": state["cls_token"], "embeddings.position_embeddings": state["pos_embed"]}
    pairs = {
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "layernorm": "fc_norm" if network.tuned else "norm",
    }
    theirs = {key.rpartition(".")[0] for key in model.state_dict()}
    for i in range(2):
        at = next(key for key in theirs if f"layer.{i}." in key or f"layers.{i}." in key).split(f".{i}.")[0] + f".{i}"
        for key in [key for key in theirs if key.startswith(f"{at}.")]:
            pairs[key] = f"blocks.{i}." + OURS[key.removeprefix(f"{at}.")]
    for key, name_of in pairs.items():
        for kind in ("weight", "bias"):
            whole = state[f"{name_of.partition(':')[0]}.{kind}"]
            part = name_of.partition(":")[2]
            named[f"{key}.{kind}"] = whole.chunk(3)[int(part)] if part else whole
    model.load_state_dict(named)
    with torch.inference_mode():
        if network.tuned:  # normalised is the mean, not each token
            norm, model.layernorm = model.layernorm, torch.nn.Identity()
            tokens = model(spectrograms).last_hidden_state[:, 1:]
            expected, over_time = norm(tokens.mean(dim=1)), norm(tokens.reshape(2, 2, 8, 64).mean(dim=2))
        else:
            tokens = model(spectrograms).last_hidden_state[:, 1:]
            expected, over_time = tokens.mean(dim=1), tokens.reshape(2, 2, 8, 64).mean(dim=2)
    torch.testing.assert_close(network(spectrograms), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network(spectrograms, over_time=True), over_time, atol=1e-5, rtol=1e-4)


OURS = {
    "layernorm_before": "norm1", "layernorm_after": "norm2",
    "attention.attention.query": "attn.qkv:0", "attention.attention.key": "attn.qkv:1",
    "attention.attention.value": "attn.qkv:2", "attention.output.dense": "attn.proj",
    "attention.q_proj": "attn.qkv:0", "attention.k_proj": "attn.qkv:1", "attention.v_proj": "attn.qkv:2",
    "attention.o_proj": "attn.proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
    "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
}  # fmt: skip


def test_audio_mae_of_impossible_sizes_is_none():
    state = small("audio_mae").state_dict()
    with pytest.raises(ValueError, match="15 patches"):
        AudioMae.like({**state, "pos_embed": torch.zeros(1, 16, 64)})
