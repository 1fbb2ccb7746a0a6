"""ImageBind by its released names, against CLIP of transformers (picture, text) and a naive tower (sound)."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from avshot.errors import BadSetting
from avshot.files.imagebind import Tower, read_scale, read_tower
from joint_models import imagebind_tensors, save_imagebind

SIZES = {
    "vision": {"width": 1280, "depth": 32, "places": 257},
    "audio": {"width": 768, "depth": 12, "places": 229},
    "text": {"width": 1024, "depth": 24, "places": 77, "words": 49408},
}


def listed(modality):
    """Names and shapes of the committed list, every number of a range by itself."""
    found = {}
    for name, shape in json.loads(Path(__file__).with_name("imagebind_huge.json").read_text())[modality].items():
        numbers = re.search(r"\{(\d+)-(\d+)\}", name)
        every = range(int(numbers[1]), int(numbers[2]) + 1) if numbers else [None]
        found |= {name if n is None else name.replace(numbers[0], str(n)): tuple(shape) for n in every}
    return found


@pytest.mark.parametrize("modality", SIZES)
def test_the_released_names_and_shapes_are_the_towers(modality):
    with torch.device("meta"):
        tower = Tower(modality, dim=1024, **SIZES[modality])
    own = {name: tuple(value.shape) for name, value in tower.state_dict().items()}
    beside = {name for name in listed(modality) if "postprocessors" in name or name.endswith("text.mask")}
    assert own == {name: shape for name, shape in listed(modality).items() if name not in beside}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_imagebind(tmp_path_factory.mktemp("imagebind"))


def in_clip(tensors, modality, model):
    """Our blocks as those of a CLIP tower of transformers."""
    trunk, state = f"modality_trunks.{modality}.", {}
    for name, value in tensors.items():
        found = re.fullmatch(re.escape(trunk) + r"blocks\.(\d+)\.(.+)\.?(weight|bias)", name)
        if not found:
            continue
        at, part, kind = f"encoder.layers.{found[1]}.", found[2].rstrip("._"), found[3]
        if part == "attn.in_proj":
            for one, piece in zip("qkv", value.chunk(3), strict=True):
                state[f"{at}self_attn.{one}_proj.{kind}"] = piece
        else:
            names = {"attn.out_proj": "self_attn.out_proj", "norm_1": "layer_norm1", "norm_2": "layer_norm2"}
            state[f"{at}{names.get(part, part)}.{kind}"] = value
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    return missing


def layers(**more):
    size = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 16}
    return {**size, "hidden_act": "gelu", "layer_norm_eps": 1e-6, **more}


def test_pictures_equal_clips_tower(path):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tensors = imagebind_tensors()
    model = CLIPVisionModel(CLIPVisionConfig(**layers(image_size=28, patch_size=14))).eval()
    inner = getattr(model, "vision_model", model)
    in_clip(tensors, "vision", inner)
    kernel = tensors["modality_preprocessors.vision.rgbt_stem.proj.1.weight"]
    with torch.no_grad():
        inner.embeddings.patch_embedding.weight.copy_(kernel.sum(dim=2))  # the same picture twice
        inner.embeddings.class_embedding.copy_(tensors["modality_preprocessors.vision.cls_token"][0, 0])
        places = tensors["modality_preprocessors.vision.pos_embedding_helper.pos_embed"]
        inner.embeddings.position_embedding.weight.copy_(places[0])
        for ours, theirs in (("modality_trunks.vision.pre_transformer_layer.0", inner.pre_layrnorm),
                             ("modality_heads.vision.0", inner.post_layernorm)):  # fmt: skip
            theirs.weight.copy_(tensors[f"{ours}.weight"])
            theirs.bias.copy_(tensors[f"{ours}.bias"])
        pixels = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(0))
        expected = model(pixel_values=pixels).pooler_output @ tensors["modality_heads.vision.2.weight"].T
        found = read_tower(path, "vision")(pixels[:, :, None].repeat(1, 1, 2, 1, 1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_texts_equal_clips_tower(path):
    from transformers import CLIPTextConfig, CLIPTextModel

    tensors = imagebind_tensors()
    ids = torch.tensor([[1, 4, 7, 3, 0, 0], [1, 9, 9, 9, 5, 3]])
    config = CLIPTextConfig(**layers(vocab_size=14, max_position_embeddings=9, eos_token_id=3))
    model = CLIPTextModel(config).eval()
    inner = getattr(model, "text_model", model)
    in_clip(tensors, "text", inner)
    with torch.no_grad():
        inner.embeddings.token_embedding.weight.copy_(tensors["modality_preprocessors.text.token_embedding.weight"])
        inner.embeddings.position_embedding.weight.copy_(tensors["modality_preprocessors.text.pos_embed"][0])
        inner.final_layer_norm.weight.copy_(tensors["modality_heads.text.proj.0.weight"])
        inner.final_layer_norm.bias.copy_(tensors["modality_heads.text.proj.0.bias"])
        expected = model(input_ids=ids).pooler_output @ tensors["modality_heads.text.proj.1.weight"].T
        found = read_tower(path, "text")(ids, last=torch.tensor([3, 5]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def naive_sound(weights, image):
    """The audio tower, patch by patch and head by head, written from the published description."""

    def normal(x, name, eps):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + eps) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    stem, trunk = "modality_preprocessors.audio", "modality_trunks.audio.blocks"
    kernel = weights[f"{stem}.rgbt_stem.proj.weight"].reshape(24, -1)
    patches = [image[r : r + 16, c : c + 16] for r in range(0, 128 - 15, 10) for c in range(0, 204 - 15, 10)]
    x = normal(np.stack([kernel @ patch.reshape(-1) for patch in patches]), f"{stem}.rgbt_stem.norm_layer", 1e-5)
    x = np.concatenate([weights[f"{stem}.cls_token"][0], x]) + weights[f"{stem}.pos_embedding_helper.pos_embed"][0]
    for depth in range(2):
        name = f"{trunk}.{depth}"
        y = normal(x, f"{name}.norm_1", 1e-6)
        q, k, v = np.split(y @ weights[f"{name}.attn.in_proj_weight"].T + weights[f"{name}.attn.in_proj_bias"], 3, 1)
        k = np.concatenate([k, weights[f"{name}.attn.bias_k"][0]])
        v = np.concatenate([v, weights[f"{name}.attn.bias_v"][0]])
        heads = []
        for h in range(12):
            at = slice(2 * h, 2 * h + 2)
            scores = np.exp(q[:, at] @ k[:, at].T / math.sqrt(2))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, at])
        mixed = np.concatenate(heads, axis=1)
        x = x + mixed @ weights[f"{name}.attn.out_proj.weight"].T + weights[f"{name}.attn.out_proj.bias"]
        y = normal(x, f"{name}.norm_2", 1e-6) @ weights[f"{name}.mlp.fc1.weight"].T + weights[f"{name}.mlp.fc1.bias"]
        y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = x + y @ weights[f"{name}.mlp.fc2.weight"].T + weights[f"{name}.mlp.fc2.bias"]
    return normal(x[0], "modality_heads.audio.0", 1e-6) @ weights["modality_heads.audio.2.weight"].T


def test_sounds_equal_a_naive_tower(path):
    image = torch.randn(2, 1, 128, 204, generator=torch.Generator().manual_seed(0))
    weights = {name: value.double().numpy() for name, value in imagebind_tensors().items()}
    expected = np.stack([naive_sound(weights, one[0].double().numpy()) for one in image])
    with torch.no_grad():
        np.testing.assert_allclose(read_tower(path, "audio")(image).numpy(), expected, atol=2e-4)


def test_scales_are_those_of_the_model(path):
    assert read_scale(path, "vision") == pytest.approx(math.exp(3))
    assert read_scale(path, "audio") == pytest.approx(20 * math.exp(3), rel=1e-5)


BROKEN = {
    "another model": (lambda t: t.update({"visual.proj": torch.ones(2)}), "has the parameter 'visual.proj'"),
    "a tensor too few": (lambda t: t.pop("modality_trunks.audio.blocks.1.attn.bias_k"), "lacking, unknown.*bias_k"),
    "a tensor too many": (lambda t: t.update({"modality_heads.audio.3.weight": torch.ones(2)}), "audio.3.weight"),
    "another shape": (lambda t: t.update({"modality_heads.audio.0.bias": torch.ones(2)}), "another size.*audio.0.bias"),
    "nan": (lambda t: t["modality_heads.audio.0.bias"].fill_(torch.nan), "audio.0.bias that are not finite"),
    "no head": (lambda t: t.pop("modality_heads.audio.2.weight"), "no audio tower of ImageBind whose sizes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_other_files_are_refused(tmp_path, case):
    change, words = BROKEN[case]
    tensors = imagebind_tensors()
    change(tensors)
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(BadSetting, match=rf"other\.pth.*{words}"):
        read_tower(tmp_path / "other.pth", "audio")


def test_files_that_hold_no_tensors(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BadSetting, match="has no parameters"):
        read_tower(tmp_path / "list.pth", "audio")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00\x00")
    with pytest.raises(BadSetting, match="not a readable file of tensors"):
        read_tower(tmp_path / "cut.safetensors", "audio")


def test_a_safetensors_file_will_do(path, tmp_path):
    from safetensors.torch import save_file

    save_file(imagebind_tensors(), tmp_path / "imagebind.safetensors")
    one, other = (read_tower(p, "text").state_dict() for p in (path, tmp_path / "imagebind.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)
