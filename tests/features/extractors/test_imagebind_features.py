import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.features.extractor import create_extractor
from avshot.features.extractors.imagebind_audio import spectrum
from avshot.files.imagebind import read_tower
from joint_models import TEXTS, film, noise, save_imagebind, snow, sound

RATE = 16000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_imagebind(tmp_path_factory.mktemp("imagebind"))


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_spectra_equal_the_extractor_of_ast():
    """Gong et al.'s preparation, which ImageBind took over: `(x - mean) / (2 deviation)` there."""
    from transformers import ASTFeatureExtractor

    ast = ASTFeatureExtractor(max_length=204, mean=-4.268, std=9.138 / 2)
    for samples in (2 * RATE, 12345, 400):
        piece = noise(samples)
        expected = ast(piece - piece.mean(), sampling_rate=RATE, return_tensors="pt")["input_values"][0].T
        torch.testing.assert_close(spectrum(piece), expected, atol=2e-3, rtol=0)
    assert spectrum(noise(7)).shape == (128, 204)


def test_windows_of_sound(path):
    extractor = create_extractor(f"imagebind_audio:{path}")
    assert extractor.request() == {"rate": RATE}
    waveform = noise(5 * RATE)
    found, times = extractor(sound(waveform, RATE))
    pieces = [waveform[: 2 * RATE], waveform[2 * RATE : 4 * RATE], waveform[4 * RATE :]]
    with torch.no_grad():
        expected = unit(read_tower(path, "audio")(torch.stack([spectrum(piece) for piece in pieces])[:, None]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [1, 3, 4.5])
    assert extractor.scale_and_bias() == pytest.approx((20 * np.exp(3), 0), rel=1e-5)
    with pytest.raises(ValueError, match=r"expected hop <= window <= 2\.0 s"):
        create_extractor(f"imagebind_audio:{path}?window=3")(sound(waveform, RATE))


def test_windows_of_frames(path):
    extractor = create_extractor(f"imagebind_video:{path}")
    assert extractor.request() == {"fps": 4.0, "short_side": 28}
    frames = snow(16, 28, 36)
    found, times = extractor(film(frames))
    middle = frames[:, :, 4:32].astype(np.float64) / 255
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    pixels = torch.tensor((middle - mean) / deviation).float()
    windows = torch.stack([pixels[[2, 6]], pixels[[10, 14]]]).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        expected = unit(read_tower(path, "vision")(windows))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(times, [1.125, 3.125])
    assert extractor.spec()["weights"].startswith("sha256:")
    assert "device" not in extractor.spec()


def test_texts_beside_each_other_and_alone(path):
    spec = create_extractor(f"imagebind_audio:{path}").text_spec()
    encoder = create_text_encoder(f"{spec}?tokenizer={path.replace('imagebind.pth', 'tokenizer')}")
    found = encoder.encode(TEXTS)
    assert (encoder.name, encoder.dim, found.shape) == ("imagebind", 12, (4, 12))
    with torch.no_grad():
        for text, row in zip(TEXTS, found, strict=True):
            ids = torch.tensor([encoder._tokenizer(text)["input_ids"]])
            wanted = read_tower(path, "text")(ids, last=torch.tensor([ids.shape[1] - 1]))[0]
            torch.testing.assert_close(row, unit(wanted), atol=1e-5, rtol=0)
    assert encoder.encode(["dog " * 50]).shape == (1, 12)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"imagebind_video: there is no file .*nowhere\.pth"):
        create_extractor(f"imagebind_video:{tmp_path}/nowhere.pth")
    with pytest.raises(ValueError, match=r"there is no file .*nowhere\.pth"):
        create_text_encoder(f"imagebind:{tmp_path}/nowhere.pth").encode(["dog"])
