"""The three scripts on a folder of pictures, as a user runs them."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.replacing import REJECTS_MARK
from tests.scripts import KERAS_MODEL, MODEL, ROOT, error_of, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty real digits in a sub-folder for each digit, and two files that are no pictures."""
    root = tmp_path_factory.mktemp("pictures")
    digits = open_dataset("mnist", "test")
    for row in range(60):
        path = root / f"digit {digits.labels[row]}" / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(digits.picture(row), (56, 56)))
    (root / "empty.jpg").touch()
    (root / "text.png").write_text("hello")
    return root


@pytest.fixture(scope="module")
def index(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.h5"
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder) == 0
    return path


def found(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("eager")
def test_train_index_and_search_a_folder(folder, tmp_path, capsys):
    model, path = tmp_path / "model.keras", tmp_path / "index.h5"
    arguments = ["-m", model, "-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    arguments += ["--dataset", folder, "--epochs", 1, "--augment", "flip", "affine"]
    arguments += ["--image-size", 30, 33, "--fit", "crop"]
    arguments += ["--architecture", "conv", "--latent-dim", 512]
    assert run(train_autoencoder, *arguments) == 0
    errors = capsys.readouterr().err
    assert "image size rounded up to 32 36, multiples of 4" in errors
    assert errors.count("empty.jpg") == errors.count("text.png") == 1
    assert run(index_images, "-m", model, "-i", path, "--dataset", folder) == 0
    encoder = load_index(path).encoder
    assert (encoder.spec.shape, encoder.spec.resize_mode, encoder.dim) == ((32, 36, 3), "crop", 512)
    assert run(search, "-i", path, "-s", 1, "--output", tmp_path) == 0


@pytest.mark.slow
def test_training_memory_does_not_grow_with_epochs(folder, tmp_path, python):
    import subprocess

    code = (
        "import resource, sys, train_autoencoder\n"
        "from pyimagesearch.training import callbacks as training\n"
        "peaks = []\n"
        "class Peaks(training.EpochLines):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "training.EpochLines = Peaks\n"
        "assert train_autoencoder.main(sys.argv[1:]) == 0\n"
        "print(peaks[9], peaks[-1])\n"
    )
    arguments = ["-m", tmp_path / "m.keras", "-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    arguments += ["--dataset", folder, "--epochs", 40, "--image-size", 16, 16, "--filters", 4]
    arguments += ["--architecture", "conv"]
    result = subprocess.run(
        python("-c", code, *arguments), cwd=ROOT, check=True, capture_output=True, text=True
    )
    early, late = map(int, result.stdout.split())
    assert late < 1.05 * early


def test_a_folder_is_indexed_past_bad_files_which_are_listed(folder, tmp_path, capsys):
    arguments = ["-m", MODEL, "-i", tmp_path / "i.h5", "--dataset", folder]
    assert run(index_images, *arguments, "--rejects", tmp_path / "rejects.txt") == 0
    assert capsys.readouterr().out == "added 60, changed 0, removed 0, kept 0, rejected 2\n"
    assert (tmp_path / "rejects.txt").read_text() == (
        f"{REJECTS_MARK}\n"
        "empty.jpg\tempty: 0 bytes\n"
        "text.png\tnot a picture: its content is of no known format (jpg, png, webp, ...)\n"
    )


def test_the_list_of_unreadable_files_stays_where_a_run_fails_at_once(index, tmp_path, capsys):
    rejects = tmp_path / "rejects.txt"
    assert run(index_images, "-i", index, "--rejects", rejects) == 0
    before = rejects.read_bytes()
    assert b"text.png" in before
    capsys.readouterr()
    error_of(capsys, index_images, "-i", index, "--rejects", rejects, "--shard", "1/1000")
    assert rejects.read_bytes() == before


def test_another_model_is_refused_until_rebuild(folder, index, tmp_path, capsys):
    other, path = tmp_path / "other.h5", tmp_path / "index.h5"
    shutil.copy(KERAS_MODEL, other)
    path.write_bytes(index.read_bytes())
    arguments = ["-m", other, "-i", path, "--dataset", folder]
    assert run(index_images, *arguments) == 1
    assert "encode everything again with --rebuild" in capsys.readouterr().err
    assert path.read_bytes() == index.read_bytes()
    before = ROOT / "tests" / "data" / "before" / "encoder.onnx"
    namesake = shutil.copy(before, tmp_path / MODEL.name)
    message = error_of(capsys, index_images, "-m", namesake, "-i", path)
    assert message.startswith("the index was made with another model of this name, autoencoder")
    assert run(index_images, *arguments, "--rebuild") == 0


def test_the_index_of_one_folder_is_not_lost_to_another(folder, index, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "a.png"), np.zeros((9, 9), np.uint8))
    before = index.read_bytes()
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", tmp_path / "other") == 1
    error = capsys.readouterr().err
    assert f"is the index of {folder}, not of {tmp_path / 'other'}: make another index" in error
    assert index.read_bytes() == before


def test_a_folder_without_pictures_is_one_line(tmp_path, capsys):
    assert run(index_images, "-m", MODEL, "-i", tmp_path / "i.h5", "--dataset", tmp_path) == 1
    assert "no pictures in" in capsys.readouterr().err


def test_a_query_file_outside_the_index_finds_its_copy(folder, index, tmp_path, capsys):
    copy = tmp_path / "copy.png"
    copy.write_bytes(next(folder.glob("*/7.png")).read_bytes())
    assert run(search, "-i", index, "-q", copy, "-k", 3, "--json") == 0
    [line] = found(capsys)
    assert line["query"] == str(copy)
    assert line["results"][0]["id"].endswith("/7.png")
    assert line["results"][0]["distance"] == 0
    assert line["results"][0]["label"].startswith("digit ")


def test_a_folder_of_queries_goes_past_bad_files(folder, index, capsys):
    assert run(search, "-i", index, "-q", folder, "-k", 1, "--json") == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 60
    assert output.err.count("[WARNING]") == 2


def test_an_indexed_picture_is_left_out_of_its_own_results(index, capsys):
    [first, *_] = load_index(index).ids
    assert run(search, "-i", index, "--query-id", first, "-k", 99, "--json") == 0
    [line] = found(capsys)
    assert line["query"] == first
    assert line["label"] == os.path.dirname(first)
    assert len(line["results"]) == 59
    assert first not in [result["id"] for result in line["results"]]


def test_an_unknown_id_is_one_line(index, capsys):
    assert run(search, "-i", index, "--query-id", "none.png") == 1
    assert "the index has no picture none.png" in capsys.readouterr().err


def test_an_id_without_its_folder_or_with_more_folders_is_answered_with_the_id(index, capsys):
    [first, *_] = load_index(index).ids
    for typed in (os.path.basename(first), f"my/photos/{first}"):
        assert run(search, "-i", index, "--query-id", typed) == 1
        assert capsys.readouterr().err.rstrip().endswith(f"; did you mean {first}?")


def test_a_file_that_is_no_id_is_for_another_flag(index, capsys):
    assert run(search, "-i", index, "--query-id", MODEL) == 1
    assert capsys.readouterr().err.rstrip().endswith("; a file is searched for by --query")


def test_max_distance_cuts_and_alone_returns_everything_within(index, capsys):
    [first, *_] = load_index(index).ids
    arguments = ["-i", index, "--query-id", first, "--json"]
    assert run(search, *arguments, "-k", 99) == 0
    distances = [result["distance"] for result in found(capsys)[0]["results"]]
    limit = distances[30]
    for extra, count in ([], 31), (["-k", 5], 5), (["-k", 99], 31):
        assert run(search, *arguments, "--max-distance", limit, *extra) == 0
        assert len(found(capsys)[0]["results"]) == count


def test_no_match_is_a_result_and_not_an_error(index, tmp_path, capsys):
    [first, *_] = load_index(index).ids
    arguments = ["-i", index, "--query-id", first, "--max-distance", 0.001]
    assert run(search, *arguments, "--output", tmp_path) == 0
    assert capsys.readouterr().out == f"query {first}: no match within 0.001\n"
    assert (tmp_path / "results_0.png").is_file()
    assert run(search, *arguments, "--json") == 0
    assert found(capsys)[0]["results"] == []
    assert run(search, *arguments, "--paths") == 0
    assert capsys.readouterr().out == ""


def test_paths_can_be_piped(index, folder, capfd):
    [first, *_] = load_index(index).ids
    assert run(search, "-i", index, "--query-id", first, "-k", 4, "--paths") == 0
    paths = capfd.readouterr().out.splitlines()
    assert len(paths) == 4
    assert all(Path(path).is_file() and Path(path).is_relative_to(folder) for path in paths)


def test_paths_of_an_array_are_refused(small_index, capsys):
    assert run(search, "-i", small_index, "--paths") == 1
    assert "--paths needs the index of a folder" in capsys.readouterr().err


def test_a_strip_is_the_query_and_its_results_in_one_row(index, tmp_path):
    [first, *_] = load_index(index).ids
    arguments = ["-i", index, "--query-id", first, "-k", 3, "--strip", "--tile", 100]
    assert run(search, *arguments, "--output", tmp_path) == 0
    sheet = cv2.imread(str(tmp_path / "results_0.png"))
    assert sheet.shape == (136, 4 * 100 + 3 * 2, 3)  # four tiles, three gaps
    assert sheet[0, 0].tolist() == [255, 255, 255]


def test_a_sheet_that_memory_would_not_hold_is_refused(index, tmp_path, capsys):
    flags = ["-k", 3, "--seed", 1, "--sample", 1, "--tile", 6000, "--output", tmp_path]
    message = "--tile 6000: a sheet of 3 results would have 108 megapixels, expected at most 100"
    assert message in error_of(capsys, search, "-i", index, *flags)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_gone_is_crossed_out_not_fatal(folder, index, tmp_path, capsys):
    arguments = ["-i", index, "--dataset", tmp_path, "-q", next(folder.glob("*/7.png")), "-k", 3]
    assert run(search, *arguments, "--output", tmp_path / "out") == 0
    assert capsys.readouterr().err.count("No such file") == 3
    assert cv2.imread(str(tmp_path / "out" / "results_0.png")).any()


def test_a_folder_that_moved_is_named_with_dataset(folder, index, tmp_path, capsys):
    (tmp_path / "moved").symlink_to(folder)
    arguments = ["-i", index, "--dataset", tmp_path / "moved", "-s", 2, "--seed", 1]
    assert run(search, *arguments, "--output", tmp_path) == 0
    assert "WARNING" not in capsys.readouterr().err


def test_evaluation_leaves_every_picture_out_of_its_own_results(index, capsys):
    assert run(search, "-i", index, "--evaluate", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert all(score["P@1"] < 1 for score in scores.values())


def test_duplicates_are_listed_and_drawn(folder, index, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    shutil.copytree(folder, pictures)
    copies = [sorted(pictures.glob("*/*.png"))[i] for i in (0, 20)]
    for path in copies:
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    path = tmp_path / "index.h5"
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", pictures) == 0
    capsys.readouterr()
    arguments = ["-i", path, "--duplicates", "--max-distance", 0]
    assert run(search, *arguments, "--output", tmp_path, "--json") == 0
    groups = found(capsys)
    assert [[Path(m["id"]).name for m in group["members"]] for group in groups] == [
        [p.name, f"copy of {p.name}"] for p in copies
    ]
    assert [m["status"] for group in groups for m in group["members"]] == ["keep", "remove"] * 2
    assert {m["width"] for group in groups for m in group["members"]} == {56}
    assert run(search, *arguments, "--paths", "--null") == 0
    paths = capsys.readouterr().out.split("\0")
    assert paths == [*(str(p.with_name(f"copy of {p.name}")) for p in copies), ""]
    assert run(search, *arguments, "--output", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "group 0: 2 pictures, 1 to remove"
    assert lines[1].startswith(f"  keep       {copies[0].relative_to(pictures)}  56 x 56, ")
    assert (tmp_path / "duplicates.png").is_file()
    assert len(list(pictures.glob("*/*.png"))) == 62  # it reports, never deletes


def test_without_duplicates_nothing_is_listed(index, capsys):
    assert run(search, "-i", index, "--duplicates", "--max-distance", 0, "--json") == 0
    assert capsys.readouterr().out == ""


def test_queries_for_an_index_without_labels_are_not_passed_over(folder, tmp_path, capsys):
    (tmp_path / "flat").mkdir()
    for path in sorted(folder.glob("*/*.png"))[:3]:
        shutil.copy(path, tmp_path / "flat")
    index = tmp_path / "i.h5"
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", tmp_path / "flat") == 0
    capsys.readouterr()
    message = error_of(capsys, search, "-i", index, "--evaluate", "--queries", folder)
    assert message == "--queries are compared by their labels, and the index has none"
