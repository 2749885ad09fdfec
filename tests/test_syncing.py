"""Indexes of folders: what is kept, what is encoded again, and what a kill leaves."""

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import index_images
from pyimagesearch.cli import _show_status_lines
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import encode_rows
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.indexes.file_store import FileStore
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.journal import open_journal
from pyimagesearch.indexes.settings import Update, UpdateSettings
from tests.scripts import MODEL, ROOT


@pytest.fixture(scope="session")
def encoder():
    return open_encoder(MODEL)


def sync(dataset, index, encoder, path, metric, checksum=False):
    """Update the index in a file; return the summary."""
    settings = UpdateSettings(metric, checksum=checksum)
    update = Update(dataset, encoder, encode_rows, index, settings)
    return FileStore(path).update(update).summary


def draw(path, seed):
    """Write a picture that is like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def draw_more(folder, count):
    for i in range(count):
        draw(folder / "new" / f"{i:03}.png", 1000 + i)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures in two sub-folders."""
    for i in range(10):
        draw(tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png", i)
    return tmp_path / "pictures"


@pytest.fixture(params=["index.h5", "index.pickle"])
def index_path(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
def run(folder, index_path, encoder):
    """Sync once; return the summary."""

    def run(**options):
        index = load_index(index_path) if index_path.exists() else None
        dataset = FolderDataset(folder)
        return sync(dataset, index, encoder, index_path, "euclidean", **options)

    return run


def check(index_path, folder, encoder):
    """Every code must be that of the file of its name, in the order of the names."""
    index = load_index(index_path)
    ids = list(index.ids)
    assert ids == sorted(ids)
    dataset = FolderDataset(folder, ids)
    images = dataset.read(np.arange(len(ids)), encoder.spec)
    np.testing.assert_allclose(index.codes, encoder.encode(images), atol=1e-4)
    np.testing.assert_array_equal(index.labels, dataset.labels)
    return index


def test_the_first_run_adds_everything_and_the_next_keeps_it(run, folder, index_path, encoder):
    assert run() == "added 10, changed 0, removed 0, kept 0"
    assert run() == "added 0, changed 0, removed 0, kept 10"
    index = check(index_path, folder, encoder)
    assert index.label_names == ["a", "b"]


def test_new_changed_removed_and_moved_files_are_told_apart(run, folder, index_path, encoder):
    run()
    draw(folder / "c" / "new.png", 100)
    draw(folder / "a" / "0.png", 200)
    os.utime(folder / "a" / "0.png", (1, 1))
    (folder / "b" / "1.png").unlink()
    (folder / "a" / "2.png").rename(folder / "c" / "renamed.png")
    assert run() == "added 1, changed 1, removed 1, kept 7, moved 1"
    check(index_path, folder, encoder)


def test_only_what_is_new_is_encoded(run, folder, encoder, monkeypatch):
    run()
    draw(folder / "a" / "new.png", 100)
    (folder / "b" / "1.png").rename(folder / "a" / "moved.png")
    encoded = []
    encode = Encoder.encode
    monkeypatch.setattr(
        Encoder, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images)
    )
    run()
    assert encoded == [1]


def test_a_touched_file_keeps_its_code(run, folder, monkeypatch):
    run()
    os.utime(folder / "a" / "0.png", (1, 1))
    monkeypatch.setattr(Encoder, "encode", None)
    assert run() == "added 0, changed 0, removed 0, kept 10"


def test_only_a_checksum_sees_a_change_that_keeps_size_and_time(run, folder, index_path, encoder):
    path = folder / "a" / "0.png"
    pixels = np.zeros((28, 28), np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)
    os.utime(path, (1, 1))
    run()
    Image.fromarray(pixels + 255).save(path, compress_level=0)
    os.utime(path, (1, 1))
    assert run() == "added 0, changed 0, removed 0, kept 10"
    assert run(checksum=True) == "added 0, changed 1, removed 0, kept 9"
    check(index_path, folder, encoder)


def test_a_checksum_compares_what_an_interrupted_run_left(run, folder, index_path, encoder):
    status = (folder / "a" / "0.png").stat()
    other = np.zeros(encoder.dim, np.float32)
    with pytest.raises(RuntimeError), open_journal(index_path, encoder) as journal:
        journal.add("a/0.png", status.st_size, status.st_mtime_ns, bytes(16), other)
        raise RuntimeError
    assert run(checksum=True) == "added 10, changed 0, removed 0, kept 0"
    check(index_path, folder, encoder)


def test_a_view_in_place_of_the_rows_of_an_interrupted_run_is_not_asked(
    run, folder, index_path, encoder
):
    """A view is computed, and may have no end."""
    with pytest.raises(RuntimeError), open_journal(index_path, encoder):
        raise RuntimeError
    journal = index_path.with_name(index_path.name + ".progress")
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("DROP TABLE files")
        database.execute(
            "CREATE VIEW files AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) "
            "SELECT n AS path, n AS size, n AS mtime_ns, n AS digest, n AS code, n AS checksum "
            "FROM t"
        )
        database.commit()
    assert run() == "added 10, changed 0, removed 0, kept 0"
    check(index_path, folder, encoder)


def test_a_code_of_another_size_in_an_interrupted_run_is_made_again(
    run, folder, index_path, encoder
):
    status = (folder / "a" / "0.png").stat()
    other = np.zeros(encoder.dim + 1, np.float32)
    with pytest.raises(RuntimeError), open_journal(index_path, encoder) as journal:
        journal.add("a/0.png", status.st_size, status.st_mtime_ns, bytes(16), other)
        raise RuntimeError
    assert run() == "added 10, changed 0, removed 0, kept 0"
    check(index_path, folder, encoder)


def test_bad_files_are_left_out_named_and_counted(run, folder, index_path, encoder, capsys):
    _show_status_lines()
    (folder / "a" / "empty.jpg").touch()
    (folder / "b" / "text.jpg").write_text("hello")
    assert run() == "added 10, changed 0, removed 0, kept 0, rejected 2"
    assert [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line] == [
        "[WARNING] a/empty.jpg: empty: 0 bytes",
        "[WARNING] b/text.jpg: not a picture: its content is of no known format "
        "(jpg, png, webp, ...)",
    ]
    check(index_path, folder, encoder)


def test_a_picture_that_went_bad_is_removed_and_comes_back(run, folder, index_path, encoder):
    run()
    (folder / "a" / "0.png").write_text("hello")
    assert run() == "added 0, changed 0, removed 1, kept 9, rejected 1"
    draw(folder / "a" / "0.png", 0)
    assert run() == "added 1, changed 0, removed 0, kept 9"
    check(index_path, folder, encoder)


def test_a_file_that_vanishes_during_the_run_is_rejected(folder, index_path, encoder):
    dataset = FolderDataset(folder)
    (folder / "a" / "0.png").unlink()
    summary = sync(dataset, None, encoder, index_path, "euclidean")
    assert summary == "added 9, changed 0, removed 0, kept 0, rejected 1"


def test_pictures_of_a_folder_that_cannot_be_listed_now_are_kept(run, folder, index_path, encoder):
    run()
    dataset = FolderDataset(folder, [f"a/{i}.png" for i in (0, 2, 4, 6, 8)])
    status = [(folder / path).stat() for path in dataset.ids]
    dataset.file_stats = np.zeros(5, FILE_STATS)
    dataset.file_stats["size"] = [s.st_size for s in status]
    dataset.file_stats["mtime_ns"] = [s.st_mtime_ns for s in status]
    dataset.unreadable["b/"] = "Permission denied"
    summary = sync(dataset, load_index(index_path), encoder, index_path, "euclidean")
    assert summary == "added 0, changed 0, removed 0, kept 10, rejected 1"
    check(index_path, folder, encoder)


def test_pictures_behind_links_that_lead_nowhere_now_are_kept(run, folder, tmp_path, capsys):
    drive = tmp_path / "drive"
    draw(drive / "year" / "linked.png", 20)
    draw(drive / "file.png", 21)
    (folder / "year").symlink_to(drive / "year")
    (folder / "file.png").symlink_to(drive / "file.png")
    run()
    drive.rename(tmp_path / "unmounted")
    (folder / "a" / "0.png").unlink()
    (folder / "a" / "0.png").symlink_to("0.png")  # a loop
    (folder / "a" / "2.png").unlink()
    (folder / "a" / "2.png").mkdir()
    _show_status_lines()
    assert run() == "added 0, changed 0, removed 1, kept 11, rejected 2"
    status = capsys.readouterr().err
    assert "1 pictures that cannot be read now stay in the index, such as year/linked.png" in status
    assert "file.png: No such file or directory" in status
    (tmp_path / "unmounted").rename(drive)
    (drive / "year" / "linked.png").unlink()
    assert run() == "added 0, changed 0, removed 1, kept 10, rejected 1"


def test_nothing_readable_is_an_error_and_leaves_no_index(folder, index_path, encoder):
    for path in folder.rglob("*.png"):
        path.write_text("hello")
    with pytest.raises(ValueError, match="none of the 10 pictures"):
        sync(FolderDataset(folder), None, encoder, index_path, "euclidean")
    assert not index_path.exists()


def test_names_of_any_bytes_come_back(tmp_path, index_path, encoder):
    folder = tmp_path / "odd"
    for i, name in enumerate(["ü.png", "日本.png", "new\nline.png", os.fsdecode(b"caf\xe9.png")]):
        draw(folder / name, i)
    sync(FolderDataset(folder), None, encoder, index_path, "euclidean")
    assert sorted(load_index(index_path).ids) == sorted(os.listdir(folder))
    index = load_index(index_path)
    assert "kept 4" in sync(FolderDataset(folder), index, encoder, index_path, "euclidean")


def test_hdf5_is_open_to_plain_h5py(folder, tmp_path, encoder):
    sync(FolderDataset(folder), None, encoder, tmp_path / "index.h5", "cosine")
    with h5py.File(tmp_path / "index.h5") as file:
        assert file["features"].shape == (10, 16)
        assert file["features"].dtype == np.float32
        assert file["names"].asstr()[0] == "a/0.png"
        assert file["labels"][:].tolist() == [0] * 5 + [1] * 5


def test_hdf5_features_are_mapped_not_read(folder, tmp_path, encoder):
    sync(FolderDataset(folder), None, encoder, tmp_path / "index.h5", "cosine")
    features = load_index(tmp_path / "index.h5").codes
    while not isinstance(features, np.memmap):  # a view of the map, perhaps
        features = features.base
    assert Path(features.filename).name == "index.h5"


def test_a_cut_or_foreign_hdf5_is_one_clear_error(folder, tmp_path, encoder):
    path = tmp_path / "index.h5"
    sync(FolderDataset(folder), None, encoder, path, "cosine")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"index\.h5.*index_images\.py"):
            load_index(path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match=r"index\.h5.*index_images\.py"):
        load_index(path)


# --- nothing is lost


def start_indexing(python, folder, index, slowly):
    """Start indexing in a process of its own, which sleeps for `slowly` seconds a batch."""
    code = (
        "import sys, time\n"
        "import index_images\n"
        "from pyimagesearch.datasets import folder\n"
        "from pyimagesearch.indexes import journal\n"
        "from pyimagesearch.encoders.encoder import Encoder\n"
        "journal.CHECKPOINT, folder.FILES_PER_BATCH = 0, 1\n"
        "encode = Encoder.encode\n"
        "def slow(self, images):\n"
        f"    time.sleep({slowly})\n"
        "    print('encoding', flush=True)\n"
        "    return encode(self, images)\n"
        "Encoder.encode = slow\n"
        "sys.exit(index_images.main(sys.argv[1:]))\n"
    )
    command = python("-c", code, "-m", MODEL, "-i", index, "--dataset", folder)
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_batches(process, count):
    seen = 0
    for line in process.stdout:
        seen += line == "encoding\n"
        if seen == count:
            return


def test_kills_leave_the_index_whole_and_the_next_run_goes_on(
    run, folder, index_path, encoder, python
):
    run()
    before = index_path.read_bytes()
    draw_more(folder, 30)
    for batches in (5, 9):
        process = start_indexing(python, folder, index_path, slowly=0.02)
        wait_for_batches(process, batches)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert index_path.read_bytes() == before
        load_index(index_path)
    with open_journal(index_path, encoder) as progress:
        done = len(progress)
        progress_left = index_path.with_name(index_path.name + ".progress")
        shutil.copy(progress_left, progress_left.with_suffix(".copy"))
    shutil.move(progress_left.with_suffix(".copy"), progress_left)
    assert done >= 12  # 4 and 8 batches were done for certain
    encoded = []
    encode = Encoder.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Encoder,
            "encode",
            lambda self, images: encoded.append(len(images)) or encode(self, images),
        )
        assert run() == "added 30, changed 0, removed 0, kept 10"
    assert sum(encoded) == 30 - done
    check(index_path, folder, encoder)
    assert not progress_left.exists()


def test_ctrl_c_is_an_orderly_end_that_can_be_taken_up(run, folder, index_path, python):
    run()
    before = index_path.read_bytes()
    draw_more(folder, 10)
    process = start_indexing(python, folder, index_path, slowly=0.1)
    wait_for_batches(process, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert index_path.read_bytes() == before
    assert run() == "added 10, changed 0, removed 0, kept 10"


def test_a_second_indexer_is_refused_while_the_first_lives(run, folder, index_path, python, capsys):
    run()
    draw_more(folder, 10)
    process = start_indexing(python, folder, index_path, slowly=0.5)
    wait_for_batches(process, 1)
    arguments = ["-m", str(MODEL), "-i", str(index_path), "--dataset", str(folder)]
    assert index_images.main(arguments) == 1
    assert "another process is indexing into" in capsys.readouterr().err
    process.kill()
    process.communicate()
    assert index_images.main(arguments) == 0


def test_a_full_disk_leaves_the_index_whole(run, folder, index_path, encoder, python):
    run()
    before = index_path.read_bytes()
    draw_more(folder, 200)
    code = "import sys, index_images; sys.exit(index_images.main(sys.argv[1:]))"
    command = python("-c", code, "-m", MODEL, "-i", index_path, "--dataset", folder)

    def small_files():
        limit = len(before) // 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(
        command, cwd=ROOT, preexec_fn=small_files, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("index_images.py: error: cannot write")
    assert "Traceback" not in result.stderr
    assert index_path.read_bytes() == before
    assert run() == "added 200, changed 0, removed 0, kept 10"
    check(index_path, folder, encoder)


def test_a_reader_during_a_write_sees_the_old_index_or_the_new(run, folder, index_path, python):
    run()
    draw_more(folder, 20)
    process = start_indexing(python, folder, index_path, slowly=0.02)
    sizes = set()
    while process.poll() is None:
        sizes.add(len(load_index(index_path)))
        time.sleep(0.005)
    process.communicate()
    assert process.returncode == 0
    assert sizes | {len(load_index(index_path))} <= {10, 30}


def test_a_broken_progress_file_is_dropped(run, index_path):
    Path(f"{index_path}.progress").write_bytes(b"SQLite format 3\0 and then nonsense" * 99)
    assert run() == "added 10, changed 0, removed 0, kept 0"


def test_a_link_in_place_of_progress_is_not_followed(run, index_path, tmp_path):
    database = sqlite3.connect(tmp_path / "another.db")
    database.execute("CREATE TABLE files (name TEXT)")
    database.commit()
    before = (tmp_path / "another.db").read_bytes()
    Path(f"{index_path}.progress").symlink_to(tmp_path / "another.db")
    assert run() == "added 10, changed 0, removed 0, kept 0"
    assert (tmp_path / "another.db").read_bytes() == before


def test_a_journal_that_somebody_deleted_when_all_was_done_is_no_error(tmp_path, encoder):
    with open_journal(tmp_path / "i", encoder) as journal:
        journal.save()
        (tmp_path / "i.progress").unlink()
    assert not list(tmp_path.iterdir())


def test_progress_of_another_model_is_dropped(tmp_path, stub_encoder, encoder):
    with pytest.raises(RuntimeError), open_journal(tmp_path / "i", encoder) as progress:
        progress.add("a", 1, 2, b"digest 16 bytes.", np.zeros(16, np.float32))
        raise RuntimeError
    with pytest.raises(RuntimeError), open_journal(tmp_path / "i", encoder) as progress:
        digest, code = progress.find("a", 1, 2)
        assert (digest, code.tolist()) == (b"digest 16 bytes.", [0] * 16)
        assert progress.find("a", 1, 3) is None
        raise RuntimeError
    with open_journal(tmp_path / "i", stub_encoder) as progress:
        assert len(progress) == 0


def test_a_damaged_row_of_a_journal_is_not_used(tmp_path, encoder):
    with pytest.raises(RuntimeError), open_journal(tmp_path / "i", encoder) as journal:
        for name in ("a", "b"):
            journal.add(name, 1, 2, b"digest 16 bytes.", np.zeros(16, np.float32))
        raise RuntimeError
    database = sqlite3.connect(tmp_path / "i.progress")
    database.execute("UPDATE files SET code = ? WHERE path = ?", (bytes(60) + b"\1\0\0\0", b"a"))
    database.commit()
    database.close()
    with open_journal(tmp_path / "i", encoder) as journal:
        assert journal.find("a", 1, 2) is None
        assert journal.find("b", 1, 2) is not None


def test_a_journal_that_cannot_be_opened_now_is_kept(tmp_path, encoder, monkeypatch):
    with pytest.raises(RuntimeError), open_journal(tmp_path / "i", encoder) as journal:
        journal.add("a", 1, 2, b"digest 16 bytes.", np.zeros(16, np.float32))
        raise RuntimeError

    def fail(path, **options):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", fail)
        with pytest.raises(OSError, match="disk I/O error"), open_journal(tmp_path / "i", encoder):
            pass
    with open_journal(tmp_path / "i", encoder) as journal:
        assert len(journal) == 1
