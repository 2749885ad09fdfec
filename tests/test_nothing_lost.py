"""Files that exist are not replaced, nor codes removed, unless that was asked for."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.index_file import load_index, require_replaceable
from pyimagesearch.indexes.stores import open_store
from tests.scripts import KERAS_MODEL, MODEL, ROOT, error_of, run


def make_folder(folder, rows, compressed=True):
    """Write digits as pictures: digit i as 0/i.png or 1/i.png."""
    digits = open_dataset("mnist", "test")
    for i, row in enumerate(rows):
        path = folder / str(i % 2) / f"{i:03}{'.png' if compressed else '.bmp'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), digits.picture(row))
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "photos", range(60))


@pytest.fixture(params=["photos.h5", "photos.pickle"])
def index(request, folder, tmp_path, capsys):
    path = tmp_path / request.param
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder) == 0
    capsys.readouterr()
    return path


# --- an index of other images


@pytest.mark.parametrize("name", ["i.h5", "i.pickle"])
def test_an_empty_file_becomes_an_index_as_if_there_were_none(name, index, folder, tmp_path):
    (tmp_path / name).touch()
    assert run(index_images, "-m", MODEL, "-i", tmp_path / name, "--dataset", folder) == 0
    assert len(load_index(tmp_path / name)) == 60
    (tmp_path / name).write_bytes(b"")
    assert run(index_images, "-i", tmp_path / name, "--merge", index) == 0
    assert len(load_index(tmp_path / name)) == 60


def test_an_update_without_dataset_reads_the_images_of_the_index(index, capsys):
    assert run(index_images, "-m", MODEL, "-i", index) == 0
    assert capsys.readouterr().out == "added 0, changed 0, removed 0, kept 60\n"


def test_a_rebuild_without_dataset_reads_the_images_of_the_index(index, capsys):
    assert run(index_images, "-m", MODEL, "-i", index, "--rebuild") == 0
    assert capsys.readouterr().out == "added 60, changed 0, removed 0, kept 0\n"


def test_a_damaged_index_is_rebuilt_only_if_its_images_are_named(index, folder, capsys):
    index.write_bytes(index.read_bytes()[:1000])
    before = index.read_bytes()
    message = error_of(capsys, index_images, "-m", MODEL, "-i", index, "--rebuild")
    assert "with --model, --dataset and --rebuild" in message
    assert index.read_bytes() == before
    assert run(index_images, "-m", MODEL, "-i", index, "--rebuild", "--dataset", folder) == 0
    assert len(load_index(index)) == 60


def test_digits_do_not_replace_photographs(index, capsys):
    before = index.read_bytes()
    message = error_of(capsys, index_images, "-m", MODEL, "-i", index, "--dataset", "mnist")
    assert "photos, not of mnist, train: make another index" in message
    assert index.read_bytes() == before


def test_photographs_do_not_replace_digits_nor_one_split_the_other(folder, tmp_path, capsys):
    index = tmp_path / "digits.h5"
    assert run(index_images, "-m", MODEL, "-i", index, "--limit", 30) == 0
    capsys.readouterr()
    before = index.read_bytes()
    for flags in (["--dataset", folder], ["--split", "test"], ["--dataset", "fashion_mnist"]):
        message = error_of(capsys, index_images, "-m", MODEL, "-i", index, *flags)
        assert "digits.h5 is the index of mnist, train, not of" in message
        assert index.read_bytes() == before


def test_a_rebuild_with_other_images_takes_nothing_else_from_the_index(tmp_path, capsys):
    index = tmp_path / "digits.h5"
    flags = ["-m", MODEL, "-i", index, "--limit", 30]
    assert run(index_images, *flags, "--split", "test") == 0
    assert run(index_images, "-i", index) == 0
    assert load_index(index).source == {"name": "mnist", "split": "test", "limit": 30}
    images = open_dataset("mnist", "train", 20)
    np.savez(tmp_path / "other.npz", x_train=images.images, y_train=images.labels)
    other = ["--dataset", tmp_path / "other.npz", "--rebuild"]
    assert run(index_images, "-i", index, *other) == 0
    source = load_index(index).source
    assert (source["split"], source["limit"], len(load_index(index))) == ("train", None, 20)


@pytest.mark.parametrize("compressed", [True, False])
def test_two_folders_that_share_names_are_not_one(tmp_path, capsys, compressed):
    index = tmp_path / "cameras.h5"
    first = make_folder(tmp_path / "cam1", range(6), compressed)
    second = make_folder(tmp_path / "cam 2", range(10, 15), compressed)
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", first) == 0
    capsys.readouterr()
    before = index.read_bytes()
    message = error_of(capsys, index_images, "-i", index, "--dataset", second)
    assert f"--dataset '{second}' --index NAME, or replace this one with --rebuild" in message
    assert index.read_bytes() == before


def test_a_folder_that_was_moved_is_the_same(index, folder, tmp_path, capsys):
    moved = folder.rename(tmp_path / "moved")
    shutil.copy(moved / "0" / "000.png", moved / "new.png")
    message = error_of(capsys, index_images, "-i", index)
    assert f"the indexed folder {folder} does not exist" in message
    assert "--dataset" in message
    folder.touch()
    message = error_of(capsys, index_images, "-i", index)
    assert f"the indexed folder {folder} is a file now" in message
    assert run(index_images, "-i", index, "--dataset", moved) == 0
    assert "added 1, changed 0, removed 0, kept 60" in capsys.readouterr().out
    assert load_index(index).source["name"] == str(moved)


def test_a_search_names_a_folder_that_does_not_exist(index, folder, tmp_path, capsys):
    picture = shutil.copy(folder / "0" / "000.png", tmp_path)
    folder.rename(tmp_path / "moved")
    message = error_of(capsys, search, "-i", index, "--dataset", tmp_path / "none", "-q", picture)
    assert f"no such folder: {tmp_path / 'none'}" in message
    assert run(search, "-i", index, "-q", picture, "--json") == 0
    assert f"the indexed folder {folder} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.keras", "photo.jpg", "notes.txt", "model.h5"])
def test_a_file_that_is_no_index_is_never_replaced(name, tmp_path, capsys):
    content = KERAS_MODEL.read_bytes() if name == "model.h5" else b"PK\3\4 or anything else"
    (tmp_path / name).write_bytes(content)
    for flags in ([], ["--rebuild"], ["--rebuild", "--dataset", "mnist"]):
        flags = ["-m", MODEL, "-i", tmp_path / name, "--limit", 5, *flags]
        message = error_of(capsys, index_images, *flags)
        assert "give --index another name" in message
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "data",
    [
        {"holiday": [1, 2]},
        {"labels": [1, 2], "data": [b"my own"]},
        [{"indexes": 1}],
        "features",
    ],
    ids=["dict", "labels", "list", "text"],
)
def test_a_pickle_of_the_users_own_is_never_replaced(data, protocol, tmp_path, capsys):
    path = tmp_path / "mine.pickle"
    path.write_bytes(pickle.dumps(data, protocol))
    before = path.read_bytes()
    flags = ["-m", MODEL, "-i", path, "--dataset", "mnist", "--limit", 5, "--rebuild"]
    message = error_of(capsys, index_images, *flags)
    assert message == f"{path} is not an index: give --index another name, or delete the file"
    assert path.read_bytes() == before


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("keys", [("indexes", "features"), ("features", "indexes")])
def test_the_tutorials_index_may_be_replaced(keys, protocol, tmp_path):
    path = tmp_path / "index.pickle"
    data = {"indexes": [0, 1], "features": [np.zeros(16, np.float32)] * 2}
    path.write_bytes(pickle.dumps({key: data[key] for key in keys}, protocol))
    flags = ["-m", MODEL, "-i", path, "--dataset", "mnist", "--limit", 5, "--rebuild"]
    assert run(index_images, *flags) == 0
    assert len(load_index(path)) == 5


def test_indexes_of_all_versions_and_damaged_ones_may_be_replaced(index, tmp_path):
    for name in ("array.pickle", "folder.pickle", "array.h5"):
        require_replaceable(ROOT / "tests" / "data" / "before" / name)
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2])
    require_replaceable(index)


def test_merging_does_not_replace_another_index(index, tmp_path, capsys):
    digits, others = tmp_path / "digits.h5", tmp_path / "others.h5"
    assert run(index_images, "-m", MODEL, "-i", digits, "--limit", 30) == 0
    assert run(index_images, "-m", MODEL, "-i", others, "--limit", 20) == 0
    capsys.readouterr()
    for source, lost in ((others, 10), (index, 30)):
        message = error_of(capsys, index_images, "-i", digits, "--merge", source)
        assert f"holds {lost} images that are in none of the files" in message
        assert len(load_index(digits)) == 30
    assert run(index_images, "-i", digits, "--merge", others, "--rebuild") == 0
    assert len(load_index(digits)) == 20


# --- one path in two roles


def test_one_path_has_one_role(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = shutil.copy(KERAS_MODEL, tmp_path / "a.h5")
    before = model.read_bytes()
    (tmp_path / "link.h5").symlink_to(model)
    for flags in (
        [index_images, "-m", "a.h5", "-i", "a.h5"],
        [index_images, "-m", "a.h5", "-i", "./link.h5"],
        [index_images, "-m", "a.h5", "-i", "b.h5", "--rejects", "a.h5"],
        [index_images, "-m", "a.h5", "-i", "b.h5", "--rejects", "b.h5.progress"],
        [index_images, "-i", "a.h5", "--merge", "a.h5"],
        [train_autoencoder, "-m", "a.h5", "--encoder", "a.h5"],
        [train_autoencoder, "-m", "b.h5", "--vis", "p.png", "--plot", "p.png"],
        [search, "-i", "a.h5", "-m", "a.h5"],
    ):
        message = error_of(capsys, *flags)
        assert "both use" in message
        assert message.endswith("give each its own file")
        assert model.read_bytes() == before


def test_an_index_is_no_model(index, tmp_path, capsys):
    before = index.read_bytes()
    named = index.rename(index.with_suffix({".h5": ".h5", ".pickle": ".keras"}[index.suffix]))
    message = f"--model {named} is an index, not a model"
    assert message in error_of(capsys, train_autoencoder, "-m", named, "--limit", 9)
    assert message in error_of(capsys, index_images, "-m", named, "-i", tmp_path / "other.h5")
    flags = ["-m", tmp_path / "new.onnx", "--backbone", named]
    message = f"--backbone {named} is an index, not a model"
    assert message in error_of(capsys, train_autoencoder, *flags, "--limit", 9)
    assert named.read_bytes() == before


def test_an_index_is_no_model_to_search_with(small_index, tmp_path, capsys):
    other = shutil.copy(small_index, tmp_path / "other.pickle")
    message = error_of(capsys, search, "-i", small_index, "-m", other)
    assert message == f"--model {other} is an index, not a model: give another name"


# --- fewer images than before


def test_a_limit_removes_nothing_from_the_index_of_a_folder(index, folder, capsys):
    cv2.imwrite(str(folder / "0" / "000a.png"), np.zeros((28, 28), np.uint8))
    assert run(index_images, "-i", index, "--limit", 5) == 0
    assert capsys.readouterr().out == "added 1, changed 0, removed 0, kept 60\n"


def test_a_limit_removes_nothing_from_the_index_of_an_array(tmp_path, capsys):
    index = tmp_path / "digits.h5"
    assert run(index_images, "-m", MODEL, "-i", index, "--limit", 30) == 0
    capsys.readouterr()
    for flags in (["--limit", 5], ["-m", MODEL, "--limit", 29], ["--shard", "1/2"]):
        message = error_of(capsys, index_images, "-i", index, *flags)
        assert "digits.h5 holds 30 codes, and this run would leave" in message
        assert len(load_index(index)) == 30
    assert run(index_images, "-i", index, "--limit", 40) == 0
    assert len(load_index(index)) == 40


def test_most_of_an_index_is_removed_only_when_asked(index, folder, capsys):
    for path in list(folder.glob("*/*"))[:31]:
        path.unlink()
    before = index.read_bytes()
    message = error_of(capsys, index_images, "-i", index)
    assert "31 of the 60 pictures" in message
    assert "is a drive unmounted?" in message
    assert index.read_bytes() == before
    assert run(index_images, "-i", index, "--prune") == 0
    assert capsys.readouterr().out == "added 0, changed 0, removed 31, kept 29\n"


def as_user(*command):
    """Return a command that permissions apply to, even if the tests run as root."""
    if os.geteuid():
        return list(command)
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and there is no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


@pytest.mark.parametrize("flags", [[], ["--checksum"]])
def test_pictures_that_are_inaccessible_keep_their_codes(index, folder, flags):
    withdrawn = sorted(folder.glob("*/*.png"))[:42]
    for path in withdrawn:
        path.chmod(0)
    os.utime(withdrawn[0], (1, 1))
    script = str(ROOT / "index_images.py")
    command = as_user(sys.executable, script, "-i", str(index), *flags)
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "removed 0, kept 60" in result.stdout
    for path in withdrawn:
        path.chmod(0o600)
    assert len(load_index(index)) == 60


def test_pictures_in_folders_that_cannot_be_entered_keep_their_codes(index, folder):
    (folder / "1").chmod(0o600)
    command = as_user(sys.executable, str(ROOT / "index_images.py"), "-i", str(index))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    (folder / "1").chmod(0o700)
    assert "removed 0, kept 60" in result.stdout, result.stderr


def test_a_picture_that_can_no_longer_be_decoded_keeps_its_code(index, folder, monkeypatch, capsys):
    from pyimagesearch.datasets import folder as folders

    def fail(spec, file, truncated):
        raise ValueError("HEIF pictures need pillow-heif")

    os.utime(folder / "0" / "000.png", (1, 1))
    index_before = load_index(index)
    monkeypatch.setattr(folders, "decode_for", fail)
    assert run(index_images, "-i", index, "--checksum") == 0
    assert capsys.readouterr().out == "added 0, changed 0, removed 0, kept 60\n"
    np.testing.assert_array_equal(load_index(index).codes, index_before.codes)


def test_a_picture_replaced_while_it_is_encoded_is_encoded_again(index, folder, monkeypatch):
    path, other = folder / "0" / "000.png", folder / "1" / "001.png"
    cv2.imwrite(str(path), np.zeros((28, 28), np.uint8))
    encode = Encoder.encode

    def replace(self, images):
        shutil.copy(other, path)
        return encode(self, images)

    monkeypatch.setattr(Encoder, "encode", replace)
    assert run(index_images, "-i", index) == 0
    monkeypatch.undo()
    assert run(index_images, "-i", index) == 0
    found = load_index(index)
    rows = [list(found.ids).index(f"{path.parent.name}/{path.name}") for path in (path, other)]
    np.testing.assert_array_equal(*found.file_stats["digest"][rows])
    np.testing.assert_allclose(*found.codes[rows], atol=1e-5)


# --- engines


def test_an_engine_that_no_longer_suits_a_smaller_folder_is_dropped(tmp_path, capsys):
    folder = make_folder(tmp_path / "photos", range(80))
    index = tmp_path / "photos.h5"
    flags = ["-m", MODEL, "-i", index, "--dataset", folder, "--engine", "IVF64,Flat"]
    assert run(index_images, *flags) == 0
    for path in sorted(folder.glob("*/*"))[:60]:
        path.unlink()
    capsys.readouterr()
    assert run(index_images, "-i", index, "--prune") == 0
    assert "[WARNING] the index is now searched exactly: " in capsys.readouterr().err
    assert not index.with_name("photos.h5.engine").exists()
    picture = next(folder.glob("*/*.png"))
    assert run(search, "-i", index, "-q", picture, "--json") == 0


def test_an_engine_that_was_asked_for_in_vain_leaves_an_index_that_can_be_searched(
    folder, tmp_path, capsys
):
    index = tmp_path / "photos.h5"
    flags = ["-m", MODEL, "-i", index, "--dataset", folder, "--engine", "HNSW8"]
    assert run(index_images, *flags) == 0
    capsys.readouterr()
    assert "IVF4096,Flat" in error_of(capsys, index_images, "-i", index, "--engine", "IVF4096,Flat")
    assert index.with_name("photos.h5.engine").exists()  # it still belongs to the index
    cv2.imwrite(str(folder / "new.png"), np.zeros((28, 28), np.uint8))
    assert run(index_images, "-i", index, "--engine", "IVF4096,Flat") == 1
    assert run(search, "-i", index, "-q", folder / "new.png", "-k", 1, "--json") == 0
    assert '"new.png", "distance": 0' in capsys.readouterr().out


def test_a_damaged_engine_does_not_prevent_an_update(folder, tmp_path, capsys):
    index = tmp_path / "photos.h5"
    flags = ["-m", MODEL, "-i", index, "--dataset", folder, "--engine", "HNSW8"]
    assert run(index_images, *flags) == 0
    engine = index.with_name("photos.h5.engine")
    engine.write_bytes(engine.read_bytes()[:500])
    capsys.readouterr()
    assert run(index_images, "-i", index) == 0
    assert "photos.h5.engine is damaged: name the engine" in capsys.readouterr().err
    assert run(search, "-i", index, "-s", 1, "--json") == 0


def test_codes_of_nan_are_never_indexed(folder, index, tmp_path, monkeypatch, capsys):
    encode = Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, images: encode(self, images) * np.nan)
    before = open_store(index).open().load()
    cv2.imwrite(str(folder / "new.png"), np.zeros((28, 28), np.uint8))
    assert run(index_images, "-i", index) == 0
    output = capsys.readouterr()
    assert re.search(r"new\.png: the model .* gives a code with NaN or infinity for it", output.err)
    assert "rejected 1" in output.out
    after = open_store(index).open().load()
    assert list(after.ids) == list(before.ids)
    np.testing.assert_array_equal(after.codes, before.codes)
    assert run(index_images, "-m", MODEL, "-i", tmp_path / "digits.h5", "--limit", 9) == 1
    assert not (tmp_path / "digits.h5").exists()


# --- training


def test_an_interruption_before_the_first_epoch_leaves_the_model(tmp_path, monkeypatch, capsys):
    from pyimagesearch.training import trainer

    def interrupt(*arguments, **options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(trainer, "_train_phase", interrupt)
    model = shutil.copy(KERAS_MODEL, tmp_path / "good.h5")
    before = model.read_bytes()
    flags = ["--dataset", "mnist", "--limit", 64, "--epochs", 2, "--overwrite"]
    flags += ["-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    assert run(train_autoencoder, "-m", model, *flags) == 130
    assert f"nothing was written to {model}" in capsys.readouterr().err
    assert model.read_bytes() == before
    assert model.with_name("good.h5.checkpoint.npz").exists()  # so --resume, as advised, works


def test_a_checkpoint_is_not_overwritten_by_a_new_training(tmp_path, capsys):
    checkpoint = tmp_path / "model.keras.checkpoint.npz"
    checkpoint.write_bytes(b"hours of work")
    message = error_of(capsys, train_autoencoder, "-m", tmp_path / "model.keras", "--limit", 20)
    assert "continue it with --resume, or delete the file to start again" in message
    assert checkpoint.read_bytes() == b"hours of work"


@pytest.mark.parametrize("flags", [["-m", "other"], ["--rebuild"], ["-m", "other", "--rebuild"]])
@pytest.mark.parametrize("name", ["digits.pickle", "digits.h5"])
def test_metric_and_engine_stay_until_a_flag_changes_them(name, flags, tmp_path):
    path = tmp_path / name
    settings = ["--limit", 500, "--metric", "cosine", "--engine", "HNSW8"]
    assert run(index_images, "-m", MODEL, "-i", path, *settings) == 0
    flags = [KERAS_MODEL if flag == "other" else flag for flag in flags]
    for _ in range(2):
        assert run(index_images, "-i", path, "--limit", 500, *flags) == 0
        index = load_index(path)
        assert (index.metric, index.engine.name) == ("cosine", "HNSW8")
    assert run(index_images, "-i", path, "--limit", 500, "--metric", "euclidean", *flags) == 0
    assert load_index(path).metric == "euclidean"


def test_an_engine_follows_a_change_of_metric_that_was_killed_between_the_two(
    folder, tmp_path, monkeypatch
):
    index = tmp_path / "photos.h5"
    flags = ["-m", MODEL, "-i", index, "--dataset", folder, "--engine", "HNSW8"]
    assert run(index_images, *flags) == 0

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pyimagesearch.indexes.engine_update.save_engine", killed)
        assert run(index_images, "-i", index, "--metric", "cosine") == 130
    assert load_index(index).engine.name == "exact"
    assert run(index_images, "-i", index) == 0
    engine = load_index(index).engine
    assert (engine.name, engine.metric.name) == ("HNSW8", "cosine")


@pytest.mark.parametrize("name", ["photos.pickle", "photos.h5"])
def test_one_code_of_nan_costs_only_its_picture(name, folder, tmp_path, monkeypatch, capsys):
    encode = Encoder.encode

    def encode_all_but_white(self, images):
        codes = encode(self, images)
        codes[images.min(axis=(1, 2, 3)) == 1, 3] = np.nan
        return codes

    cv2.imwrite(str(folder / "white.png"), np.full((28, 28), 255, np.uint8))
    monkeypatch.setattr(Encoder, "encode", encode_all_but_white)
    path = tmp_path / name
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder) == 0
    output = capsys.readouterr()
    assert "white.png: the model" in output.err
    assert "rejected 1" in output.out
    index = load_index(path)
    assert len(index) == len(list(folder.glob("*/*"))) > 2
    assert np.isfinite(index.codes).all()


@pytest.mark.parametrize("name", ["photos.pickle", "photos.h5"])
def test_an_update_with_nothing_changed_writes_nothing(name, tmp_path):
    make_folder(tmp_path / "pictures", range(12))
    path = tmp_path / name
    flags = ["-i", path, "--dataset", tmp_path / "pictures"]
    assert run(index_images, "-m", MODEL, *flags, "--engine", "HNSW4") == 0
    files = [path, tmp_path / f"{name}.engine"]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    assert run(index_images, *flags) == 0
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before
    assert run(index_images, *flags, "--recall", 0.5) == 0  # of the engine that it has
    assert files[0].stat().st_ino == before[0][0]
    assert files[1].stat().st_ino != before[1][0]


def test_a_copy_beside_the_folder_is_not_taken_for_the_folder_that_moved(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    make_folder(pictures, range(30))
    path = tmp_path / "photos.h5"
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", pictures) == 0
    copy = shutil.copytree(pictures, tmp_path / "copy")
    for removed in sorted(copy.glob("*/*.png"))[:10]:
        removed.unlink()
    capsys.readouterr()
    error = error_of(capsys, index_images, "-i", path, "--dataset", copy)
    assert "make another index" in error
    pictures.rename(tmp_path / "gone")
    assert run(index_images, "-i", path, "--dataset", tmp_path / "gone") == 0
    assert "kept 30" in capsys.readouterr().out


def test_a_model_that_was_not_trained_on_digits_does_not_index_them(tmp_path, capsys):
    photo_model = ROOT / "tests" / "data" / "before" / "model.h5"  # of 16 x 16 pixels in colour
    arguments = ["-m", photo_model, "-i", tmp_path / "new.h5"]
    error = error_of(capsys, index_images, *arguments)
    assert "name the images to index with --dataset" in error
    assert not (tmp_path / "new.h5").exists()
