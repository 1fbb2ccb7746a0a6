"""A rendered world keeps the clips that are what it wrote, and no others."""

import json

import pytest

from avshot.data.rendered.world import RENDERER, Roster, render_world

ROSTER = Roster(
    seen=("red sliding drumming", "blue sliding drumming"),
    val_unseen=("red growing whistling",),
    test_unseen=("blue sliding whistling",),
)


def render(folder, **changes):
    return render_world(folder, **{"classes": ROSTER, "clips_per_class": 5, "seconds": 0.5, "workers": 1, **changes})


def clips(folder):
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in (folder / "clips").iterdir()}


def test_clips_that_are_whole_are_kept_and_others_made_again(tmp_path):
    render(tmp_path)
    before = clips(tmp_path)
    names = sorted(before)
    cut, swapped, gone = (tmp_path / "clips" / name for name in names[:3])
    cut.write_bytes(cut.read_bytes()[:500])
    swapped.write_bytes((tmp_path / "clips" / names[-1]).read_bytes())
    gone.unlink()
    render(tmp_path)
    after = clips(tmp_path)
    assert {name: content for name, (content, _) in after.items()} == {n: content for n, (content, _) in before.items()}
    assert {name for name in names if after[name][1] == before[name][1]} == set(names[3:])


def test_a_class_that_is_written_otherwise_is_rendered_for_itself(tmp_path):
    render(tmp_path)
    before = clips(tmp_path)
    capitals = Roster(
        seen=("Red sliding drumming", *ROSTER.seen[1:]), val_unseen=ROSTER.val_unseen, test_unseen=ROSTER.test_unseen
    )
    render(tmp_path, classes=capitals)
    changed = {name for name, (content, _) in clips(tmp_path).items() if content != before[name][0]}
    assert changed == {f"red-sliding-drumming-{i:03d}.mp4" for i in range(5)}


def test_notes_that_were_cut_off_and_another_renderer(tmp_path):
    render(tmp_path)
    notes = tmp_path / "rendered.jsonl"
    notes.write_text(notes.read_text()[:-40])
    before = clips(tmp_path)
    render(tmp_path)
    assert sum(clips(tmp_path)[name][1] != before[name][1] for name in before) == 1
    look = json.loads((tmp_path / "world.json").read_text())
    (tmp_path / "world.json").write_text(json.dumps(look | {"renderer": RENDERER + 1}))
    with pytest.raises(ValueError, match="other settings"):
        render(tmp_path)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(ValueError, match=r"world\.json"):
        render(tmp_path)
