"""The three scripts as a user runs them, on real MNIST."""

import json
import os
import pickle
import shutil
import signal
import subprocess

import cv2
import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.indexes.index_file import load_index
from tests.scripts import KERAS_MODEL, MODEL, ROOT, digit_file, error_of, run

# --- train_autoencoder.py


def test_training_writes_the_model_the_plot_and_the_reconstructions(tmp_path, capsys):
    paths = {name: tmp_path / name for name in ("model.h5", "recon_vis.png", "plot.png")}
    arguments = ["--model", paths["model.h5"], "--vis", paths["recon_vis.png"]]
    arguments += ["--plot", paths["plot.png"], "--limit", 128, "--epochs", 2]
    assert run(train_autoencoder, *arguments) == 0
    assert all(path.is_file() for path in paths.values())
    assert cv2.imread(str(paths["recon_vis.png"])).shape == (2 * (28 + 112), 1138, 3)
    assert cv2.imread(str(paths["plot.png"])).shape[0] > 400
    output = capsys.readouterr()
    assert output.out == ""
    assert "validation MSE" in output.err

    index = tmp_path / "index.pickle"
    assert run(index_images, "-m", paths["model.h5"], "-i", index, "--limit", 100) == 0
    assert run(search, "-i", index, "-s", 1, "--json") == 0


@pytest.mark.usefixtures("eager")
def test_reconstructions_that_show_nothing_are_no_collapse_of_the_codes(tmp_path, capsys):
    # One step at a tiny rate leaves the network giving grey, which is worse than the mean image.
    arguments = ["-m", tmp_path / "m.keras", "-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    arguments += ["--limit", 32, "--epochs", 1, "--learning-rate", 1e-9]
    assert run(train_autoencoder, *arguments) == 0
    messages = capsys.readouterr().err
    assert "BLANK" in messages
    assert "COLLAPSED" not in messages


def test_ctrl_c_keeps_the_best_model_so_far_and_keras_does_not_warn_of_its_format(tmp_path, python):
    model = tmp_path / "model.h5"  # a legacy file, of which Keras warns
    command = python("train_autoencoder.py", "--model", model, "--limit", 256, "--epochs", 10000)
    command += ["--filters", "4", "--latent-dim", "4"]
    command += ["--vis", str(tmp_path / "v.png"), "--plot", str(tmp_path / "p.png")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as training:
        for line in training.stderr:
            if "epoch 2 of" in line:
                break
        training.send_signal(signal.SIGINT)
        rest = training.stderr.read()
        assert training.stdout.read() == ""
    assert training.returncode == 0, rest
    assert "interrupted after" in rest
    assert "keeping the best of them" in rest
    assert "legacy" not in rest
    assert model.is_file()
    assert (tmp_path / "p.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nothing"], "unknown dataset nothing: expected mnist"),
        (["--dataset", "none.npz"], "no such dataset file"),
        (["--limit", "40", "--filters", "4", "4", "4"], "3 filters need sides divisible by 8"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path, capsys, arguments, message):
    base = ["-m", tmp_path / "m.h5", "-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    assert message in error_of(capsys, train_autoencoder, *base, *arguments)
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "model.txt"],
        ["-m", "m.h5", "--vis", "sheet.txt"],
        ["-m", "m.h5", "--epochs", "0"],
        ["-m", "m.h5", "--learning-rate", "nan"],
    ],
)
def test_a_wrong_flag_is_refused_by_argparse(capsys, arguments):
    with pytest.raises(SystemExit) as exit_status:
        run(train_autoencoder, *arguments)
    assert exit_status.value.code == 2
    assert "received" in capsys.readouterr().err


# --- index_images.py


def test_an_index_holds_all_digits_their_labels_and_their_encoder(mnist_index):
    index = load_index(mnist_index)
    assert index.codes.shape == (60000, 16)
    assert index.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert index.source == {"name": "mnist", "split": "train", "limit": None}
    rows = [0, 30000, 59999]
    images = open_dataset("mnist", "train").read(rows, index.encoder.spec)
    np.testing.assert_allclose(index.encoder.encode(images), index.codes[rows], atol=1e-4)


def test_the_same_command_gives_the_same_bytes(small_index, tmp_path):
    again = tmp_path / "again.pickle"
    assert run(index_images, "-m", MODEL, "-i", again, "--limit", 2000) == 0
    first, second = load_index(small_index), load_index(again)
    np.testing.assert_array_equal(first.codes, second.codes)
    assert first.encoder.model_sha256 == second.encoder.model_sha256


def test_what_cannot_be_indexed_is_one_line(tmp_path, capsys):
    index = tmp_path / "i.pickle"
    assert "no such model file" in error_of(capsys, index_images, "-m", "none.h5", "-i", index)
    (tmp_path / "text.h5").write_text("hello")
    assert "cannot load" in error_of(capsys, index_images, "-m", tmp_path / "text.h5", "-i", index)
    assert not index.exists()


# --- search.py


def test_json_has_a_query_a_line_and_nothing_else(small_index, capsys):
    assert run(search, "-i", small_index, "-s", 3, "--seed", 1, "-k", 5, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert list(line) == ["query", "label", "results"]
        distances = [result["distance"] for result in line["results"]]
        assert distances == sorted(distances)
        assert [list(result) for result in line["results"]] == [["id", "distance", "label"]] * 5
    labels = open_dataset("mnist", "test").labels
    assert [line["label"] for line in lines] == [labels[int(line["query"])] for line in lines]


def test_the_same_seed_draws_the_same_queries(small_index, capsys):
    outputs = []
    for seed in (1, 1, 2):
        assert run(search, "-i", small_index, "-s", 2, "--seed", seed, "--json") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_most_results_have_the_label_of_the_query(mnist_index, capsys):
    assert run(search, "-i", mnist_index, "-s", 50, "--seed", 0, "-k", 10, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    hits = [result["label"] == line["label"] for line in lines for result in line["results"]]
    assert np.mean(hits) > 0.88  # .945 over all test digits


def test_a_query_file_finds_itself_in_an_index_of_its_split(tmp_path, capsys):
    index = tmp_path / "test.pickle"
    arguments = ["-m", MODEL, "-i", index, "--split", "test", "--limit", 50]
    assert run(index_images, *arguments) == 0
    capsys.readouterr()
    path = digit_file(tmp_path, row=7)
    assert run(search, "-i", index, "-q", path, "-k", 1, "--json") == 0
    [line] = capsys.readouterr().out.splitlines()
    [result] = json.loads(line)["results"]
    assert result["id"] == "7"
    assert result["distance"] < 1e-3


def test_a_sampled_picture_is_left_out_of_its_own_results(tmp_path, capsys):
    index = tmp_path / "test.pickle"
    assert run(index_images, "-m", MODEL, "-i", index, "--split", "test", "--limit", 50) == 0
    capsys.readouterr()
    assert run(search, "-i", index, "-s", 50, "-k", 99, "--json") == 0
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        ids = [result["id"] for result in line["results"]]
        assert line["query"] not in ids
        assert len(ids) == (49 if int(line["query"]) < 50 else 50)


def test_invert_makes_a_dark_on_light_digit_its_light_on_dark_self(small_index, tmp_path, capsys):
    path, inverted = digit_file(tmp_path), tmp_path / "inverted.png"
    cv2.imwrite(str(inverted), 255 - cv2.imread(str(path)))
    results = []
    for arguments in ([path], [inverted, "--invert"], [inverted]):
        assert run(search, "-i", small_index, "--json", "-q", *arguments) == 0
        results.append(json.loads(capsys.readouterr().out)["results"])
    assert results[0] == results[1] != results[2]


def test_metrics_rank_by_their_own_distance(small_index, capsys):
    results = {}
    for metric in ("euclidean", "cosine"):
        arguments = ["-i", small_index, "-s", 1, "--seed", 0, "--metric", metric, "--json"]
        assert run(search, *arguments) == 0
        results[metric] = json.loads(capsys.readouterr().out)["results"]
    assert results["euclidean"] != results["cosine"]
    assert all(0 <= result["distance"] <= 2 for result in results["cosine"])


def test_without_a_display_pictures_are_written_and_lines_printed(small_index, tmp_path, capsys):
    output = tmp_path / "pictures"
    assert run(search, "-i", small_index, "-s", 2, "--output", output) == 0
    names = ["query_0.png", "query_1.png", "results_0.png", "results_1.png"]
    assert sorted(os.listdir(output)) == names
    height, width, _ = cv2.imread(str(output / "results_0.png")).shape
    assert width == 15 * 56 + 14 * 2
    assert height > width
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 12
    assert "precision@225" in lines[0]
    assert [line.split()[0] for line in lines[1:12]] == [*map(str, range(1, 11)), "..."]
    assert lines[11] == "  ... and 215 more"


def test_results_are_listed_with_rank_distance_name_and_label(small_index, capsys, tmp_path):
    flags = ["-i", small_index, "--query-id", 7, "-k", 12]
    assert run(search, *flags, "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert run(search, *flags, "--output", tmp_path) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("query 7 (3): 12 results, distance ")
    columns = [line.split() for line in lines]
    assert [int(rank) for rank, *_ in columns] == list(range(1, 13))
    found = [(name, int(label)) for _, _, name, label in columns]
    assert found == [(result["id"], result["label"]) for result in results]
    distances = [float(distance) for _, distance, *_ in columns]
    assert distances == pytest.approx([result["distance"] for result in results], abs=6e-4)
    assert len({len(name) for _, _, name, _ in columns}) > 1
    assert len(set(map(len, lines))) == 1  # labels stand below each other


def test_a_distance_in_words_is_measured_in_the_index(small_index, capsys):
    counts = {}
    for word in ("near-duplicate", "similar"):
        assert run(search, "-i", small_index, "-s", 40, "--max-distance", word, "--json") == 0
        output = capsys.readouterr()
        assert f"{word} means within euclidean distance " in output.err
        counts[word] = [len(json.loads(line)["results"]) for line in output.out.splitlines()]
    assert max(counts["near-duplicate"]) <= 2
    assert 2 <= np.median(counts["similar"]) <= 40


def test_without_a_display_the_default_folder_is_output(small_index, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(search, "-i", small_index, "-s", 1) == 0
    assert (tmp_path / "output" / "results_0.png").is_file()
    assert "no display" in capsys.readouterr().err


def test_search_needs_neither_tensorflow_nor_matplotlib(mnist_index, tmp_path, python):
    arguments = ["-i", str(mnist_index), "-s", "1", "--output", str(tmp_path)]
    code = (
        "import sys, search\n"
        f"assert search.main({arguments}) == 0\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'onnx', 'tf2onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run(python("-c", code), cwd=ROOT, check=True, capture_output=True)


def test_only_the_sampled_queries_are_encoded(small_index, monkeypatch):
    from pyimagesearch.encoders.encoder import Encoder

    encoded = []
    encode = Encoder.encode
    monkeypatch.setattr(
        Encoder, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images)
    )
    assert run(search, "-i", small_index, "-s", 3, "--json") == 0
    assert encoded == [3]


def test_the_tutorials_index_needs_a_model_and_works_with_it(mnist_index, tmp_path, capsys):
    data = pickle.loads(mnist_index.read_bytes())
    plain = tmp_path / "plain.pickle"
    plain.write_bytes(pickle.dumps({key: data[key] for key in ("indexes", "features")}))
    assert "--model" in error_of(capsys, search, "-i", plain, "-s", 1, "--json")
    for index in (mnist_index, plain):
        assert run(search, "-i", index, "-m", MODEL, "-s", 1, "--seed", 4, "--json") == 0
    ours, theirs = capsys.readouterr().out.splitlines()
    assert ours == theirs


def test_another_model_is_refused_with_both_fingerprints(small_index, tmp_path, capsys):
    other = shutil.copy(KERAS_MODEL, tmp_path / "other.h5")
    message = error_of(capsys, search, "-i", small_index, "-m", other, "--json")
    assert "made with autoencoder.onnx" in message
    assert message.count("SHA-256") == 2
    namesake = tmp_path / MODEL.name
    shutil.copy(ROOT / "tests" / "data" / "before" / "encoder.onnx", namesake)
    start = "the index was made with another model of this name, autoencoder.onnx"
    assert error_of(capsys, search, "-i", small_index, "-m", namesake).startswith(start)


def test_a_model_with_another_code_length_is_refused_for_the_tutorials_index(tmp_path, capsys):
    data = {"indexes": [0], "features": np.zeros((1, 3), np.float32)}
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps(data))
    message = error_of(capsys, search, "-i", tmp_path / "plain.pickle", "-m", MODEL, "--json")
    assert "codes of 16 dimensions, those of the index have 3" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "empty: 0 bytes"), (b"text", "not a picture")],
)
def test_a_query_that_is_no_picture_is_one_line(small_index, tmp_path, capsys, content, message):
    path = tmp_path / "query.png"
    if content is not None:
        path.write_bytes(content)
    error = error_of(capsys, search, "-i", small_index, "-q", path)
    assert message in error
    assert str(path) in error


def test_an_index_that_does_not_match_its_images_is_one_line(small_index, tmp_path, capsys):
    np.savez(tmp_path / "few.npz", x_train=np.zeros((3, 28, 28), np.uint8))
    message = error_of(capsys, search, "-i", small_index, "--dataset", tmp_path / "few.npz")
    assert "holds 2,000 codes" in message
    assert "has 3 images" in message
    gone = tmp_path / "gone.npz"
    message = error_of(capsys, search, "-i", small_index, "--dataset", gone)
    end = "pass its new location with --dataset"
    assert message == f"no such file of the indexed images: {gone}; {end}"
    message = error_of(capsys, search, "-i", small_index, "--dataset", tmp_path)
    assert message.startswith(f"a folder, not an array: {tmp_path}: expected mnist, ")


def test_results_survive_a_reader_that_stops_reading(small_index, python):
    command = python("search.py", "-i", small_index, "-s", 200, "--json")
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as searching:
        searching.stdout.readline()
        searching.stdout.close()
        assert "Traceback" not in searching.stderr.read()
    assert searching.returncode == 0


NAMES = ["code, 16-d", "raw pixels, 784-d", "PCA, 16-d", "PCA, whitened, 16-d", "HOG, 144-d"]


def test_evaluation_compares_with_codes_that_need_no_training(tmp_path, capsys):
    training, test = open_dataset("mnist", "train", 2000), open_dataset("mnist", "test", 300)
    arrays, index = tmp_path / "digits.npz", tmp_path / "index.pickle"
    splits = {"x_train": training.images, "x_test": test.images}
    np.savez(arrays, y_train=training.labels, y_test=test.labels, **splits)
    assert run(index_images, "-m", MODEL, "-i", index, "--dataset", arrays) == 0
    capsys.readouterr()
    assert run(search, "-i", index, "--evaluate", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == NAMES
    points, queries = (np.float64(part.images).reshape(len(part), -1) for part in (training, test))
    squares = (points**2).sum(axis=1) - 2 * queries @ points.T
    right = training.labels[squares.argmin(axis=1)] == test.labels
    assert scores["raw pixels, 784-d"]["P@1"] == pytest.approx(right.mean(), abs=0.004)
    code, pixels, pca, *_ = scores.values()
    assert code["mAP"] > pca["mAP"] > pixels["mAP"]


@pytest.mark.slow
def test_evaluation_of_all_digits_gives_the_known_error_of_raw_pixels(mnist_index, capsys):
    assert run(search, "-i", mnist_index, "--evaluate", "--all", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    code, pixels, pca, *_ = scores.values()
    assert list(scores) == NAMES
    # 1-nearest-neighbour by Euclidean distance of raw pixels errs on 3.09 % of the test digits.
    assert pixels["P@1"] == pytest.approx(0.9691, abs=2e-4)
    assert code["mAP"] > pca["mAP"] > pixels["mAP"]
    assert code["P@225"] >= 0.875
    assert code["mAP"] >= 0.51
