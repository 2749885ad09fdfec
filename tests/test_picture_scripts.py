"""What cameras and disk stations put into folders, through the three scripts."""

import json
import shutil

import cv2
import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.index_file import load_index
from tests.scripts import MODEL, error_of, run


@pytest.fixture
def cameras(tmp_path):
    """Two folders of 20 digits, with the same file names and a sub-folder for each digit."""
    digits = open_dataset("mnist", "test")
    for row in range(40):
        path = tmp_path / f"cam{row // 20}" / str(digits.labels[row]) / f"{row % 20}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), digits.picture(row))
    return tmp_path / "cam0", tmp_path / "cam1"


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", ["index.h5", "index.pickle"])
def test_two_folders_are_one_index_with_ids_that_are_distinct(name, cameras, tmp_path, capsys):
    index = tmp_path / name
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", *cameras) == 0
    assert "added 40, " in capsys.readouterr().out
    stored = load_index(index)
    assert len({*stored.ids}) == 40
    assert [id.partition("/")[0] for id in stored.ids] == ["cam0"] * 20 + ["cam1"] * 20
    assert set(stored.label_names) <= set("0123456789")
    # A later run without flags finds both folders, and a search finds the pictures of both.
    (cameras[1] / "7" / "new.png").write_bytes(next(cameras[0].glob("7/*")).read_bytes())
    assert run(index_images, "-i", index) == 0
    assert "added 1, changed 0, removed 0, kept 40" in capsys.readouterr().out
    assert run(search, "-i", index, "--query-id", "cam1/7/new.png", "--json", "-k", 1) == 0
    [query] = lines(capsys)
    assert query["results"][0]["id"].startswith("cam0/7/")
    assert query["results"][0]["distance"] == 0
    # A folder that is named no more is not dropped in silence.
    error_of(capsys, index_images, "-i", index, "--dataset", cameras[0])
    assert len(load_index(index)) == 41


def test_how_a_folder_is_read_is_recorded_and_used_again(cameras, tmp_path, capsys):
    index, [folder, _] = tmp_path / "index.h5", cameras
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "@eaDir").mkdir()
    shutil.copy(next(folder.glob("7/*")), folder / "@eaDir" / "thumb.png")
    (folder / "_DSC.CR2").write_bytes(b"II*\0\x10\0\0\0CR" + bytes(100))
    flags = ["--exclude", "*.cr2", "--truncated"]
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", folder, *flags) == 0
    assert capsys.readouterr().out == "added 21, changed 0, removed 0, kept 0\n"
    for arguments in ([], ["-m", MODEL, "--dataset", folder]):
        assert run(index_images, "-i", index, *arguments) == 0
        assert capsys.readouterr().out == "added 0, changed 0, removed 0, kept 21\n"
    assert run(search, "-i", index, "--query-id", "cut.jpg", "--json") == 0
    assert lines(capsys)[0]["query"] == "cut.jpg"
    assert run(index_images, "-i", index, "--exclude") == 0  # no pattern: nothing is left out
    assert capsys.readouterr().out == "added 0, changed 0, removed 0, kept 21, rejected 1\n"


@pytest.mark.usefixtures("eager")
def test_training_reads_several_folders_in_the_same_way(cameras, tmp_path, capsys):
    (cameras[0] / "_DSC.CR2").write_bytes(b"II*\0\x10\0\0\0CR" + bytes(100))
    outputs = ["-v", tmp_path / "v.png", "-p", tmp_path / "p.png", "--encoder", tmp_path / "e.onnx"]
    arguments = ["-m", tmp_path / "m.keras", "--dataset", *cameras, "--epochs", 1, *outputs]
    arguments += ["--architecture", "conv"]
    assert run(train_autoencoder, *arguments, "--exclude", "*.CR2", "--image-size", 16, 16) == 0
    assert "CR2" not in capsys.readouterr().err


def test_an_index_of_a_rewritten_npz_file_is_refused_until_it_is_updated(tmp_path, capsys):
    digits = open_dataset("mnist", "test", 30)
    arrays, index = tmp_path / "digits.npz", tmp_path / "index.pickle"
    np.savez(arrays, x_train=digits.images, y_train=digits.labels)
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", arrays) == 0
    np.savez(arrays, x_train=digits.images[::-1], y_train=digits.labels[::-1])
    message = error_of(capsys, search, "-i", index, "--query-id", "0", "--json")
    assert "digits.npz have changed since they were indexed: index them again" in message
    assert run(index_images, "-i", index) == 0
    assert capsys.readouterr().out == "added 0, changed 30, removed 0, kept 0\n"
    assert run(search, "-i", index, "--query-id", "29", "--json", "-k", 1) == 0
    assert lines(capsys)[0]["label"] == int(digits.labels[0])


def test_an_array_of_which_some_have_labels_keeps_these(tmp_path, capsys):
    digits = open_dataset("mnist", "test", 30)
    arrays, index = tmp_path / "digits.npz", tmp_path / "index.pickle"
    labels = np.where(np.arange(30) < 3, -1, digits.labels)
    np.savez(arrays, x_train=digits.images, y_train=labels)
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", arrays) == 0
    capsys.readouterr()
    # There are no test images to draw from.
    assert run(search, "-i", index, "--sample", 30, "--seed", 0, "--json", "-k", 1) == 0
    known = {record["query"]: record["label"] for record in lines(capsys)}
    expected = {str(row): int(label) for row, label in enumerate(labels)}
    assert known == {id: label if label >= 0 else None for id, label in expected.items()}
    assert run(search, "-i", index, "--evaluate", "--json") == 0
    [scores] = lines(capsys)
    counts = np.bincount(labels[labels >= 0])
    assert scores["code, 16-d"]["queries"] == counts[counts > 1].sum() < 27
