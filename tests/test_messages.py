"""Wrong names are answered with the nearest; what cannot be written is said before the work."""

import os
import subprocess
import sys

import pytest

import index_images
import search
from pyimagesearch import startup
from pyimagesearch.cli import command
from pyimagesearch.datasets.builtin import _download
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.engines.factory import require_engine
from pyimagesearch.files import require_writable
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.startup import explain
from pyimagesearch.suggestions import did_you_mean_file
from pyimagesearch.training.checkpoint import Checkpoint
from tests.scripts import KERAS_MODEL, MODEL, ROOT, digit_file, error_of, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures in sub-folders, and their index."""
    path = tmp_path_factory.mktemp("folder")
    (path / "pictures" / "beach").mkdir(parents=True)
    for row in range(5):
        digit_file(path / "pictures" / "beach", row)
    arguments = ["-m", MODEL, "--dataset", path / "pictures", "-i", path / "photos.pickle"]
    assert run(index_images, *arguments) == 0
    return path


@pytest.mark.parametrize(
    ("flags", "end"),
    [
        (("-i", "{}/photo.pickle"), "did you mean {}/photos.pickle?"),
        (
            ("-i", "{}/photos.pickle", "--query-id", "beach/digt_3.png"),
            "did you mean beach/digit_3.png?",
        ),
        (
            ("-i", "{}/photos.pickle", "--query-id", "digit_3.png"),
            "did you mean beach/digit_3.png?",
        ),
        (
            (
                "-i",
                "{}/photos.pickle/i.h5",
            ),
            "no such index: {}/photos.pickle/i.h5; make it with index_images.py",
        ),
        (
            ("-i", "{}/photos.pickle", "--output", "{}/photos.pickle/sub"),
            "results.png: {}/photos.pickle is not a folder",
        ),
        (
            (
                "-i",
                "{}/photos.pickle",
                "--interactive",
                "--output",
                "{}/pictures/beach/digit_3.png",
            ),
            "digit_3.png is a file: give the name of a folder",
        ),
        (
            ("-i", "{}/photos.pickle", "--query", "{}/pictures/beach/digit3.png"),
            "did you mean {}/pictures/beach/digit_3.png?",
        ),
        (
            ("-i", "{}/photos.pickle", "--output", "{}/photos.pickle"),
            "both use {}/photos.pickle: give each its own file",
        ),
        (
            ("-i", "{}/photos.pickle", "--output", "{}/pictures/beach/digit_3.png"),
            "digit_3.png is a file: give the name of a folder",
        ),
    ],
)
def test_search_names_what_was_probably_meant(capsys, folder, flags, end):
    message = error_of(capsys, search, *(flag.format(folder) for flag in flags))
    assert message.endswith(end.format(folder))


def test_a_misspelt_dataset_is_answered_with_the_nearest(capsys, tmp_path):
    flags = ("-m", MODEL, "-i", tmp_path / "i.pickle", "--dataset")
    message = error_of(capsys, index_images, *flags, "fashon_mnist")
    assert message.endswith("; did you mean fashion_mnist?")


@pytest.mark.parametrize(("name", "nearest"), [("exct", "exact"), ("hnsw32x", "HNSW32")])
def test_a_misspelt_engine_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=rf"; did you mean {nearest}\?$"):
        require_engine(name, 16)


def test_a_file_is_suggested_only_where_one_has_a_name_like_it(tmp_path, monkeypatch):
    (tmp_path / "holiday.jpg").touch()
    assert did_you_mean_file(tmp_path / "holidy.jpg") == f"; did you mean {tmp_path}/holiday.jpg?"
    assert did_you_mean_file("none-such-folder/holiday.jpg") == ""
    folder = tmp_path / "a-long-name-that-all-files-in-this-folder-have"
    folder.mkdir()
    (folder / ".ssh").touch()
    assert did_you_mean_file(folder / "photos.h5") == ""
    monkeypatch.chdir(tmp_path)
    assert did_you_mean_file("holidy.jpg") == "; did you mean holiday.jpg?"
    assert did_you_mean_file("x") == ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that takes no file")
def test_a_folder_that_takes_no_file_is_found_out_before_the_work(capsys):
    with pytest.raises(
        OSError, match=r"cannot write /proc/i\.h5: no new file can be made in /proc"
    ):
        require_writable("/proc/i.h5")
    message = error_of(capsys, index_images, "-m", MODEL, "-i", "/proc/i.h5")
    assert message.startswith("cannot write /proc/i.h5: ")


def test_a_folder_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "a.png"
    file.touch()
    for path in (file / "i.h5", file / "below" / "i.h5"):
        with pytest.raises(NotADirectoryError, match=rf"^cannot write {path}: {file} is not a fo"):
            require_writable(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that fails to read")
def test_a_disk_that_fails_is_told_in_words(tmp_path):
    (tmp_path / "a.png").symlink_to("/proc/self/mem")
    dataset = FolderDataset(str(tmp_path))
    with pytest.raises(OSError, match=r"^a\.png: Input/output error$"):
        dataset.picture("a.png")
    dataset.read_good([0], InputSpec(8, 8, 3))
    assert dataset.unreadable == {"a.png": "Input/output error"}


def test_a_name_that_ends_as_a_folder_is_none_of_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder; give a file name"):
        require_writable(f"{tmp_path}/i.h5/")


def test_looking_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    require_writable(tmp_path / "new" / "i.h5")
    assert os.listdir(tmp_path / "new") == []


def test_a_flag_that_is_missing_from_a_resumed_training_is_named(tmp_path):
    path = str(tmp_path / "c.npz")
    started = {"latent_dim": 8, "filters": [32, 64], "patience": None, "mixed_precision": True}
    Checkpoint(path, started).save()

    def remedy(**changed):
        with pytest.raises(ValueError, match="cannot resume") as error:
            Checkpoint(path, {**started, **changed}).resumed()
        return str(error.value).partition(" (")[2].partition(");")[0]

    assert remedy(latent_dim=None) == "give --latent-dim 8"
    assert remedy(filters=[400]) == "give --filters 32 64"
    assert remedy(patience=3) == "leave --patience out"
    assert remedy(mixed_precision=False) == "give --mixed-precision"


def test_what_keras_says_of_a_download_is_no_result(capsys, monkeypatch, tmp_path):
    from pyimagesearch.backend import keras

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: print("Downloading data"))
    _download("cifar10", tmp_path, "its files")
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "Downloading data\n")
    assert sys.stdout is not sys.stderr


def test_a_package_that_is_not_installed_is_one_line(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('no', name='numpy')")
    for script in ("search.py", "index_images.py", "train_autoencoder.py"):
        done = subprocess.run(
            [sys.executable, ROOT / script, "--help"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith(f"{script}: error: the package numpy is not installed: pip install")


def test_an_environment_that_is_not_active_is_named_where_a_package_is_missing(
    tmp_path, monkeypatch
):
    missing = ModuleNotFoundError("no", name="numpy")
    monkeypatch.setattr(startup, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert "activate" not in explain(missing)
    (tmp_path / ".venv").mkdir()
    assert ": activate the environment .venv, or pip install" in explain(missing)


def test_a_package_that_is_missing_later_is_one_line_too(capsys):
    @command
    def main(argv):
        import no_such_package.part  # noqa: F401

    assert main([]) == 1
    assert "error: the package no_such_package is not installed: " in capsys.readouterr().err


def test_a_library_that_is_missing_is_explained():
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    assert explain(ImportError(reason)).endswith("see docs/troubleshooting.md")
    assert explain(ImportError("--text needs tokenizers")) == "--text needs tokenizers"


def test_a_model_of_keras_without_keras_is_not_called_damaged(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyimagesearch.backend", None)
    message = error_of(capsys, index_images, "-m", KERAS_MODEL, "-i", tmp_path / "i.pickle")
    assert "cannot load" not in message
    assert "is not installed: " in message


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder of a process")
def test_a_current_folder_that_was_deleted_is_named(tmp_path, capsys, monkeypatch, folder):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    line = "the current folder was deleted: change to another one"
    assert error_of(capsys, search, "-i", "photos.pickle") == line
    assert error_of(capsys, index_images, "-m", MODEL, "-i", "i.h5", "--dataset", folder) == line


def test_a_name_that_is_too_long_is_said_in_words(tmp_path, capsys):
    path = tmp_path / f"{'n' * 300}.h5"
    assert run(search, "-i", path, "--query-id", 1) == 1
    assert capsys.readouterr().err.endswith(f"search.py: error: {path}: File name too long\n")


JPEG = b"\xff\xd8\xff\xe0"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("photo.jpg", JPEG), ("photo.png", PNG), ("photo.h5", JPEG), ("i.h5.engine", JPEG)],
)
def test_a_file_of_another_kind_is_called_no_index_and_no_model(name, content, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(content * 9)
    reason = "it is damaged or no index, neither HDF5 nor a pickle"
    line = f"cannot use the index {path}: {reason}; make it again with index_images.py"
    assert error_of(capsys, search, "-i", path) == line
    if name in ("photo.jpg", "photo.png"):
        line = f"{path} is not a model: expected a name ending in .keras or .h5 or .hdf5 or .onnx"
        flags = ["-i", tmp_path / "new.h5", "--dataset", "mnist", "-m", path]
        assert error_of(capsys, index_images, *flags) == line
