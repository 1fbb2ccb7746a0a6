import pytest

from avshot.files.url import local_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("clips/a b.mp4", "clips/a b.mp4"),
        ("/clips/100%25.mp4", "/clips/100%25.mp4"),
        ("C:/clips/a.mp4", "C:/clips/a.mp4"),
        ("file:///clips/a%20b.mp4", "/clips/a b.mp4"),
        ("file:///clips/%E7%8A%AC.mp4", "/clips/犬.mp4"),
        ("file:///clips/a b.mp4", "/clips/a b.mp4"),
        ("file://localhost/clips/a.mp4", "/clips/a.mp4"),
        ("FILE:///clips/a.mp4", "/clips/a.mp4"),
        ("file:/clips/a.mp4", "/clips/a.mp4"),
    ],
)
def test_a_path_is_itself_and_a_file_url_what_it_names(given, meant):
    assert local_path(given) == meant


@pytest.mark.parametrize("name", ["a#1.mp4", "what?.mp4", "100%.mp4", "a%20b.mp4"])
def test_a_url_put_together_by_hand_means_the_file_of_that_name(tmp_path, name):
    (tmp_path / name).touch()
    assert local_path(f"file://{tmp_path}/{name}") == f"{tmp_path}/{name}"


@pytest.mark.parametrize("url", ["http://x.org/a.mp4", "https://x.org/a.mp4", "s3://b/a.mp4", "http:/x.org/a.mp4"])
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match=r"is not on this machine; download it first"):
        local_path(url)


def test_a_file_url_of_another_machine_is_refused():
    with pytest.raises(ValueError, match=r"of the machine 'clips'; write file:///"):
        local_path("file://clips/a.mp4")


def test_a_file_whose_name_looks_like_a_url_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take:").mkdir()
    (tmp_path / "take:" / "1.mp4").touch()
    assert local_path("take:/1.mp4") == "take:/1.mp4"
