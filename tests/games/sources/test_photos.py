"""Photos by class and RefCOCO: files in the layout of the released ones, written here."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from avshot.errors import BadDataset
from avshot.games.named import build, build_source
from avshot.games.rei import Rei
from avshot.games.res import Res
from avshot.games.sources.refcoco import mask_of


def photo(path, colour=(200, 30, 30), size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def ids(game, n, split):
    return {item.id for e in game.draw(n, 0, split) for item in e.items}


def test_imagenets_layout(tmp_path):
    for split, n in (("train", 20), ("val", 3)):
        for name in ("n01", "n02", "n03"):
            for i in range(n):
                photo(tmp_path / split / name / f"{i:02d}.png")
    game = Rei(build_source(f"folder:{tmp_path}"))
    for episode in game.draw(20, 0):
        first, second = episode.items
        assert first.label != second.label
        assert first.id.startswith(f"train/{first.label}/")
        assert first.picture.pixels.shape == (12, 20, 3)
    learning, guard, tests = ids(game, 200, "train"), ids(game, 200, "val"), ids(game, 200, "test")
    assert (len(learning), len(guard), len(tests)) == (54, 6, 9)
    assert learning.isdisjoint(guard)
    assert all(name.startswith("val/") for name in tests)


def test_classes_alone_are_cut_without_overlap(tmp_path):
    for name in ("a", "b"):
        for i in range(8):
            photo(tmp_path / name / f"{i}.jpg")
    game = Rei(build_source(f"folder:{tmp_path}"))
    parts = [ids(game, 60, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [6, 2, 8]
    assert len(set.union(*parts)) == 16


def test_cubs_layout(tmp_path):
    files = [f"{c:03d}.Bird_{c}/{c}_{i}.jpg" for c in (1, 2, 3) for i in range(4)]
    for file in files:
        photo(tmp_path / "images" / file)
    number = range(1, len(files) + 1)
    (tmp_path / "images.txt").write_text("".join(f"{i} {f}\n" for i, f in zip(number, files, strict=True)))
    labels = "".join(f"{i} {int(f[:3])}\n" for i, f in zip(number, files, strict=True))
    (tmp_path / "image_class_labels.txt").write_text(labels)
    (tmp_path / "classes.txt").write_text("".join(f"{c} {c:03d}.Bird_{c}\n" for c in (1, 2, 3)))
    (tmp_path / "train_test_split.txt").write_text("".join(f"{i} {int(i % 4 != 0)}\n" for i in number))
    game = Rei(build_source(f"folder:{tmp_path}"))
    assert ids(game, 100, "test") == {f"images/{c:03d}.Bird_{c}/{c}_3.jpg" for c in (1, 2, 3)}
    assert len(ids(game, 100, "train")) == 6
    (episode,) = game.draw(1, 0)
    assert {item.label for item in episode.items} <= {f"{c:03d}.Bird_{c}" for c in (1, 2, 3)}
    (tmp_path / "train_test_split.txt").write_text("1 1\n")
    with pytest.raises(BadDataset, match="no class or no split"):
        Rei(build_source(f"folder:{tmp_path}")).draw(1, 0)


def test_one_class_and_a_file_that_is_no_picture(tmp_path):
    photo(tmp_path / "a" / "0.png")
    photo(tmp_path / "a" / "1.png")
    with pytest.raises(BadDataset, match="has 1 classes for test; two are needed"):
        Rei(build_source(f"folder:{tmp_path}")).draw(1, 0, "test")
    for name in ("a", "b"):
        for i in range(4):
            photo(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.png").write_bytes(b"no picture")
    (episode,) = Rei(build_source(f"folder:{tmp_path}")).draw(1, 0)
    with pytest.raises(BadDataset, match="cannot be read as a picture"):
        _ = episode.items[0].picture


POLYGON = [[2.0, 1.0, 8.0, 1.0, 8.0, 5.0, 2.0, 5.0]]


@pytest.fixture
def refcoco(tmp_path):
    """Six references in two pictures of 20 x 12 pixels, as RefCOCO's own files are."""
    images = [{"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "height": 12, "width": 20} for i in (7, 9)]
    for image in images:
        photo(tmp_path / "images" / image["file_name"])
    annotations, refs = [], []
    for k, split in enumerate(("train", "val", "val", "testA", "testB", "val")):
        image = images[k % 2]
        runs = {"counts": [12, 12, 12 * 18], "size": [12, 20]} if k == 4 else POLYGON
        box = [1.0, 0.0, 1.0, 12.0] if k == 4 else [2.0, 1.0, 6.0, 4.0]
        annotations.append({"id": 100 + k, "image_id": image["id"], "bbox": box, "segmentation": runs})
        said = [{"sent": f"thing {k}", "sent_id": 2 * k}, {"sent": f"it {k}", "sent_id": 2 * k + 1}]
        refs.append(
            {"ref_id": k, "ann_id": 100 + k, "image_id": image["id"], "split": split, "sentences": said}
            | {"category_id": 1, "file_name": f"{image['file_name'][:-4]}_{k}.jpg", "sent_ids": [2 * k, 2 * k + 1]}
        )
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_refcocos_layout(refcoco):
    game = Res(build_source(f"refcoco:{refcoco}"))
    assert ids(game, 40, "train") == {"ref 1", "ref 2"}
    assert ids(game, 40, "val") == {"ref 5"}
    assert ids(game, 40, "test") == {"ref 3", "ref 4"}
    for episode in game.draw(8, 0, "test"):
        (item,) = episode.items
        k = int(item.id.split()[1])
        assert build("speakers", "human").say([game.speaker_sees(episode)])[0].text == f"thing {k}"
        mask, (left, top, right, bottom) = item.picture.masks[0], item.picture.boxes[0].astype(int)
        filled = np.zeros((12, 20), bool)
        filled[top : bottom + (k == 3), left : right + (k == 3)] = True  # Pillow fills a polygon's border, too
        assert (mask == filled).all()


def test_masks_by_run_lengths_go_down_the_columns():
    mask = mask_of({"counts": [1, 2, 3]}, (3, 2))
    assert mask.tolist() == [[False, False], [True, False], [True, False]]
    with pytest.raises(BadDataset, match="neither polygons nor plain run lengths"):
        mask_of({"counts": [1, 2]}, (3, 2))
    with pytest.raises(BadDataset, match="neither polygons nor plain run lengths"):
        mask_of({"counts": "compressed"}, (3, 2))


def test_damaged_files_of_refcoco_are_told(refcoco):
    (refcoco / "instances.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(BadDataset, match="not as RefCOCO's files are"):
        Res(build_source(f"refcoco:{refcoco}")).draw(1, 0)
    rendered = Res(build_source("rendered?width=32&height=32"))
    sight = rendered.speaker_sees(rendered.draw(1, 0)[0])
    with pytest.raises(BadDataset, match="Nobody described"):
        build("speakers", "human").say([sight])
