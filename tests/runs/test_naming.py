"""What a bench calls a Run: kept beside it, read as it was written, and never in the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avshot.runs.naming import FILE, Named, read_name, save_name


def test_a_run_without_a_name_has_none(tmp_path):
    assert read_name(tmp_path) == Named()
    assert read_name(tmp_path / "nowhere") == Named()


@given(label=st.text(st.characters(exclude_categories=["Cs"])), note=st.text(st.characters(exclude_categories=["Cs"])))
def test_names_come_back_on_one_line(tmp_path_factory, label, note):
    folder = tmp_path_factory.mktemp("run")
    save_name(folder, Named(label, note))
    found = read_name(folder)
    if label.strip():
        assert found == Named(" ".join(label.split()), " ".join(note.split()))
    else:
        assert found.label == ""
        assert "names no label" in found.note


def test_a_name_is_written_only_where_it_is_another(tmp_path):
    folder = tmp_path / "made" / "for it"
    save_name(folder, Named("one", "note"))
    before = (folder / FILE).stat().st_mtime_ns
    save_name(folder, Named("one", "note"))
    save_name(folder, Named("two"), anew=False)
    assert (folder / FILE).stat().st_mtime_ns == before
    save_name(folder, Named("two"))
    assert read_name(folder) == Named("two")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"label": 3}', '{"label": " "}', '{"label": "a", "note": []}']
)
def test_nonsense_is_a_note_and_no_label(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    found = read_name(tmp_path)
    assert found.label == ""
    assert found.note.startswith("The Run is called by its settings: ")
    assert FILE in found.note


def test_a_name_may_be_edited_by_hand(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"label": "mine", "more": 1}))
    assert read_name(tmp_path) == Named("mine")
