import pickle

import numpy as np
import pytest
import torch

from avshot.features.extractor import create_extractor
from avshot.features.pixels import CHUNK, COLOUR_GAIN, PALETTE_GAIN, Pixels, hue_shares
from avshot.media import Media

BLOCKS = {"appearance": 192, "change": 192, "motion": 192, "colour": 96, "palette": 15}


def film(frames):
    frames = np.asarray(frames, dtype=np.uint8)
    return Media(frames, np.arange(len(frames)) / 25, np.zeros(0, np.float32), 16000, "no_audio", len(frames) / 25)


def moving_square(colour, frames=10, step=4):
    film_ = np.full((frames, 48, 64, 3), 40, dtype=np.uint8)
    for i in range(frames):
        film_[i, 16:24, i * step : i * step + 8] = colour
    return film_


def blocks(vectors):
    return dict(zip(BLOCKS, vectors.split(list(BLOCKS.values()), dim=1), strict=True))


def test_shapes_times_and_determinism():
    extractor = Pixels()
    vectors, times = extractor(film(moving_square((255, 0, 0))))
    assert vectors.shape == (10, extractor.dim) == (10, sum(BLOCKS.values()))
    torch.testing.assert_close(times, torch.arange(10) / 25)
    assert torch.equal(vectors, extractor(film(moving_square((255, 0, 0))))[0])
    assert extractor.request() == {"fps": 12.5, "size": (48, 64)}


def test_blocks_equal_a_naive_computation():
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    got = blocks(Pixels()(film(frames))[0])
    image = frames.astype(np.float64) / 255
    luma = image @ np.array([0.299, 0.587, 0.114])
    level, motion, colour = np.zeros((3, 12, 16)), np.zeros((3, 12, 16)), np.zeros((3, 2, 6, 8))
    for t in range(3):
        before = luma[max(t - 1, 0)]
        for r in range(12):
            for c in range(16):
                cell = np.s_[4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
                level[t, r, c] = luma[t][cell].mean()
                motion[t, r, c] = np.abs(luma[t] - before)[cell].mean()
        for r in range(6):
            for c in range(8):
                red, green, blue = image[t][8 * r : 8 * r + 8, 8 * c : 8 * c + 8].reshape(-1, 3).mean(axis=0)
                colour[t, :, r, c] = red - green, blue - (red + green) / 2
    expected = {
        "appearance": (level - level.mean()) / level.std(),
        "change": (level - level.mean(axis=0)) * 20,
        "motion": motion * 20,
        "colour": colour * COLOUR_GAIN,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name].numpy(), value.reshape(3, -1), atol=2e-4, err_msg=name)


def test_palette_of_pure_colours():
    pure = {0: (255, 0, 0), 4: (0, 255, 0), 8: (0, 0, 255), 2: (255, 255, 0), 12: (0, 0, 0), 14: (255, 255, 255)}
    for place, colour in pure.items():
        image = torch.tensor(colour).float().div(255).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        torch.testing.assert_close(hue_shares(image, 12)[0], torch.eye(15)[place], atol=1e-3, rtol=0)


def test_palette_shares_sum_to_one():
    image = torch.rand(5, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hue_shares(image, 12).square().sum(dim=1), torch.ones(5))


def test_motion_is_where_the_square_moves_and_zero_when_it_stands():
    moving = blocks(Pixels()(film(moving_square((255, 255, 255))))[0])
    motion = moving["motion"].reshape(10, 12, 16)
    assert torch.count_nonzero(motion[0]) == 0
    assert torch.count_nonzero(motion[5, 4:6]) > 0
    assert torch.count_nonzero(motion[5, :4]) == torch.count_nonzero(motion[5, 6:]) == 0
    still = blocks(Pixels()(film(moving_square((255, 255, 255), step=0)))[0])
    assert torch.count_nonzero(still["motion"]) == 0
    assert still["change"].abs().max() < 1e-4


def test_palette_tells_colours_apart_wherever_they_are():
    red = blocks(Pixels()(film(moving_square((220, 30, 30))))[0])["palette"]
    blue = blocks(Pixels()(film(moving_square((30, 30, 220))))[0])["palette"]
    assert (red[0] - red[9]).abs().max() < 1e-3 * PALETTE_GAIN
    assert red[:, 0].min() > 3 * blue[:, 0].max()
    assert blue[:, 8].min() > 3 * red[:, 8].max()


def test_degenerate_films():
    black, _ = Pixels()(film(np.zeros((4, 48, 64, 3))))
    assert torch.isfinite(black).all()
    one, times = Pixels()(film(moving_square((1, 2, 3), frames=1)))
    assert one.shape == (1, 687)
    assert times.tolist() == [0]
    none, times = Pixels()(film(np.zeros((0, 48, 64, 3))))
    assert none.shape == (0, 687)
    assert times.shape == (0,)


def test_long_films_are_cut_into_chunks_without_a_seam():
    frames = np.random.default_rng(1).integers(0, 256, (CHUNK + 2, 4, 4, 3), dtype=np.uint8)
    small = Pixels(height=4, width=4, rows=2, columns=2, colour_rows=1, colour_columns=1)
    motion = small(film(frames))[0][:, 8:12]
    luma = frames.astype(np.float64) / 255 @ np.array([0.299, 0.587, 0.114])
    expected = np.abs(luma[CHUNK] - luma[CHUNK - 1]).reshape(2, 2, 2, 2).mean(axis=(1, 3)).reshape(-1) * 20
    np.testing.assert_allclose(motion[CHUNK].numpy(), expected, atol=1e-4)


def test_stacked_frames():
    one, _ = Pixels()(film(moving_square((255, 0, 0), frames=5)))
    two, times = Pixels(hop=0.08, stack=2)(film(moving_square((255, 0, 0), frames=5)))
    assert two.shape == (3, 2 * 687)
    torch.testing.assert_close(two[:2].reshape(4, 687), one[:4])
    torch.testing.assert_close(two[2], one[4].repeat(2))
    torch.testing.assert_close(times, torch.tensor([0.02, 0.1, 0.16]))
    assert Pixels(hop=0.08, stack=2).request()["fps"] == 25.0


def test_spec_and_errors():
    extractor = create_extractor("pixels?rows=6&columns=8")
    assert extractor == Pixels(rows=6, columns=8)
    assert pickle.loads(pickle.dumps(extractor)) == extractor
    assert extractor.spec()["rows"] == 6
    with pytest.raises(ValueError, match="5 rows does not divide 48 pixels"):
        create_extractor("pixels?rows=5")
    with pytest.raises(ValueError, match=r"expects \(48, 64, 3\)"):
        Pixels()(film(np.zeros((2, 24, 32, 3))))
