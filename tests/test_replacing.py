"""No flag writes over a file that is not of the kind that it writes."""

import os
import zipfile
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

import index_images
import search
import train_autoencoder
from pyimagesearch import files
from pyimagesearch.files import require_writable
from pyimagesearch.replacing import KINDS, PICTURE, require_kind
from pyimagesearch.replacing import MODEL as A_MODEL
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.plots import plot_training
from tests.scripts import MODEL, ROOT, error_of, run

BEFORE = ROOT / "tests" / "data" / "before"


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


def zipped(*members):
    """The bytes of an archive with these members."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in members:
            archive.writestr(name, "mine")
    return content.getvalue()


ONNX_WITHOUT_GRAPH = b"\x08\x08\x12\x04mine"
ONNX_CUT_SHORT = (BEFORE / "encoder.onnx").read_bytes()[:-1]


@pytest.mark.parametrize(
    "content",
    [
        zipped("holiday.jpg", "notes.txt"),
        zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
        zipped("config.json", "index.html"),
        b"\x08\x08 the user's own notes",
        ONNX_WITHOUT_GRAPH,
        ONNX_CUT_SHORT,
        b"PK\3\4 and no archive",
    ],
    ids=["zip", "docx", "zip with config.json", "0x08", "no graph", "cut short", "no archive"],
)
@pytest.mark.parametrize("flag", ["--model", "--encoder"])
def test_a_training_replaces_no_file_that_only_begins_like_a_model(flag, content, tmp_path, capsys):
    path = tmp_path / "mine.keras"
    path.write_bytes(content)
    other = {"--model": "--encoder", "--encoder": "--model"}[flag]
    arguments = [flag, path, other, tmp_path / "other.keras", "--limit", 100]
    message = error_of(capsys, train_autoencoder, *arguments)
    assert f"{flag} would replace {path}, which is not a model" in message
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "encoder.onnx"])
def test_a_model_may_be_replaced_by_one(name):
    require_kind(BEFORE / name, A_MODEL, "--encoder")


def test_a_pipe_or_a_device_is_not_replaced(tmp_path, capsys):
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        require_writable(pipe)
    flags = ["-m", MODEL, "-i", tmp_path / "i.h5", "--rejects", pipe, "--limit", 9]
    assert "no regular file" in error_of(capsys, index_images, *flags)
    assert pipe.is_fifo()


def test_a_link_that_cannot_be_written_is_refused_before_work_begins(tmp_path):
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    with pytest.raises(
        OSError, match=r"cannot write .*loop\.h5: it is a link that leads to itself"
    ):
        require_writable(tmp_path / "loop.h5")
    (tmp_path / "out.h5").symlink_to("/proc/out.h5")
    with pytest.raises(OSError, match=r"cannot write .*out\.h5: no new file can be made in /proc"):
        require_writable(tmp_path / "out.h5")


KEPT = [".i.h5.lock", ".i.abcd1234.part.h5", "i.h5.progress", "i.h5.progress-wal", "i.h5.engine"]
SUFFIXES = {value for name, value in vars(files).items() if name.endswith("_SUFFIX")}


@pytest.mark.parametrize(
    "name",
    [*KEPT, ".i.h5.abcd1234.part", "m.h5.checkpoint.npz", *(f".m.h5{s}" for s in sorted(SUFFIXES))],
)
def test_no_output_has_the_name_of_what_is_kept_beside_another_file(name, tmp_path):
    (tmp_path / "link.h5").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "link.h5"):
        with pytest.raises(ValueError, match="files of such names are locks, journals and others"):
            require_writable(path)
    require_writable(tmp_path / name.replace(".", "_"), tmp_path / ".hidden.h5")


def test_no_flag_of_an_output_takes_the_name_of_what_is_kept(small_index, tmp_path, capsys):
    index = ["-m", MODEL, "--limit", 9, "-i"]
    train = ["--limit", 100, "--model"]
    for script, flags, suffix in (
        (index_images, index, ".h5"),
        (index_images, [*index, tmp_path / "n.h5", "--rejects"], ".txt"),
        (search, ["-i", small_index, "--query-id", 3, "--html"], ".html"),
        (search, ["-i", small_index, "--query-id", 3, "--output"], ""),
        (train_autoencoder, train, ".keras"),
        (train_autoencoder, [*train, tmp_path / "m.keras", "--vis"], ".png"),
        (train_autoencoder, [*train, tmp_path / "m.keras", "--encoder"], ".onnx"),
    ):
        name = tmp_path / f".i.abcd1234.part{suffix}"
        assert "files of such names are locks" in error_of(capsys, script, *flags, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_a_picture_of_ours_may_be_replaced_and_is_read_as_it_was(name, tmp_path):
    path = tmp_path / name
    picture = np.full((40, 60, 3), 200, np.uint8)
    for _ in range(2):
        write_image(path, picture)
        require_kind(path, PICTURE, "--vis")
        assert abs(cv2.imread(str(path)).astype(int) - 200).max() < 3
    with Image.open(path) as image:
        assert image.size == (60, 40)
    plot_training(str(path), [{"phase": "fit", "epoch": 1, "loss": 1, "val_loss": 1}], {})
    require_kind(path, PICTURE, "--plot")
    assert cv2.imread(str(path)).shape == (480, 640, 3)


@pytest.mark.parametrize("name", ["map.png", "elbow.png"])  # of --interactive, of --engine
def test_a_picture_that_no_flag_names_replaces_no_photo_either(name, photo, tmp_path):
    before = photo.read_bytes()
    photo.rename(tmp_path / name)
    with pytest.raises(ValueError, match=f"a new picture would replace .*/{name}, which is not"):
        write_image(tmp_path / name, np.zeros((9, 9, 3), np.uint8))
    assert (tmp_path / name).read_bytes() == before
