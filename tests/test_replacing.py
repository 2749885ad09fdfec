"""No flag writes over a file that is not of the kind that it writes."""

import cv2
import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.replacing import KINDS, require_kind
from tests.scripts import MODEL, error_of, run


@pytest.fixture
def photo(tmp_path):
    """A picture of the user's own, under a name that this program uses too."""
    path = tmp_path / "query_0.png"
    cv2.imwrite(str(path), np.full((9, 9), 200, np.uint8))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_of_the_kind_or_none_is_replaced(kind, photo, tmp_path):
    require_kind(tmp_path / "none", kind, "--flag")
    (tmp_path / "empty").touch()
    require_kind(tmp_path / "empty", kind, "--flag")
    with pytest.raises(ValueError, match=r"--flag would replace .*query_0\.png, which is not a"):
        require_kind(photo, kind, "--flag")


def test_search_replaces_its_own_pictures_and_pages_only(photo, small_index, tmp_path, capsys):
    before = photo.read_bytes()
    flags = ["-i", small_index, "--query-id", "3", "-k", 2]
    assert "--output would replace" in error_of(capsys, search, *flags, "--output", tmp_path)
    assert photo.read_bytes() == before
    page = tmp_path / "page.html"
    page.write_text("<p>mine</p>")
    assert "--html would replace" in error_of(capsys, search, *flags, "--html", page)
    assert page.read_text() == "<p>mine</p>"
    for _ in range(2):
        assert run(search, *flags, "--output", tmp_path / "own") == 0
        assert run(search, *flags, "--html", tmp_path / "own.html") == 0


def test_rejects_replace_a_list_of_rejects_only(photo, tmp_path, capsys):
    before = photo.read_bytes()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), np.zeros((9, 9), np.uint8))
    (pictures / "bad.png").write_text("text")
    flags = ["-m", MODEL, "-i", tmp_path / "i.h5", "--dataset", pictures, "--rejects"]
    assert "--rejects would replace" in error_of(capsys, index_images, *flags, photo)
    assert photo.read_bytes() == before
    for _ in range(2):
        assert run(index_images, *flags, tmp_path / "rejects.txt") == 0
    [header, line] = (tmp_path / "rejects.txt").read_text().splitlines()
    assert header.startswith("# pictures that could not be read")
    assert line.startswith("bad.png\t")


@pytest.mark.parametrize("flag", ["--vis", "--plot", "--encoder", "--log"])
def test_a_training_replaces_no_file_of_another_kind(flag, photo, small_index, tmp_path, capsys):
    names = {"--vis": "v.png", "--plot": "p.png", "--encoder": "e.onnx", "--log": "l.csv"}
    path = tmp_path / names[flag]
    path.write_bytes(photo.read_bytes())
    arguments = ["-m", tmp_path / "model.keras", "--limit", 100, "--epochs", 1, flag, path]
    assert f"{flag} would replace" in error_of(capsys, train_autoencoder, *arguments)
    assert path.read_bytes() == photo.read_bytes()
    assert not (tmp_path / "model.keras").exists()
