"""Files that the version before wrote still open: models, indexes, engines, checkpoints.

tests/data/before/README.md says how they were made; expected.json holds what that version found.
"""

import csv
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import index_images
import search
import train_autoencoder
from pyimagesearch.indexes.index_file import load_index
from tests.scripts import error_of, run

BEFORE = Path(__file__).parent / "data" / "before"
PICTURES = BEFORE / "pictures"
EXPECTED = json.loads((BEFORE / "expected.json").read_text(encoding="utf-8"))
ENGINES = ["hnsw.h5", "ivf.pickle", "clusters.h5", "hash.h5"]

lite = pytest.mark.skipif(
    not (find_spec("pymilvus") and find_spec("milvus_lite")),
    reason="needs pymilvus and milvus-lite, of requirements-scale.txt",
)


def check_search(capsys, index, expected, *flags):
    """Search as the version before did, with more flags; return what went to stderr."""
    capsys.readouterr()
    assert run(search, "-i", index, *expected["flags"], *flags) == 0
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert len(found) == len(expected["output"])
    for query, before in zip(found, expected["output"], strict=True):
        assert str(query["query"]) == str(before["query"])
        assert query["label"] == before["label"]
        results, results_before = query["results"], before["results"]
        # Indexes of arrays had ids that were numbers.
        assert [str(one["id"]) for one in results] == [str(one["id"]) for one in results_before]
        assert [one["label"] for one in results] == [one["label"] for one in results_before]
        distances = [one["distance"] for one in results]
        assert distances == pytest.approx([one["distance"] for one in results_before], abs=1e-4)
    return printed.err


@pytest.mark.parametrize("name", ["folder.pickle", "folder.h5"])
def test_an_index_of_a_folder_finds_what_it_found(name, capsys):
    check_search(capsys, BEFORE / name, EXPECTED[name], "--dataset", PICTURES)


def test_an_index_of_a_folder_knows_its_model(capsys):
    flags = ["--dataset", PICTURES, "--model", BEFORE / "model.h5"]
    check_search(capsys, BEFORE / "folder.h5", EXPECTED["folder.h5"], *flags)


@pytest.mark.parametrize("name", ["folder.pickle", "folder.h5"])
def test_an_index_of_a_folder_is_brought_up_to_date(name, tmp_path, capsys):
    index = shutil.copy(BEFORE / name, tmp_path)
    pictures = shutil.copytree(PICTURES, tmp_path / "pictures")
    shutil.copy(pictures / "red" / "red_00.png", pictures / "red" / "copy.png")
    (pictures / "blue" / "blue_00.png").unlink()
    assert run(index_images, "-i", index, "--dataset", pictures, "--checksum") == 0
    assert "added 1, changed 0, removed 1, kept 23" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["array.pickle", "array.h5"])
def test_an_index_of_an_array_finds_what_it_found(name, capsys):
    check_search(capsys, BEFORE / name, EXPECTED[name])


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_finds_what_it_found(name, tmp_path, capsys):
    index = tmp_path / name
    shutil.copy(BEFORE / f"array{index.suffix}", index)
    shutil.copy(BEFORE / f"{name}.engine", tmp_path)
    messages = check_search(capsys, index, EXPECTED[name])
    assert EXPECTED[name]["status"] in messages


@pytest.mark.milvus
@lite
def test_a_collection_finds_what_it_found(tmp_path, capsys):
    shutil.unpack_archive(BEFORE / "collection.db.tar.gz", tmp_path, filter="data")
    collection = tmp_path / "collection.db"
    check_search(capsys, collection, EXPECTED["collection.db"], "--dataset", PICTURES)


@pytest.mark.parametrize(
    ("model", "same_as", "resized_by"),
    [
        ("model.keras", "folder.pickle", "crop"),
        ("encoder.onnx", "folder.pickle", "crop"),
        ("model.h5", "folder.h5", "letterbox"),
    ],
)
def test_a_model_gives_the_codes_it_gave(model, same_as, resized_by, tmp_path, capsys):
    before, index = load_index(BEFORE / same_as), tmp_path / same_as
    flags = ["--dataset", PICTURES, "--metric", before.metric]
    assert run(index_images, "-m", BEFORE / model, "-i", index, *flags) == 0
    now = load_index(index)
    assert now.encoder.spec == before.encoder.spec
    assert resized_by in now.encoder.spec.to_dict().values()
    np.testing.assert_allclose(now.codes, before.codes, atol=1e-5)
    check_search(capsys, index, EXPECTED[same_as])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("name", "flags", "phases"),
    [
        ("resume", [], ["reconstruct"] * 3),
        ("triplet", ["--objective", "triplet"], ["separate"] * 6 + ["decode"]),
        pytest.param(
            *("triplet", ["--objective", "supcon"], ["separate"] * 6 + ["decode"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_training_that_was_killed_goes_on(name, flags, phases, tmp_path):
    checkpoint = shutil.copy(BEFORE / f"{name}.h5.checkpoint.npz", tmp_path)
    with np.load(checkpoint) as file:
        history = json.loads(str(file["state"]))["history"]
    assert 0 < len(history) < len(phases)
    if name == "triplet":
        flags = [*flags, "--schedule", "fast"]
    model, log = tmp_path / f"{name}.h5", tmp_path / "log.csv"
    outputs = ["-m", model, "-v", tmp_path / "v.png", "-p", tmp_path / "p.png", "--log", log]
    flags = ["--dataset", "mnist", "--limit", 200, "--epochs", 3, *flags]
    flags += ["--filters", 4, 4, "--latent-dim", 4]
    assert run(train_autoencoder, *outputs, *flags, "--resume") == 0
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == phases
    for row, before in zip(rows, history, strict=False):
        assert float(row["loss"]) == before["loss"]
        assert float(row["val_loss"]) == before["val_loss"]
    assert model.is_file()
    assert not Path(checkpoint).exists()


VIEWS = BEFORE / "views"
VIEWS_EXPECTED = json.loads((VIEWS / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["views.h5", "views.pickle"])
def test_an_index_of_views_and_its_engine_find_what_they_found(name, capsys):
    messages = check_search(capsys, VIEWS / name, VIEWS_EXPECTED[name], "--dataset", PICTURES)
    assert ("searching by HNSW8" in messages) == (name == "views.pickle")


@pytest.mark.parametrize("model", ["views.keras", "views.onnx"])
def test_a_model_of_views_gives_the_codes_it_gave(model, tmp_path):
    path = tmp_path / "again.h5"
    assert run(index_images, "-m", VIEWS / model, "-i", path, "--dataset", PICTURES) == 0
    before, now = load_index(VIEWS / "views.h5"), load_index(path)
    np.testing.assert_allclose(now.codes, before.codes, atol=1e-5)


@pytest.mark.milvus
@lite
def test_a_collection_of_views_is_searched_rebuilt_and_brought_up_to_date(tmp_path, capsys):
    shutil.unpack_archive(VIEWS / "views.db.tar.gz", tmp_path, filter="data")
    collection = tmp_path / "views.db"
    check_search(capsys, collection, VIEWS_EXPECTED["views.db"], "--dataset", PICTURES)
    pictures = shutil.copytree(PICTURES, tmp_path / "pictures")
    flags = ["-i", collection, "--dataset", pictures]
    assert run(index_images, *flags, "--checksum") == 0
    assert "added 0, changed 0, removed 0, kept 24" in capsys.readouterr().out
    assert run(index_images, "-m", VIEWS / "views.keras", *flags, "--rebuild") == 0
    check_search(capsys, collection, VIEWS_EXPECTED["views.db"])


def test_a_killed_training_of_views_of_one_scale_is_refused_with_what_to_do(tmp_path, capsys):
    checkpoint, model = tmp_path / "goes_on.h5.checkpoint.npz", tmp_path / "goes_on.h5"
    with np.load(VIEWS / checkpoint.name) as file:
        arrays = dict(file)
    state = json.loads(str(arrays["state"]))
    assert state["epoch"] == 2
    state["settings"]["dataset"] = str(PICTURES)  # the folder was /tmp/pictures then
    np.savez(checkpoint, **{**arrays, "state": np.array(json.dumps(state))})
    outputs = ["-m", model, "-v", tmp_path / "v.png", "-p", tmp_path / "p.png"]
    flags = ["--dataset", PICTURES, "--filters", 6, "--latent-dim", 4, "--epochs", 3]
    flags += ["--image-size", 16, 16]
    message = error_of(capsys, train_autoencoder, *outputs, *flags, "--resume")
    assert "the weights of another network" in message
    assert "start again without --resume" in message
    assert checkpoint.exists()
    assert not model.exists()
