"""Many rendered scenes as files, in CLEVR's layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from avshot.files.atomic import save_bytes, save_json
from avshot.games.pictures import png
from avshot.games.rendering.camera import Camera
from avshot.games.rendering.place import placed_scene
from avshot.games.rendering.render import render
from avshot.games.scene_files import image_name, scenes_path, to_clevr


def write_scenes(
    folder: Path,
    n: int,
    *,
    split: str = "train",
    seed: int = 0,
    camera: Camera | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Render scenes into `images/SPLIT`, `masks/SPLIT` and `scenes/CLEVR_SPLIT_scenes.json` of a folder.

    Args:
        folder: Is made; files of an earlier call with the same split are replaced.
        n: How many.
        split: Part of all names.
        seed: Scene i depends on seed, split and i alone.
        camera: Size of the pictures.
        progress: Is told how many are done, of how many.

    Returns:
        The file of scenes. A mask file has the number of the thing, from 1, at every pixel; 0 is the floor.
    """
    camera = camera or Camera()
    for kind in ("images", "masks", "scenes"):
        (folder / kind / ("" if kind == "scenes" else split)).mkdir(parents=True, exist_ok=True)
    scenes = []
    for i in range(n):
        scene = placed_scene(np.random.default_rng([seed, *split.encode(), i]))
        picture = render(scene, camera)
        numbers = np.zeros(picture.pixels.shape[:2], np.uint8)
        for k, mask in enumerate(picture.masks, 1):
            numbers[mask] = k
        name = image_name(split, i)
        save_bytes(folder / "images" / split / name, png(picture.pixels))
        save_bytes(folder / "masks" / split / name, png(numbers))
        scenes.append(to_clevr(scene, picture, camera, index=i, split=split))
        progress(i + 1, n)
    about = {"split": split, "version": "avshot", "seed": seed, "license": "MIT"}
    path = scenes_path(folder, split)
    save_json(path, {"info": about, "scenes": scenes})
    return path
