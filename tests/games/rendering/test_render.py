"""Rendered pictures: masks against projected geometry, occlusion, light, placement, and files in CLEVR's format."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation

from avshot.cli.app import main
from avshot.games.named import build, build_source
from avshot.games.rei import Rei
from avshot.games.rendering.camera import DIRECTIONS, POSITION, Camera
from avshot.games.rendering.place import GAP, SEEN, fewest_seen, is_apart, placed_scene
from avshot.games.rendering.render import render
from avshot.games.rendering.solids import distance, normals
from avshot.games.res import Res
from avshot.games.scene import KINDS, Thing
from avshot.games.scene_files import from_clevr, read_scenes, relationships

SMALL = Camera(160, 120)
places = st.floats(-2.5, 2.5)
things = st.builds(
    Thing,
    *(st.sampled_from(values) for values in KINDS.values()),
    x=places,
    y=places,
    rotation=st.floats(0, 360),
)


def inside(thing, points):
    """Whether points `[point, 3]` lie in a thing: from its definition, not from where rays meet it."""
    away = points - np.array([thing.x, thing.y, thing.radius])
    if thing.shape == "sphere":
        return (away**2).sum(1) <= thing.radius**2
    level = np.abs(away[:, 2]) <= thing.radius
    if thing.shape == "cylinder":
        return level & ((away[:, :2] ** 2).sum(1) <= thing.radius**2)
    angle = np.radians(thing.rotation)
    first = away[:, 0] * np.cos(angle) + away[:, 1] * np.sin(angle)
    second = -away[:, 0] * np.sin(angle) + away[:, 1] * np.cos(angle)
    return level & (np.abs(first) <= thing.radius) & (np.abs(second) <= thing.radius)


@given(thing=things, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_ray_meets_a_thing_where_walking_along_it_first_comes_inside(thing, seed):
    rng = np.random.default_rng(seed)
    aims = np.array([thing.x, thing.y, thing.radius]) + rng.uniform(-1.4, 1.4, (20, 3)) * thing.radius
    rays = (aims - POSITION) / np.linalg.norm(aims - POSITION, axis=1, keepdims=True)
    met = distance(thing, POSITION.astype(np.float32), rays.astype(np.float32))
    steps = np.linspace(4, 16, 6001)
    for ray, t in zip(rays, met, strict=True):
        walked = inside(thing, POSITION + steps[:, None] * ray)
        if walked.sum() > 5:
            assert t == pytest.approx(steps[walked.argmax()], abs=0.01)
        elif not walked.any():  # between two steps it may graze an edge, no more
            assert not np.isfinite(t) or not inside(thing, POSITION + (t + 0.02) * ray[None]).any()


@given(thing=things, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_normals_lead_out_of_the_thing(thing, seed):
    rng = np.random.default_rng(seed)
    aims = np.array([thing.x, thing.y, thing.radius]) + rng.uniform(-0.9, 0.9, (20, 3)) * thing.radius
    rays = (aims - POSITION).astype(np.float32)
    met = distance(thing, POSITION.astype(np.float32), rays)
    points = (POSITION + met[:, None] * rays)[np.isfinite(met)].astype(np.float32)
    away = normals(thing, points)
    assert np.linalg.norm(away, axis=1) == pytest.approx(1, abs=1e-4)
    assert not inside(thing, points + 5e-3 * away).any()
    assert inside(thing, points - 2e-2 * away).mean() > 0.9  # but at edges


def test_masks_are_the_pixels_whose_point_on_the_ray_is_the_thing():
    thing = Thing("red", "sphere", "rubber", "large", 0.5, -0.5)
    mask = render([thing], SMALL).masks[0]
    centre = np.array([[thing.x, thing.y, thing.radius]])
    column, row, depth = SMALL.project(centre)[0]
    area = np.pi * (SMALL.focal * thing.radius / depth) ** 2  # a sphere off the axis appears slightly larger
    assert mask[int(row), int(column)]
    assert area <= mask.sum() <= 1.15 * area


def test_what_stands_before_hides_what_stands_behind():
    toward = np.array(DIRECTIONS["front"])
    near = Thing("red", "cube", "rubber", "large", *(1.5 * toward[:2]))
    far = Thing("blue", "cube", "rubber", "small", *(-0.5 * toward[:2]))
    alone, both = render([far], SMALL), render([far, near], SMALL)
    hidden = alone.masks[0] & ~both.masks[0]
    assert hidden.any()
    assert not (hidden & ~both.masks[1]).any()
    assert not (both.masks[0] & both.masks[1]).any()


def test_boxes_hold_masks_exactly():
    picture = render(placed_scene(np.random.default_rng(3)), SMALL)
    for mask, (left, top, right, bottom) in zip(picture.masks, picture.boxes.astype(int), strict=True):
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


def test_a_thing_casts_a_shadow_and_metal_shines():
    def brightest(material):
        picture = render([Thing("blue", "sphere", material, "large")], SMALL)
        return picture.pixels[picture.masks[0]].astype(float).mean(1).max()

    assert brightest("metal") > brightest("rubber") + 40
    empty = render([], SMALL).pixels.astype(int)
    one = render([Thing("blue", "cylinder", "rubber", "large")], SMALL)
    darker = (empty - one.pixels).mean(2)
    floor = ~one.masks[0]
    shadow = (darker > 25) & floor
    assert shadow.sum() > 100
    right_of = np.nonzero(shadow)[1].mean() > np.nonzero(one.masks[0])[1].mean()
    assert right_of  # the lamp stands on the left
    beside = ~binary_dilation(one.masks[0], iterations=2)  # pixels at the edge show some of the thing
    assert ((one.pixels.astype(int) - empty).max(2)[beside] <= 0).all()  # a thing lights nothing up


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_placement_keeps_the_rules(seed):
    scene = placed_scene(np.random.default_rng(seed))
    assert 3 <= len(scene) <= 10
    assert fewest_seen(scene) >= SEEN
    for i, first in enumerate(scene):
        assert max(abs(first.x), abs(first.y)) <= 3
        for second in scene[:i]:
            dx, dy = first.x - second.x, first.y - second.y
            assert np.hypot(dx, dy) >= first.radius + second.radius + GAP
            for name in ("left", "front"):
                assert abs(dx * DIRECTIONS[name][0] + dy * DIRECTIONS[name][1]) >= 0.4
    assert is_apart(scene)
    assert not is_apart((*scene, replace(scene[0], x=scene[0].x + 0.1)))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_relations_are_opposites_and_agree_with_pixels(seed):
    scene = placed_scene(np.random.default_rng(seed))
    found = relationships(scene)
    for there, back in (("left", "right"), ("front", "behind")):
        pairs = {(i, j) for i, row in enumerate(found[there]) for j in row}
        assert pairs == {(j, i) for i, row in enumerate(found[back]) for j in row}
        assert len(pairs) == len(scene) * (len(scene) - 1) / 2  # the margin leaves no pair undecided
    depths = SMALL.project(np.array([[t.x, t.y, 0] for t in scene]))[:, 2]
    for i, row in enumerate(found["behind"]):
        assert all(depths[j] > depths[i] for j in row)


def test_directions_are_those_of_released_scene_files():
    assert DIRECTIONS["right"] == pytest.approx((0.6563567, 0.7544466, 0), abs=1e-4)
    assert DIRECTIONS["behind"] == pytest.approx((-0.7544903, 0.6563351, 0), abs=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("clevr")
    for split, n in (("train", "22"), ("val", "4")):
        with pytest.raises(SystemExit) as stop:
            main(["games", "render", str(out), "--scenes", n, "--split", split, "--width", "80", "--height", "60"])
        assert stop.value.code == 0
    return out


def test_scene_files_have_the_keys_of_clevr(folder):
    content = json.loads((folder / "scenes" / "CLEVR_val_scenes.json").read_text())
    assert set(content) == {"info", "scenes"}
    scene = content["scenes"][1]
    assert scene["image_filename"] == "CLEVR_val_000001.png"
    wanted = {"split", "image_index", "image_filename", "objects", "relationships", "directions"}
    assert set(scene) == wanted
    for thing in scene["objects"]:
        assert set(thing) - {"box"} == {
            "shape", "size", "color", "material", "3d_coords", "rotation", "pixel_coords",
        }  # fmt: skip
        assert all(thing[kind] in values for kind, values in KINDS.items())
        x, y, _ = thing["pixel_coords"]
        left, top, right, bottom = thing["box"]
        assert left - 8 <= x <= right + 8
        assert top - 8 <= y <= bottom + 8


def test_a_scene_file_gives_the_picture_again(folder):
    for record in read_scenes(folder / "scenes" / "CLEVR_val_scenes.json"):
        with Image.open(folder / "images" / "val" / record["image_filename"]) as image:
            written = np.asarray(image)
        made = render(from_clevr(record, folder), Camera(80, 60))
        assert (written == made.pixels).all()


def test_the_source_clevr_reads_what_was_written(folder):
    for game in (Rei(build_source(f"clevr:{folder}")), Res(build_source(f"clevr:{folder}"))):
        for episode in [*game.draw(4, 0), *game.draw(2, 0, "val"), *game.draw(2, 0, "test")]:
            for item in episode.items:
                assert len(item.picture.boxes) == len(item.things) == len(item.picture.masks)
    train = {i.id for e in Rei(build_source(f"clevr:{folder}")).draw(60, 0) for i in e.items}
    guard = {i.id for e in Rei(build_source(f"clevr:{folder}")).draw(60, 0, "val") for i in e.items}
    assert train.isdisjoint(guard)
    assert len(train) == 20
    assert len(guard) == 2


def test_without_mask_files_boxes_are_near_the_exact_ones(folder, tmp_path):
    for name in ("images", "scenes"):
        (tmp_path / name).symlink_to(folder / name)
    exact, rough = build_source(f"clevr:{folder}"), build_source(f"clevr:{tmp_path}")
    overlaps = []
    for first, second in zip(exact._val, rough._val, strict=True):
        for one, other in zip(first.picture.boxes, second.picture.boxes, strict=True):
            both = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
            areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
            overlaps.append(both / (areas - both))
    assert np.mean(overlaps) > 0.55


def test_the_source_rendered_is_decided_by_the_seed_and_keeps_few_pictures():
    game = Res(build_source("rendered?width=80&height=60"))
    first, again = game.draw(3, 5), game.draw(3, 5)
    for one, other in zip(first, again, strict=True):
        assert one.items[0].id == other.items[0].id
        assert (one.items[0].picture.pixels == other.items[0].picture.pixels).all()
    speaker, listener = build("speakers", "true"), build("listeners", "exact")
    answers = listener.answer(
        [game.listener_sees(e) for e in first], speaker.say([game.speaker_sees(e) for e in first])
    )
    assert np.mean([game.reward(e, a) for e, a in zip(first, answers, strict=True)]) > 0.3


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("clevr:", "has no folder scenes"),
        ("clevr:nowhere", "has no folder scenes"),
        ("rendered?width=2", "2 x 240 is too small"),
        ("folder:nowhere", "is no folder"),
        ("refcoco:nowhere", "has no file refs"),
    ],
)
def test_a_source_that_cannot_be_says_so(spec, words):
    with pytest.raises(ValueError, match=words):
        build_source(spec)


def test_a_damaged_scene_file_is_named(tmp_path):
    (tmp_path / "scenes").mkdir()
    path = tmp_path / "scenes" / "CLEVR_train_scenes.json"
    path.write_text('{"scenes": [{"objects": [{"color": "pink"}]}]}')
    with pytest.raises(ValueError, match=r"CLEVR_train_scenes.json: a scene is not as CLEVR's"):
        Rei(build_source(f"clevr:{tmp_path}")).draw(1, 0)
    path.write_text("[]")
    with pytest.raises(ValueError, match="no list `scenes`"):
        Rei(build_source(f"clevr:{tmp_path}")).draw(1, 0)


def test_wrong_use_of_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["games", "render", str(tmp_path), "--split", "testing"])
    assert stop.value.code == 2
    assert "splits: train, val, test" in capsys.readouterr().err
