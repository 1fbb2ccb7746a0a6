import pytest

from avshot.files.output import output_file


def test_the_folder_is_made_and_what_cannot_be_written_is_a_sentence(tmp_path):
    target = tmp_path / "new" / "deep" / "a.PNG"
    assert output_file(target, (".png",), "picture") == target
    assert target.parent.is_dir()
    with pytest.raises(ValueError, match=r"written to .*a.txt; expected a path that ends in \.pdf or \.png"):
        output_file(tmp_path / "a.txt", (".png", ".pdf"), "picture")
    with pytest.raises(ValueError, match=r"expected a path that ends in \.png"):
        output_file(tmp_path / "a", (".png",), "picture")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="which is a folder"):
        output_file(tmp_path / "folder.png", (".png",), "picture")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="the picture cannot be written|The picture cannot be written"):
        output_file(tmp_path / "file" / "a.png", (".png",), "picture")
