"""Pictures laid side by side, circles in boxes, and files."""

import io

import numpy as np
import pytest
from PIL import Image

from avshot.games.pictures import circled, png, side_by_side
from avshot.games.rendering.solids import edges
from avshot.games.scene import Thing


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_two_pictures_with_a_white_bar_of_four_per_cent():
    both = side_by_side([plain(50, 100, 10), plain(50, 80, 20)])
    assert both.shape == (50, 184, 3)
    assert (both[:, :100] == 10).all()
    assert (both[:, 100:104] == 255).all()
    assert (both[:, 104:] == 20).all()


def test_the_lower_picture_is_scaled_up():
    both = side_by_side([plain(60, 50, 10), plain(30, 20, 20)])
    assert both.shape == (60, 50 + 2 + 40, 3)
    assert (both[:, 52:] == 20).all()
    assert (side_by_side([plain(5, 6, 7)]) == 7).all()


@pytest.mark.parametrize("box", [(10.0, 5, 40, 35), (0, 0, 60, 40), (3, 3, 4, 4)])
def test_a_circle_touches_its_box_on_all_sides_and_stays_inside(box):
    pixels = plain(40, 60, 100)
    red = (circled(pixels, np.array(box)) == (255, 0, 0)).all(2)
    rows, columns = np.nonzero(red)
    left, top, right, bottom = box
    if right - left > 2:
        assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (left, right, top, bottom)
        assert not red[int(top + bottom) // 2, int(left + right) // 2]
    assert (pixels == 100).all()  # a copy was drawn on


def test_a_png_gives_the_pixels_again():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(pixels)))) == pixels).all()


def test_edges_are_where_two_faces_meet():
    cube = Thing("red", "cube", "metal", "large")
    r = cube.radius
    points = np.array([[r, r, r], [r, 0, r], [r, 0, 2 * r], [0, 0, 2 * r], [r, 0.97 * r, 1.5 * r]])
    assert edges(cube, points).tolist() == [1, 0, 1, 0, 1]
    cylinder = Thing("red", "cylinder", "metal", "large")
    assert edges(cylinder, np.array([[r, 0, 2 * r], [r, 0, r], [0, 0, 2 * r]])).tolist() == [1, 0, 0]
    assert edges(Thing("red", "sphere", "metal", "large"), points).tolist() == [0] * 5
