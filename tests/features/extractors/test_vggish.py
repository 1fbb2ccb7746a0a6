"""VGGish: its spectrogram against transformers', the released components against the formula."""

import math

import numpy as np
import pytest
import torch
from test_released import clip

from avshot.features.extractor import create_extractor
from avshot.features.extractors.vggish import log_mel
from small_nets import small


@pytest.fixture
def file(tmp_path):
    torch.save(small("vggish").state_dict(), tmp_path / "vggish-10086976.pth")
    return tmp_path / "vggish-10086976.pth"


@pytest.fixture
def components():
    random = np.random.default_rng(5)
    return {"pca_eigen_vectors": random.normal(size=(5, 5)).astype(np.float32), "pca_means": random.normal(size=(5,))}


def test_the_spectrogram_is_that_of_googles_program():
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 15_600)
    filters = mel_filter_bank(257, 64, 125.0, 7500.0, 16_000, mel_scale="kaldi", triangularize_in_mel_space=True)
    magnitude = spectrogram(
        waveform, window_function(400, "hann"), 400, 160, 512, power=1.0, center=False, mel_filters=filters
    )
    got = log_mel(torch.from_numpy(waveform).float()[None])[0]
    assert got.shape == (96, 64)
    np.testing.assert_allclose(got.numpy(), np.log(magnitude.T + 0.01), atol=2e-4)


def test_a_tone_is_loudest_in_its_band():
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(15_600) / 16_000)
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    band = int(np.argmin(np.abs(edges[1:-1] - 1127 * np.log1p(1000 / 700))))
    assert abs(int(log_mel(tone[None])[0].mean(dim=0).argmax()) - band) <= 1


def test_patches_follow_each_other_and_a_rest_is_left_out(file):
    extractor = create_extractor(f"vggish:{file}?pca=none")
    media = clip(extractor, 5.6)  # 5 whole patches and 0.78 s
    vectors, times = extractor(media)
    assert times.tolist() == pytest.approx([0.4875 + 0.96 * i for i in range(5)])
    patch = torch.from_numpy(media.waveform[2 * 15_360 : 2 * 15_360 + 15_600])
    torch.testing.assert_close(vectors[2], small("vggish")(log_mel(patch[None])[:, None])[0], atol=1e-5, rtol=1e-4)
    close = create_extractor(f"vggish:{file}?pca=none&hop=0.48")(media)
    torch.testing.assert_close(close[0][::2], vectors, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["npz", "pth"])
def test_released_features_are_whole_numbers_up_to_255(file, components, kind):
    path = file.parent / f"vggish_pca_params.{kind}"
    if kind == "npz":
        np.savez(path, **components)
    else:
        torch.save(components, path)  # the release holds arrays of numpy
    plain = create_extractor(f"vggish:{file}?pca=none")
    vectors, expected = plain(clip(plain, 3.0))[0].double().numpy(), []
    for vector in vectors:
        whitened = components["pca_eigen_vectors"].astype(np.float64) @ (vector - components["pca_means"])
        expected.append([int((min(max(x, -2.0), 2.0) + 2.0) * 255 / 4) for x in whitened])
    for spec in (f"vggish:{file}", f"vggish:{file}?pca={path}"):
        extractor = create_extractor(spec)
        assert extractor(clip(extractor, 3.0))[0].tolist() == expected
        assert extractor.spec()["pca_weights"].startswith("sha256:")
    assert np.mean([0 < x < 255 for row in expected for x in row]) > 0


def test_the_file_of_avcas_program_has_other_names_for_the_same(file):
    state = {key.replace("embeddings.", "fc."): value for key, value in small("vggish").state_dict().items()}
    torch.save(state, file.with_name("pytorch_vggish.pth"), _use_new_zipfile_serialization=False)
    first, second = (
        create_extractor(f"vggish:{file.with_name(n)}?pca=none") for n in (file.name, "pytorch_vggish.pth")
    )
    torch.testing.assert_close(second(clip(second))[0], first(clip(first))[0])


def test_components_that_are_not_there_or_do_not_fit_are_said(file, components):
    with pytest.raises(ValueError, match=r"0 files .* lie beside .*pca=FILE"):
        create_extractor(f"vggish:{file}")
    with pytest.raises(ValueError, match="there is no file nowhere"):
        create_extractor(f"vggish:{file}?pca=nowhere.npz")
    path = file.parent / "vggish_pca_params.npz"
    np.savez(path, pca_eigen_vectors=np.eye(3))
    extractor = create_extractor(f"vggish:{file}")
    with pytest.raises(ValueError, match="has no 'pca_means'"):
        extractor(clip(extractor))
    np.savez(path, pca_eigen_vectors=np.eye(3), pca_means=np.zeros(3))
    extractor = create_extractor(f"vggish:{file}")
    with pytest.raises(ValueError, match=r"components \(3, 3\); expected 5"):
        extractor(clip(extractor))
