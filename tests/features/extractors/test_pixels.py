import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.features.extractor import create_extractor
from avshot.features.extractors import pixels
from avshot.features.extractors.pixels import (
    CHUNK,
    COLOUR_GAIN,
    MOST_HUES,
    PALETTE_GAIN,
    Pixels,
    grey_shares,
    hue_shares,
)
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
        "change": darker_halved(level - level.mean(axis=0)) * 20,
        "motion": motion * 20,
        "colour": colour * COLOUR_GAIN,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name].numpy(), value.reshape(3, -1), atol=2e-4, err_msg=name)


def darker_halved(change):
    return np.where(change < 0, change / 2, change)


def naive_palette(frame, hues):
    """Shares of hues, dark, grey and bright of one frame, pixel by pixel in float64."""
    shares = np.zeros(hues + 3)
    for red, green, blue in frame.reshape(-1, 3) / 255:
        high, low = max(red, green, blue), min(red, green, blue)
        place = math.atan2(3**0.5 * (green - blue), 2 * red - green - blue) / (2 * math.pi) * hues % hues
        first, upper, chroma, value = math.floor(place), place % 1, high - low, (high + low) / 2
        shares[first % hues] += chroma * (1 - upper)
        shares[(first + 1) % hues] += chroma * upper
        dark, bright = max(1 - 2 * value, 0), max(2 * value - 1, 0)
        shares[hues:] += (1 - chroma) * np.array([dark, 1 - dark - bright, bright])
    return shares / frame[..., 0].size


def palette(frames, hues=12):
    planes = np.ascontiguousarray(np.moveaxis(frames, 3, 0))
    return np.concatenate([hue_shares(planes.astype(np.float32), hues), grey_shares(planes)], axis=1)


def test_palette_of_pure_colours():
    pure = {0: (255, 0, 0), 4: (0, 255, 0), 8: (0, 0, 255), 2: (255, 255, 0), 12: (0, 0, 0), 14: (255, 255, 255)}
    for place, colour in pure.items():
        frames = np.full((1, 48, 64, 3), colour, np.uint8)
        np.testing.assert_allclose(palette(frames)[0], np.eye(15)[place], atol=1e-6)


@pytest.mark.parametrize("spread", [255, 40, 2, 0])  # any colours, dull ones, nearly grey ones, greys
@pytest.mark.parametrize("hues", [1, 5, 12, MOST_HUES])
def test_palette_equals_a_loop_over_pixels(spread, hues):
    rng = np.random.default_rng(spread + hues)
    middle = rng.integers(0, 256, (2, 6, 9, 1))
    frames = (middle + rng.integers(-spread, spread + 1, (2, 6, 9, 3))).clip(0, 255).astype(np.uint8)
    expected = [naive_palette(frame, hues) for frame in frames]
    np.testing.assert_allclose(palette(frames, hues), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(palette(frames, hues).sum(axis=1), 1, atol=1e-6)


def test_numbers_are_those_of_the_first_implementation():
    """Written down from the version that worked on torch tensors in [0, 1], whose changes to the darker were whole."""
    t, r, c, k = np.meshgrid(*map(np.arange, (9, 48, 64, 3)), indexing="ij")
    frames = ((7 * t + 3 * r * (k + 1) + 5 * c + r * c * (k == 1) // 9 + 40 * k) % 256).astype(np.uint8)
    vectors = Pixels()(film(frames))[0]
    change = blocks(vectors)["change"]
    change[change < 0] *= 2
    places = [0, 100, 200, 300, 390, 450, 600, 630, 671, 672, 675, 680, 684, 685, 686]
    numbers = """-1.25466752 0.206477314 0.266178846 0.0 0.772313714 1.217019438 0.297181457 1.292432069 -2.19332098
        1.028061866 1.055616378 0.357186794 1.510168910 3.002742290 1.276489734"""
    np.testing.assert_allclose(vectors[4, places], [float(number) for number in numbers.split()], atol=1e-5)
    assert vectors.double().sum().item() == pytest.approx(1664.3107, abs=2e-3)
    assert vectors.double().abs().sum().item() == pytest.approx(6422.6312, abs=2e-3)


def pooled(image, rows, columns):
    """Means of the cells of a grid, `[frame, row, column]` in float64."""
    frames, height, width = image.shape
    cells = image.reshape(frames, rows, height // rows, columns, width // columns)
    return cells.mean(axis=(2, 4)).reshape(frames, -1)


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 11),
    chunk=st.integers(1, 5),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    colour=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    times=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    stack=st.integers(1, 3),
    still=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shape_equals_plain_float64(frames, chunk, grid, colour, times, stack, still, seed):
    height, width = (math.lcm(a, b) * n for a, b, n in zip(grid, colour, times, strict=True))
    extractor = Pixels(
        height=height, width=width, rows=grid[0], columns=grid[1], colour_rows=colour[0], colour_columns=colour[1],
        stack=stack,
    )  # fmt: skip
    shown = np.random.default_rng(seed).integers(0, 256, (1 if still else frames, height, width, 3))
    shown = np.broadcast_to(shown, (frames, height, width, 3)).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "CHUNK", chunk)
        vectors = extractor(film(shown))[0]
    assert vectors.shape == (math.ceil(frames / stack), extractor.dim)
    image = shown / 255.0
    red, green, blue = np.moveaxis(image, 3, 0)
    luma = image @ [0.299, 0.587, 0.114]
    level = pooled(luma, *grid)
    expected = np.concatenate(
        [
            (level - level.mean()) / max(level.std(), 0.01),
            darker_halved(level - level.mean(axis=0)) * pixels.CHANGE_GAIN,
            pooled(np.abs(np.diff(luma, axis=0, prepend=luma[:1])), *grid) * pixels.MOTION_GAIN,
            pooled(red - green, *colour) * COLOUR_GAIN,
            pooled(blue - (red + green) / 2, *colour) * COLOUR_GAIN,
            np.sqrt([naive_palette(frame, 12) for frame in shown]) * PALETTE_GAIN,
        ],
        axis=1,
    )
    got = vectors.reshape(-1, expected.shape[1])[:frames].numpy()
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_motion_is_where_the_square_moves_and_zero_when_it_stands():
    moving = blocks(Pixels()(film(moving_square((255, 255, 255))))[0])
    motion = moving["motion"].reshape(10, 12, 16)
    assert torch.count_nonzero(motion[0]) == 0
    assert torch.count_nonzero(motion[5, 4:6]) > 0
    assert torch.count_nonzero(motion[5, :4]) == torch.count_nonzero(motion[5, 6:]) == 0
    still = blocks(Pixels()(film(moving_square((255, 255, 255), step=0)))[0])
    assert torch.count_nonzero(still["motion"]) == 0
    assert still["change"].abs().max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(2, 9), seed=st.integers(0, 999))
def test_the_average_of_change_is_its_energy(frames, seed):
    shown = np.random.default_rng(seed).integers(0, 256, (frames, 48, 64, 3)).astype(np.uint8)
    change = blocks(Pixels()(film(shown))[0])["change"].double()
    whole = torch.where(change < 0, 2 * change, change)
    assert whole.mean(dim=0).abs().max() < 1e-5  # what made 192 dead channels of averages
    torch.testing.assert_close(change.mean(dim=0), whole.abs().mean(dim=0) / 4, atol=1e-5, rtol=1e-5)
    assert change.mean() > 0.1


def test_palette_tells_colours_apart_wherever_they_are():
    red = blocks(Pixels()(film(moving_square((220, 30, 30))))[0])["palette"]
    blue = blocks(Pixels()(film(moving_square((30, 30, 220))))[0])["palette"]
    assert (red[0] - red[9]).abs().max() < 1e-3 * PALETTE_GAIN
    assert red[:, 0].min() > 3 * blue[:, 0].max()
    assert blue[:, 8].min() > 3 * red[:, 8].max()


def test_degenerate_films():
    for level in (0, 16):
        black, times = Pixels()(film(np.full((4, 48, 64, 3), level)))
        assert black.shape == (0, 687)
        assert times.shape == (0,)
    one, times = Pixels()(film(moving_square((1, 2, 3), frames=1)))
    assert one.shape == (1, 687)
    assert times.tolist() == [0]
    none, times = Pixels()(film(np.zeros((0, 48, 64, 3))))
    assert none.shape == (0, 687)
    assert times.shape == (0,)


@pytest.mark.parametrize(("before", "after", "level"), [(5, 0, 0), (0, 5, 16), (3, 70, 16)])
def test_black_frames_at_the_ends_change_neither_the_steps_nor_the_statistics(before, after, level):
    rng = np.random.default_rng(0)
    scene = moving_square((200, 90, 40), frames=6)

    def black(count):
        return (level + rng.integers(0, 6, (count, 48, 64, 3))).astype(np.uint8)

    vectors, times = Pixels()(film(np.concatenate([black(before), scene, black(after)])))
    alone, alone_times = Pixels()(film(scene))
    assert torch.equal(vectors, alone)
    np.testing.assert_allclose(times.numpy(), alone_times.numpy() + before / 25, atol=1e-6)
    luma = (scene.astype(np.float64) / 255 @ np.array([0.299, 0.587, 0.114])).reshape(6, 12, 4, 16, 4).mean(axis=(2, 4))
    expected = (luma - luma.mean()) / luma.std()
    found = blocks(vectors)
    np.testing.assert_allclose(found["appearance"].reshape(6, 12, 16).numpy(), expected, atol=1e-3)
    assert float(found["motion"][0].abs().max()) == 0  # the scene does not move out of the black


def test_a_cut_through_black_stays():
    scene = moving_square((200, 90, 40), frames=4)
    cut = np.concatenate([scene, np.zeros((2, 48, 64, 3)), scene])
    assert len(Pixels()(film(cut))[0]) == 10


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
    with pytest.raises(ValueError, match="1 to 64 hues"):
        create_extractor("pixels?hues=65")
    with pytest.raises(ValueError, match=r"expects \(48, 64, 3\)"):
        Pixels()(film(np.zeros((2, 24, 32, 3))))
