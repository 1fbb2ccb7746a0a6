"""S3D's text tower: words by their numbers, in the space that its pictures lie in."""

import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder, embed_classes
from small_nets import small

WORDS = ["slice", "slowly", "don't", "rain", "a", "dog", "of", "bark"]  # eight, and padding


@pytest.fixture
def file(tmp_path):
    torch.save(small("s3d").state_dict(), tmp_path / "s3d_howto100m.pth", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "s3d_dict.npy", np.array(WORDS))
    return tmp_path / "s3d_howto100m.pth"


def vector(numbers):
    tower = small("s3d").text_module
    found = tower(torch.tensor([numbers + [0] * (16 - len(numbers))]))[0]
    return found / found.norm()


def test_a_text_is_its_known_words(file):
    encoder = create_text_encoder(f"s3d:{file}")
    got = encoder.encode(["Slice, slowly!", "a DOG that barks", "don't bark"])
    assert (encoder.name, encoder.dim, encoder.checked) == ("s3d", 6, "random weights")
    for row, numbers in zip(got, ([1, 2], [5, 6], [3, 8]), strict=True):
        torch.testing.assert_close(row, vector(numbers))
    sixteen = " ".join(["rain"] * 15 + ["dog", "slice"])
    torch.testing.assert_close(encoder.encode([sixteen])[0], vector([4] * 15 + [6]))
    assert list(embed_classes(["rain", "dog"], [f"s3d:{file}"]).text) == ["s3d"]


def test_the_words_may_lie_elsewhere(file, tmp_path):
    np.save(tmp_path / "other.npy", np.array(WORDS[::-1]))
    encoder = create_text_encoder(f"s3d:{file}?words={tmp_path / 'other.npy'}")
    torch.testing.assert_close(encoder.encode(["bark"])[0], vector([1]))


def test_what_cannot_be_is_said(file, tmp_path):
    encoder = create_text_encoder(f"s3d:{file}")
    with pytest.raises(ValueError, match=r"no vector for: 'xylophone' \(none of its words\)"):
        encoder.encode(["rain", "xylophone"])
    for words, said in ((np.arange(3), "list of words"), (np.array([*WORDS, "more"]), "holds 9 words for 9 vectors")):
        np.save(tmp_path / "s3d_dict.npy", words)
        with pytest.raises(ValueError, match=said):
            create_text_encoder(f"s3d:{file}").encode(["rain"])
    (tmp_path / "s3d_dict.npy").unlink()
    with pytest.raises(ValueError, match="give the words"):
        create_text_encoder(f"s3d:{file}").encode(["rain"])
    with pytest.raises(ValueError, match="There is no file"):
        create_text_encoder("s3d:none.pth").encode(["rain"])
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="whose sizes can be told"):
        create_text_encoder(f"s3d:{tmp_path / 'odd.pth'}").encode(["rain"])
