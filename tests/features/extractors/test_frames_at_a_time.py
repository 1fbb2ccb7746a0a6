"""C3D, SeLaVi's pictures, S3D and DINO: which frames and pixels the network gets, written out by hand."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_released import clip

from avshot.features.extractor import create_extractor
from small_nets import STATES, small

KINETICS = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def saved(folder, name, more=""):
    torch.save({"model": STATES[name]()}, folder / f"{name}.pth")
    return create_extractor(f"{name}:{folder / f'{name}.pth'}{more}")


def pixels(frames, side, mean, deviation):
    """The middle of frames, one number after the other: `[1, colour, frame, side, side]`."""
    top, left = (frames.shape[1] - side + 1) // 2, (frames.shape[2] - side + 1) // 2
    out = np.zeros((3, len(frames), side, side))
    for colour in range(3):
        part = frames[:, top : top + side, left : left + side, colour].astype(np.float64)
        out[colour] = (part / 255 - mean[colour]) / deviation[colour]
    return torch.from_numpy(out).float()[None]


def near(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


def test_c3d_sees_sixteen_frames_and_zeros_behind_the_last(tmp_path):
    extractor, network = saved(tmp_path, "c3d"), small("c3d")
    media = clip(extractor, 1.48)  # 37 frames: 16, 16 and 5
    assert media.frames.shape[1:3] == (128, 171)
    vectors, times = extractor(media)
    near(vectors[1:2], network(pixels(media.frames[16:32], 112, *KINETICS)))
    last = torch.zeros(1, 3, 16, 112, 112)
    last[:, :, :5] = pixels(media.frames[32:], 112, *KINETICS)
    near(vectors[2:], network(last))
    assert times.tolist() == pytest.approx([8 / 25, 24 / 25, 34.5 / 25])
    blue = saved(tmp_path, "c3d", "?bgr=true&hop=0.32")(media)
    near(blue[0][2:3], network(pixels(media.frames[16:32, :, :, ::-1], 112, *KINETICS)))
    assert len(blue[0]) == 4
    plain = saved(tmp_path, "c3d", "?scaling=none")(media)
    near(plain[0][:1], network(255 * pixels(media.frames[:16], 112, (0, 0, 0), (1, 1, 1))))


def test_selavi_sees_thirty_frames_of_each_second(tmp_path):
    extractor, network = saved(tmp_path, "selavi_visual", "?side=32"), small("r2plus1d")
    media = clip(extractor, 5.0)
    vectors, times = extractor(media)
    starts = [0, 12, 24, 36]  # four windows spread as if there were ten
    assert times.tolist() == pytest.approx([(start + 15) / 30 for start in starts])
    for vector, start in zip(vectors, starts, strict=True):
        near(vector[None], network(pixels(media.frames[start : start + 30], 32, (0.45,) * 3, (0.225,) * 3)))
    short = clip(extractor, 0.5)
    repeated = np.concatenate([short.frames, np.repeat(short.frames[-1:], 15, axis=0)])
    near(extractor(short)[0], network(pixels(repeated, 32, (0.45,) * 3, (0.225,) * 3)))


def test_s3d_sees_sixteen_frames_spread_over_what_there_is(tmp_path):
    extractor, network = saved(tmp_path, "s3d", "?side=32"), small("s3d")
    assert extractor.request() == {"fps": 16.0, "short_side": 37}
    media = clip(extractor, 1.25)  # a second, and four frames
    vectors, times = extractor(media)
    flat = (0, 0, 0), (1, 1, 1)
    near(vectors[:1], network(pixels(media.frames[:16], 32, *flat))[0])
    rest = media.frames[[16] * 5 + [17] * 5 + [18] * 5 + [19]]
    near(vectors[1:], network(pixels(rest, 32, *flat))[0])
    assert times.tolist() == pytest.approx([0.5, 18 / 16])
    joint = saved(tmp_path, "s3d", "?side=32&layer=joint")
    near(joint(media)[0][:1], network(pixels(media.frames[:16], 32, *flat))[1])
    assert (extractor.dim, joint.dim) == (128, 6)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    folder = tmp_path_factory.mktemp("dino")
    ViTModel(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("size", [32, 48])
def test_dino_is_the_class_token_of_transformers(vit, size):
    from transformers import ViTModel

    extractor = create_extractor(f"dino:{vit}?side={size}&fps=2")
    assert extractor.request() == {"fps": 2.0, "short_side": round(size * 256 / 224)}
    media = clip(extractor, 2.0)
    vectors, times = extractor(media)
    images = pixels(media.frames, size, *IMAGENET)[0].transpose(0, 1)
    with torch.inference_mode():
        model = ViTModel.from_pretrained(vit).eval()
        expected = model(pixel_values=images, interpolate_pos_encoding=size != 32).last_hidden_state[:, 0]
    near(vectors, expected)
    assert times.tolist() == pytest.approx([0.25, 0.75, 1.25, 1.75])
    assert (extractor.dim, extractor.checked, extractor.licence) == (16, "random weights", "Apache-2.0")
    assert extractor.spec()["weights"].startswith("sha256:")


def test_dino_is_not_filled_up_with_random_numbers(vit, tmp_path):
    shutil.copytree(vit, tmp_path / "cut")
    state = load_file(tmp_path / "cut" / "model.safetensors")
    kept = {key: value for key, value in state.items() if "norm" not in key or not key.endswith("bias")}
    save_file(kept, tmp_path / "cut" / "model.safetensors", metadata={"format": "pt"})
    extractor = create_extractor(f"dino:{tmp_path / 'cut'}?side=32")
    with pytest.raises(ValueError, match=r"lack \d+ of a ViT"):
        extractor(clip(extractor))


def test_dino_leaves_black_out_and_says_what_cannot_be(vit, tmp_path):
    extractor = create_extractor(f"dino:{vit}?side=32")
    assert [len(part) for part in extractor(clip(extractor, 0.0, 2.0))] == [0, 0]
    assert extractor(clip(extractor, 2.0, 3.0))[1].tolist() == pytest.approx([3.5, 4.5])
    with pytest.raises(ValueError, match="multiple of 8"):
        create_extractor(f"dino:{vit}?side=30").dim  # noqa: B018
    with pytest.raises(ValueError, match="dino fps is 0"):
        create_extractor(f"dino:{vit}?fps=0")
    with pytest.raises(ValueError, match="cannot be loaded"):
        create_extractor(f"dino:{tmp_path}?side=32")(clip(extractor))
