"""Each writer on a full disk, or one that is read-only: one line, and no file that is in part."""

import contextlib
import errno
import os
import resource

import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.engines.engine_file import save_engine
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.engines.kmeans import Elbow
from pyimagesearch.hdf5_files import BASE_SIZE
from pyimagesearch.indexes.hdf5 import write_hdf5
from pyimagesearch.indexes.index_file import save_index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.plots import plot_elbow, plot_training
from pyimagesearch.training.callbacks import write_log
from pyimagesearch.training.checkpoint import Checkpoint
from tests.scripts import MODEL, ROOT, error_of
from tests.test_nothing_lost import make_folder

ROOM = 40  # bytes that a file may have
ENCODER = ROOT / "tests" / "data" / "before" / "encoder.onnx"
HISTORY = [{"phase": "fit", "epoch": 1, "loss": 0.5, "val_loss": 0.25}]


@contextlib.contextmanager
def full_disk(room=ROOM):
    """No file of this process can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def network():
    return ConvAutoencoder.build(8, 8, 1, (2,), 2)


def index_of(encoder):
    return LocalIndex(np.ones((3, 4), np.float32), ["0", "1", "2"], encoder=encoder)


WRITERS = {
    "index.pickle": lambda path, network, encoder: save_index(index_of(encoder), path),
    "index.h5": lambda path, network, encoder: save_index(index_of(encoder), path),
    "model.keras": lambda path, network, encoder: save_model(network, path, InputSpec(8, 8, 1)),
    "model.h5": lambda path, network, encoder: save_model(network, path, InputSpec(8, 8, 1)),
    "model.onnx": lambda path, network, encoder: Encoder.from_onnx(ENCODER).save_onnx(path),
    "i.engine": lambda path, network, encoder: save_engine(
        build_engine(np.eye(64, dtype=np.float32), "HNSW4"), str(path), "1"
    ),
    "c.npz": lambda path, network, encoder: Checkpoint(
        str(path), {}, arrays={"weights": [np.ones(99)]}
    ).save(),
    "a.png": lambda path, network, encoder: write_image(path, np.zeros((99, 99, 3), np.uint8)),
    "a.jpg": lambda path, network, encoder: write_image(path, np.zeros((99, 99, 3), np.uint8)),
    "plot.png": lambda path, network, encoder: plot_training(str(path), HISTORY, {}),
    "plot.jpg": lambda path, network, encoder: plot_training(str(path), HISTORY, {}),
    "elbow.png": lambda path, network, encoder: plot_elbow(
        str(path), Elbow([1, 2, 3], [3.0, 2.0, 1.0], 2)
    ),
    "log.csv": lambda path, network, encoder: write_log(str(path), HISTORY * 9),
}


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_a_writer_names_its_file_and_leaves_it(
    name, tmp_path, network, stub_encoder
):
    path = tmp_path / name
    WRITERS[name](path, network, stub_encoder)  # as a picture replaces only one of ours
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match=rf"cannot write .*{path.name}: ") as error:
        WRITERS[name](path, network, stub_encoder)
    assert len(str(error.value).splitlines()) == 1
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["index.h5", "model.h5"])
def test_the_room_that_is_reserved_for_an_hdf5_file_suffices_and_no_more_is_kept(
    name, tmp_path, network, stub_encoder, monkeypatch
):
    # Where a write fails, HDF5 ends the process by a signal when all else is done.
    reserved = []
    reserve = os.posix_fallocate
    monkeypatch.setattr(
        os, "posix_fallocate", lambda *args: (reserved.append(args[2]), reserve(*args))
    )
    path = tmp_path / name
    WRITERS[name](path, network, stub_encoder)
    size = path.stat().st_size
    assert size <= reserved[0] < size + 400_000
    for room in (2_000, size // 2, size):
        with full_disk(room), pytest.raises(OSError, match=f"it takes up to {reserved[0]:,} bytes"):
            WRITERS[name](path, network, stub_encoder)
    assert path.stat().st_size == size
    with full_disk(reserved[0]):
        WRITERS[name](path, network, stub_encoder)


@pytest.mark.parametrize("length", [1, 30, 1000])
def test_the_room_of_an_index_holds_names_of_any_length(length, tmp_path, monkeypatch):
    ids = [f"{i:0{length}}" for i in range(2000)]
    reserved = []
    monkeypatch.setattr(os, "posix_fallocate", lambda *args: reserved.append(args[2]))
    data = {"code_size": 2, "labels": np.zeros(2000, np.int64)}
    write_hdf5(str(tmp_path / "i.h5"), data, ids, [np.zeros((2000, 2), np.float32)])
    size = (tmp_path / "i.h5").stat().st_size
    assert 0.8 * size < reserved[0] - BASE_SIZE
    assert size <= reserved[0]


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "plot.png"])
def test_a_link_keeps_the_format_of_its_own_name(name, tmp_path, network, stub_encoder):
    (tmp_path / name).symlink_to("kept.jpg")
    WRITERS[name](tmp_path / name, network, stub_encoder)
    starts = {"model.keras": b"PK", "model.h5": b"\x89HDF", "plot.png": b"\x89PNG"}
    assert (tmp_path / "kept.jpg").read_bytes().startswith(starts[name])
    assert (tmp_path / name).is_symlink()


@pytest.fixture
def commands(small_index, tmp_path):
    """A command for each flag that names a file to write, and the name."""
    folder = make_folder(tmp_path / "pictures", range(3))
    (folder / "bad.png").write_text("text")
    pages = ["-i", small_index, "--query-id", 3, "-k", 2]
    indexing = [index_images, "-m", MODEL, "--dataset", folder]
    return {
        "--html": ([search, *pages], "page.html"),
        "--output": ([search, *pages], "sheets"),
        "--index": (indexing, "new.h5"),
        "--rejects": ([*indexing, "-i", tmp_path / "i.h5"], "rejects.txt"),
        "--model": ([train_autoencoder, "--limit", 20], "model.keras"),
    }


@pytest.mark.parametrize("sub", ["", "new"])
@pytest.mark.parametrize("flag", ["--html", "--output", "--index", "--rejects", "--model"])
def test_on_a_read_only_disk_a_script_says_so_in_one_line(
    flag, sub, commands, tmp_path, monkeypatch, capsys
):
    command, name = commands[flag]
    path = tmp_path / "read-only" / sub / name
    (tmp_path / "read-only").mkdir()
    refuse_to_write(monkeypatch, tmp_path / "read-only")
    script, *flags = command
    capsys.readouterr()
    message = error_of(capsys, script, *flags, flag, path)
    assert message.startswith(f"cannot write {path}")
    assert "Read-only file system" in message
    assert not list((tmp_path / "read-only").iterdir())


def refuse_to_write(monkeypatch, folder):
    """Let making files and folders in a folder fail as on a disk that is read-only."""

    def guarded(call):
        def guard(path, *arguments, **options):
            place = options.get("dir", path)
            flags = arguments[0] if arguments and isinstance(arguments[0], int) else 0
            writes = call.__name__ != "open" or flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
            if writes and str(folder) in os.fspath(place):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), place)
            return call(path, *arguments, **options)

        return guard

    monkeypatch.setattr(os, "mkdir", guarded(os.mkdir))
    monkeypatch.setattr(os, "open", guarded(os.open))


def test_a_page_on_a_full_disk_is_one_line(small_index, tmp_path, capsys):
    page = tmp_path / "page.html"
    with full_disk():
        message = error_of(
            capsys, search, "-i", small_index, "--query-id", 3, "-k", 2, "--html", page
        )
    assert message == f"cannot write {page}: {os.strerror(errno.EFBIG)}"
    assert not list(tmp_path.iterdir())
