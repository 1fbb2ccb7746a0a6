"""The CLAP of WavCaps: parameters by their names, and numbers against a forward pass written out here.

No real checkpoint is at hand: the files are made here, in the layout of the published one, smaller.
"""

import collections
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from avshot.features.extractor import create_extractor
from avshot.features.extractors.wavcaps import decibels, htsat
from avshot.files.wavcaps import _UNUSED, _renamed, read_wavcaps
from avshot.media import Media

RATE, BANDS, WINDOW = 32000, 64, 8
WIDTH, DEPTHS, HEADS, JOINT = 8, (2, 1), (2, 4), 12  # published: 96, (2, 2, 6, 2), (4, 8, 16, 32), 1024


def layout(width=WIDTH, depths=DEPTHS, heads=HEADS, joint=JOINT, bert=64):
    """Names and shapes of `HTSAT-BERT-zero-shot.pt`, from the authors' modules."""
    audio = {"bn0.weight": (BANDS,), "bn0.bias": (BANDS,), "bn0.running_mean": (BANDS,), "bn0.running_var": (BANDS,)}
    audio |= {"bn0.num_batches_tracked": (), "audio_feats_extractor.log_trans.melW": (513, BANDS)}
    audio |= {f"audio_feats_extractor.mel_trans.stft.conv_{part}.weight": (513, 1, 1024) for part in ("real", "imag")}
    audio |= {"patch_embed.proj.weight": (width, 1, 4, 4), "patch_embed.proj.bias": (width,)}
    audio |= {"patch_embed.norm.weight": (width,), "patch_embed.norm.bias": (width,)}
    for i, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        dim, side = width << i, 64 >> i
        for j in range(depth):
            at = f"layers.{i}.blocks.{j}."
            audio |= {f"{at}{norm}.{kind}": (dim,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
            audio |= {f"{at}attn.relative_position_bias_table": (225, count)}
            audio |= {f"{at}attn.relative_position_index": (64, 64)}
            layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
            for name, (rows, columns) in ((name, (dim * r, dim * c)) for name, (r, c) in layers.items()):
                audio |= {f"{at}{name}.weight": (rows, columns), f"{at}{name}.bias": (rows,)}
            if j % 2 and side > WINDOW:
                audio[f"{at}attn_mask"] = ((side // WINDOW) ** 2, 64, 64)
        if i + 1 < len(depths):
            audio |= {f"layers.{i}.downsample.reduction.weight": (2 * dim, 4 * dim)}
            audio |= {f"layers.{i}.downsample.norm.{kind}": (4 * dim,) for kind in ("weight", "bias")}
    last = width << len(depths) >> 1
    audio |= {"norm.weight": (last,), "norm.bias": (last,), "tscam_conv.weight": (527, last, 2, 3)}
    audio |= {"tscam_conv.bias": (527,), "head.weight": (527, 527), "head.bias": (527,)}
    shapes = {f"audio_encoder.audio_enc.{name}": shape for name, shape in audio.items()} | {"temp": ()}
    for part, into in (("audio_proj", last), ("text_proj", bert)):
        shapes |= {f"{part}.0.weight": (joint, into), f"{part}.0.bias": (joint,)}
        shapes |= {f"{part}.2.weight": (joint, joint), f"{part}.2.bias": (joint,)}
    return shapes


def bert_state(width=64):
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(vocab_size=30, hidden_size=width, num_hidden_layers=2, num_attention_heads=1,
                        intermediate_size=32, max_position_embeddings=40)  # fmt: skip
    state = BertModel(config, add_pooling_layer=False).state_dict()
    state["embeddings.position_ids"] = torch.arange(40)[None]  # as transformers of that time kept it
    return {f"text_encoder.text_encoder.{name}": value for name, value in state.items()}


def made_state():
    import librosa

    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in layout().items():
        state[name] = 0.3 * torch.randn(shape, generator=generator)
        if name.endswith(("running_var", "norm.weight", "norm1.weight", "norm2.weight")):
            state[name] = 0.5 + state[name].abs()
        if name.endswith(("num_batches_tracked", "relative_position_index")):
            state[name] = torch.zeros(shape, dtype=torch.long)
    mel = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=BANDS, fmin=50, fmax=14000)
    state["audio_encoder.audio_enc.audio_feats_extractor.log_trans.melW"] = torch.from_numpy(mel.T.copy())
    return collections.OrderedDict(state | bert_state())


@pytest.fixture(scope="module")
def state():
    return made_state()


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("wavcaps") / "HTSAT-BERT-zero-shot.pt"
    torch.save({"model": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 5e-5}]}}, path)
    return path


def naive_attention(state, at, windows, heads, shifted):
    """Window by window, query by query; `shifted` says of every place of a window which region of the picture it is."""
    dim = windows.shape[-1]
    size, out = dim // heads, torch.zeros_like(windows)
    table = state[f"{at}attn.relative_position_bias_table"]
    place = [(row, column) for row in range(WINDOW) for column in range(WINDOW)]
    bias = torch.stack(
        [torch.stack([table[(a[0] - b[0] + 7) * 15 + a[1] - b[1] + 7] for b in place]) for a in place]
    )  # [query, key, head]
    for w, window in enumerate(windows):
        qkv = window @ state[f"{at}attn.qkv.weight"].T + state[f"{at}attn.qkv.bias"]
        for head in range(heads):
            q, k, v = (qkv[:, part * dim + head * size : part * dim + (head + 1) * size] for part in range(3))
            scores = q @ k.T / size**0.5 + bias[:, :, head]
            if shifted is not None:
                scores = scores - 100.0 * (shifted[w][:, None] != shifted[w][None])
            out[w][:, head * size : (head + 1) * size] = scores.softmax(dim=1) @ v
    return out @ state[f"{at}attn.proj.weight"].T + state[f"{at}attn.proj.bias"]


def cut(picture):
    """Windows of 8 x 8 from `[side, side, dim]`: `[window, 64, dim]`."""
    side, found = len(picture), []
    for row in range(0, side, WINDOW):
        for column in range(0, side, WINDOW):
            found.append(picture[row : row + WINDOW, column : column + WINDOW].reshape(64, -1))
    return torch.stack(found)


def mended(windows, side):
    picture, which = torch.zeros(side, side, windows.shape[-1]), 0
    for row in range(0, side, WINDOW):
        for column in range(0, side, WINDOW):
            picture[row : row + WINDOW, column : column + WINDOW] = windows[which].reshape(WINDOW, WINDOW, -1)
            which += 1
    return picture


def norm(state, name, value):
    return F.layer_norm(value, value.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def naive_block(state, at, picture, heads, shift):
    side = len(picture)
    moved = norm(state, f"{at}norm1", picture)
    regions = None
    if shift:
        moved = torch.roll(moved, (-shift, -shift), dims=(0, 1))
        band = torch.tensor([0 if i < side - WINDOW else 1 if i < side - shift else 2 for i in range(side)])
        regions = cut((3 * band[:, None] + band[None])[:, :, None])[:, :, 0]
    out = mended(naive_attention(state, at, cut(moved), heads, regions), side)
    picture = picture + (torch.roll(out, (shift, shift), dims=(0, 1)) if shift else out)
    hidden = norm(state, f"{at}norm2", picture) @ state[f"{at}mlp.fc1.weight"].T + state[f"{at}mlp.fc1.bias"]
    return picture + F.gelu(hidden) @ state[f"{at}mlp.fc2.weight"].T + state[f"{at}mlp.fc2.bias"]


def naive_htsat(state, mel):
    """The authors' HTSAT on a spectrogram `[frame, band]`: one vector."""
    state = {name.removeprefix("audio_encoder.audio_enc."): value for name, value in state.items()}
    scaled = (mel - state["bn0.running_mean"]) / (state["bn0.running_var"] + 1e-5).sqrt()
    scaled = scaled * state["bn0.weight"] + state["bn0.bias"]
    long = F.interpolate(scaled[None, None], (1024, BANDS), mode="bicubic", align_corners=True)[0, 0]
    folded = torch.cat([long[256 * i : 256 * (i + 1)].T for i in range(4)])  # four stretches, one below the other
    patches = torch.zeros(64, 64, WIDTH)
    for row in range(64):
        for column in range(64):
            patch = folded[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            patches[row, column] = (state["patch_embed.proj.weight"][:, 0] * patch).sum(dim=(1, 2))
    picture = norm(state, "patch_embed.norm", patches + state["patch_embed.proj.bias"])
    for i, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        for j in range(depth):
            picture = naive_block(state, f"layers.{i}.blocks.{j}.", picture, heads, WINDOW // 2 if j % 2 else 0)
        if i + 1 < len(DEPTHS):
            four = [picture[0::2, 0::2], picture[1::2, 0::2], picture[0::2, 1::2], picture[1::2, 1::2]]
            merged = norm(state, f"layers.{i}.downsample.norm", torch.cat(four, dim=-1))
            picture = merged @ state[f"layers.{i}.downsample.reduction.weight"].T
    return norm(state, "norm", picture).reshape(-1, picture.shape[-1]).mean(dim=0)


def projected(state, part, vector):
    hidden = (state[f"{part}.0.weight"] @ vector + state[f"{part}.0.bias"]).clamp(min=0)
    out = state[f"{part}.2.weight"] @ hidden + state[f"{part}.2.bias"]
    return out / out.square().sum().sqrt()


def sound(waveform, rate=RATE):
    frames = np.zeros((0, 8, 8, 3), dtype=np.uint8)
    return Media(frames, np.zeros(0), waveform.astype(np.float32), rate, "no_visual", len(waveform) / rate)


def noise(seconds):
    return 0.1 * np.random.default_rng(1).standard_normal(int(seconds * RATE))


@torch.no_grad()
def test_a_clip_is_the_authors_forward_pass(file, state):
    import librosa

    extractor = create_extractor(f"wavcaps:{file}")
    wave = noise(4.2)
    vectors, times = extractor(sound(wave))
    padded = np.concatenate([wave.astype(np.float32), np.zeros(10 * RATE - len(wave), np.float32)])
    power = librosa.feature.melspectrogram(
        y=padded, sr=RATE, n_fft=1024, hop_length=320, window="hann", center=True, pad_mode="reflect", power=2.0,
        n_mels=BANDS, fmin=50, fmax=14000,
    )  # fmt: skip
    mel = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T
    assert mel.shape == (1001, BANDS)
    expected = projected(state, "audio_proj", naive_htsat(state, torch.from_numpy(mel)))
    assert (vectors.shape, extractor.dim, extractor.request()) == ((1, JOINT), JOINT, {"rate": RATE})
    torch.testing.assert_close(vectors[0], expected, atol=2e-4, rtol=1e-3)
    assert times.tolist() == pytest.approx([2.1])


def test_decibels_are_those_of_librosa():
    import librosa

    wave = noise(0.7).astype(np.float32)
    filters = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=BANDS, fmin=50, fmax=14000)
    power = librosa.feature.melspectrogram(
        y=wave, sr=RATE, n_fft=1024, hop_length=320, pad_mode="reflect", n_mels=BANDS, fmin=50, fmax=14000
    )
    expected = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T
    got = decibels(torch.from_numpy(wave), torch.from_numpy(filters.T.copy()))
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=1e-3, rtol=1e-4)
    assert decibels(torch.zeros(2000), torch.from_numpy(filters.T.copy())).unique().tolist() == [-100.0]


def test_of_a_long_clip_the_middle_counts_and_silence_is_no_sound(file):
    extractor = create_extractor(f"wavcaps:{file}")
    long = noise(12.5)
    vectors, times = extractor(sound(long))
    middle, _ = extractor(sound(long[int(1.25 * RATE) : int(11.25 * RATE)]))
    torch.testing.assert_close(vectors, middle)
    assert times.tolist() == pytest.approx([6.25])
    assert [len(part) for part in extractor(sound(np.zeros(RATE)))] == [0, 0]
    with pytest.raises(ValueError, match="expects 32000"):
        extractor(sound(noise(1.0), rate=48000))
    again = pickle.loads(pickle.dumps(extractor))
    assert again == extractor
    assert extractor.spec()["weights"].startswith("sha256:")


def test_every_parameter_of_the_published_sizes_has_one_place():
    """On "meta" nothing is allocated: names and shapes alone."""
    from transformers import ClapAudioConfig, ClapAudioModel

    shapes = layout(96, (2, 2, 6, 2), (4, 8, 16, 32), 1024, 768)
    with torch.device("meta"):
        model = ClapAudioModel(ClapAudioConfig()).audio_encoder  # transformers' defaults are those sizes
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
    wanted = {name: tuple(value.shape) for name, value in model.named_parameters()}
    prefix = "audio_encoder.audio_enc."
    used = {name.removeprefix(prefix): value for name, value in state.items()
            if name.startswith(prefix) and not _UNUSED.fullmatch(name) and "melW" not in name}  # fmt: skip
    found = {name: tuple(value.shape) for name, value in _renamed(used).items()}
    statistics = {f"batch_norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(found) == set(wanted) | statistics
    assert {name: found[name] for name in wanted} == wanted


def changed(state, path, change):
    other = collections.OrderedDict(state)
    change(other)
    torch.save({"model": other}, path)
    return path


AUDIO = "audio_encoder.audio_enc."
WRONG = {
    "the parameter 'vision.weight'": lambda s: s.update({"vision.weight": torch.zeros(1)}),
    "no audio_proj.": lambda s: [s.pop(name) for name in list(s) if name.startswith("audio_proj.")],
    "no mel filters": lambda s: s.pop(f"{AUDIO}audio_feats_extractor.log_trans.melW"),
    "layers.0.blocks.1.attention.self.query.weight": lambda s: s.pop(f"{AUDIO}layers.0.blocks.1.attn.qkv.weight"),
    "layers.0.blocks.0.odd": lambda s: s.update({f"{AUDIO}layers.0.blocks.0.odd": torch.zeros(2)}),
    "norm.weight": lambda s: s.update({f"{AUDIO}norm.weight": torch.zeros(3)}),
    "not finite": lambda s: s.update({f"{AUDIO}norm.weight": torch.full((16,), float("nan"))}),
    "whose sizes can be told": lambda s: s.pop(f"{AUDIO}patch_embed.proj.weight"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_file_with_missing_or_odd_parameters_is_refused_in_a_sentence(state, tmp_path, words):
    path = changed(state, tmp_path / "wrong.pt", WRONG[words])
    with pytest.raises(ValueError, match=r"wrong\.pt") as caught:
        create_extractor(f"wavcaps:{path}")(sound(noise(1.0)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_state_dict_alone_is_read_too_and_a_missing_file_is_named(state, tmp_path):
    torch.save(state, tmp_path / "plain.pt")
    weights = read_wavcaps(tmp_path / "plain.pt")
    assert weights.dim == JOINT
    assert htsat(weights.audio, "plain.pt", bands=BANDS).config.depths == list(DEPTHS)
    with pytest.raises(ValueError, match="there is no file"):
        create_extractor(f"wavcaps:{tmp_path / 'none.pt'}")
