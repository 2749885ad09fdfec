import hashlib
import os
import signal
import subprocess
from functools import partial

import h5py
import numpy as np
import pytest

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.model_source import model_path
from pyimagesearch.engines.engine_file import load_engine
from pyimagesearch.files import (
    atomic_write,
    is_inside,
    require_writable,
    sha256_of,
)
from pyimagesearch.hdf5_files import has_hdf5_attribute, require_plain_hdf5
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.replacing import PAGE, require_kind
from pyimagesearch.training.checkpoint import Checkpoint


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "sub" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_killed_writer_leaves_the_old_file(tmp_path, python):
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = (
        "import sys, time\n"
        "from pyimagesearch.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(python("-c", code, path), stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    with atomic_write(path) as temporary:  # clears up what the other left
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["file.txt"]


def test_writers_of_one_process_id_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as in two containers
    path = tmp_path / "file.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_link_and_permissions_stay(tmp_path):
    path, link = tmp_path / "file.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    with atomic_write(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["i.h5.engine", "m.keras.checkpoint.npz", "net.0123456789ab.features"]
)
def test_a_link_in_place_of_what_is_kept_beside_a_file_is_not_followed(name, tmp_path):
    (tmp_path / "photo.jpg").write_text("photo")
    (tmp_path / name).symlink_to("photo.jpg")
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "photo.jpg").read_text() == "photo"
    assert not (tmp_path / name).is_symlink()


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("new")
    modes = {name: (tmp_path / name).stat().st_mode for name in ("usual", "file")}
    assert modes["usual"] == modes["file"]


def test_what_cannot_be_written_is_known_beforehand(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        require_writable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        require_writable(tmp_path / "file" / "below.txt")
    require_writable(tmp_path / "new" / "file.txt")
    assert (tmp_path / "new").is_dir()


def test_a_file_that_is_write_protected_is_not_replaced(tmp_path, monkeypatch):
    # As for a user who is not root, to whom all is allowed.
    monkeypatch.setattr(os, "access", lambda path, mode: bool(path.stat().st_mode & 0o200))
    path = tmp_path / "file.txt"
    path.write_text("old")
    path.chmod(0o444)
    message = rf"cannot write {path}: it is write-protected"
    with pytest.raises(PermissionError, match=message):
        require_writable(path)
    with pytest.raises(PermissionError, match=message), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("character", ["n", "\N{CJK UNIFIED IDEOGRAPH-56FE}"])
def test_a_name_of_255_bytes_is_written(character, tmp_path):
    name = character * (251 // len(character.encode())) + ".txt"
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert os.listdir(tmp_path) == [name]


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("path", "here", "windows"),
    [
        ("a/b.png", True, True),
        ("a..b.png", True, True),
        ("../a.png", False, False),
        ("a/../../b.png", False, False),
        ("/etc/passwd", False, False),
        ("", False, False),
        ("a\0.png", False, False),
        ("..\\a.png", True, False),
        ("C:/a.png", True, False),
    ],
)
def test_a_path_that_leaves_its_folder_is_told_from_one_that_does_not(path, here, windows):
    assert is_inside(path, windows=False) == here
    assert is_inside(path, windows=True) == windows


def test_an_hdf5_file_whose_root_is_damaged_has_no_attribute(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["mark"] = "here"
        root = h5py.h5o.get_info(file.id).addr
    assert has_hdf5_attribute(path, "mark") is True
    assert has_hdf5_attribute(path, "other") is False
    data = bytearray(path.read_bytes())
    data[root] = 255  # the version of its header
    path.write_bytes(data)
    assert has_hdf5_attribute(path, "mark") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_nothing_waits_for_a_pipe_in_place_of_a_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    names = [tmp_path / name for name in ("a.pickle", "a.h5", "a.keras", "a.npz")]
    for name in names:
        name.symlink_to(path)
    pickled, hdf5, model, arrays = map(str, names)
    for call in (
        partial(load_index, pickled),
        partial(load_index, hdf5),
        partial(load_engine, pickled, np.ones((2, 3), np.float32), None),
        partial(model_path, model),
        partial(open_dataset, arrays),
        partial(require_writable, pickled),
    ):
        with pytest.raises(OSError, match=r"device or pipe|no regular file"):
            call()
    with pytest.raises(ValueError, match="device or pipe"):
        Checkpoint(arrays, {}).resumed()
    with pytest.raises(OSError, match="no regular file"), atomic_write(path):
        pass
    with pytest.raises(ValueError, match=r"--html .* is a device or pipe"):
        require_kind(path, PAGE, "--html")
    assert path.is_fifo()


def test_hdf5_whose_chunks_are_larger_than_the_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (12, 4), "f4", maxshape=(None, 4), chunks=(2**27, 4))
        with pytest.raises(ValueError, match="its object x is larger than the file"):
            require_plain_hdf5(file, 10_000)


def test_hdf5_that_expands_to_gigabytes_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "xyz":
            file.create_dataset(name, (100_000_000,), "f4", chunks=(1_000_000,), compression="gzip")
        require_plain_hdf5(file, 2 << 30)
        with pytest.raises(ValueError, match="its object z is larger than the file"):
            require_plain_hdf5(file, 100 << 20)
