"""One process at a time changes a file, and file systems without locks can be used nevertheless."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess

import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch import locks
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.locks import sole_writer
from tests.scripts import KERAS_MODEL, MODEL, ROOT, error_of, run
from tests.test_nothing_lost import make_folder

# Keeps the lock of an index or a model until it is killed.
HOLDER = """
import sys, time
from pyimagesearch.locks import sole_writer
with sole_writer(sys.argv[1], "working on"):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(python):
    """A function that has a process hold the lock of a file, and returns the process."""
    holders = []

    def hold(path):
        command = python("-c", HOLDER, path)
        holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout.readline() == "locked\n"
        return holder

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path, held):
    path = tmp_path / "file.h5"
    holder = held(path)
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    for name in (path, link):
        with (
            pytest.raises(BlockingIOError, match=r"another process is writing .*: wait for it"),
            sole_writer(name, "writing"),
        ):
            pass
    with sole_writer(tmp_path / "other.h5", "writing"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with sole_writer(path, "writing"):
        pass
    assert os.listdir(tmp_path) == ["link.h5"]  # no lock of a killed process is left


def test_a_lock_that_cannot_be_opened_is_named(tmp_path):
    lock = tmp_path / ".file.h5.lock"
    lock.mkdir()  # or a file that another user's killed process left
    message = rf"cannot write .*/file\.h5: cannot lock it by {lock}: Is a directory"
    with pytest.raises(OSError, match=message), sole_writer(tmp_path / "file.h5", "writing"):
        pass


def test_a_lock_that_is_removed_while_it_is_waited_for_is_not_taken(tmp_path, monkeypatch):
    """A third process could lock a new file of the name at the same time."""
    path = tmp_path / "file.h5"
    flock = fcntl.flock
    removed = []

    def remove_first(handle, operation):
        if not removed:
            removed.append(True)
            (tmp_path / ".file.h5.lock").unlink()
        return flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with sole_writer(path, "writing"):
        assert removed
        assert (tmp_path / ".file.h5.lock").exists()


@pytest.mark.parametrize("name", ["index.pickle", "index.h5"])
@pytest.mark.parametrize("flags", [["-m", MODEL, "--limit", 9], ["--engine", "HNSW4"], "merge"])
def test_an_index_that_is_being_changed_is_not_changed_by_another(
    name, flags, tmp_path, held, capsys
):
    path = tmp_path / name
    assert run(index_images, "-m", MODEL, "-i", path, "--limit", 20) == 0
    if flags == "merge":
        part = tmp_path / "part.h5"
        assert run(index_images, "-m", MODEL, "-i", part, "--limit", 30) == 0
        flags = ["--merge", part]
    before = path.read_bytes()
    held(path)
    capsys.readouterr()
    message = error_of(capsys, index_images, "-i", path, *flags)
    assert message == f"another process is indexing into {path}: wait for it to end"
    assert path.read_bytes() == before
    assert run(search, "-i", path, "--query-id", 3, "--json") == 0  # readers need no lock


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_second_training_does_not_take_the_checkpoint_of_the_first(more, tmp_path, held, capsys):
    model = tmp_path / "model.keras"
    checkpoint = tmp_path / "model.keras.checkpoint.npz"
    checkpoint.write_bytes(b"of a training that goes on")
    held(model)
    message = error_of(capsys, train_autoencoder, "-m", model, "--limit", 9, *more)
    assert message == f"another process is training {model}: wait for it to end"
    assert checkpoint.read_bytes() == b"of a training that goes on"


def test_two_trainings_do_not_write_one_encoder(tmp_path, held, capsys):
    encoder = tmp_path / "encoder.onnx"
    held(encoder)
    flags = ["-m", tmp_path / "m.keras", "--encoder", encoder, "--limit", 9]
    message = error_of(capsys, train_autoencoder, *flags)
    assert message == f"another process is training {encoder}: wait for it to end"
    assert os.listdir(tmp_path) == [".encoder.onnx.lock"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_files_are_written_with_one_warning(number, tmp_path, monkeypatch, capsys):
    def fail(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    folder = make_folder(tmp_path / "pictures", range(12))
    for name in ("index.pickle", "index.h5"):
        path = tmp_path / name
        capsys.readouterr()
        assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder) == 0
        assert capsys.readouterr().err.count("without locks") == 1
        assert len(load_index(path)) == 12
    assert not list(tmp_path.glob(".*"))


def test_on_windows_a_file_that_ends_with_its_process_is_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    path = tmp_path / "file.h5"
    with sole_writer(path, "writing"):
        with (
            pytest.raises(BlockingIOError, match="another process is indexing into"),
            sole_writer(path, "indexing into"),
        ):
            pass
        assert os.listdir(tmp_path) == [".file.h5.lock"]


NO_LOCKS = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""


def test_hdf5_needs_no_locks_of_the_file_system(tmp_path, python, monkeypatch):
    """Files of Keras too: HDF5 itself would lock them, by a call in C."""
    source = tmp_path / "no_locks.c"
    source.write_text(NO_LOCKS)
    library = tmp_path / "no_locks.so"
    build = ["cc", "-shared", "-fPIC", "-o", library, source]
    try:
        subprocess.run(build, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no compiler of C")
    path = tmp_path / "index.h5"
    command = python("index_images.py", "-m", MODEL, "-i", path, "--limit", 12)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING")  # the package sets it, also in these tests

    def run_without_locks(command):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr.count("[WARNING]")

    assert run_without_locks(command) == 1
    assert run_without_locks(python("search.py", "-i", path, "--query-id", 3, "--json")) == 0
    model = tmp_path / "model.h5"
    shutil.copyfile(KERAS_MODEL, model)
    open_as_keras = f"import pyimagesearch, h5py; h5py.File({str(model)!r}, 'a')"
    assert run_without_locks(python("-c", open_as_keras)) == 0
