"""Indexes in a real Milvus server, started here and killed."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest
from milvus_server import MilvusServer, why_not
from scripts import MODEL, error_of, run
from test_milvus import assert_same, found, index, make_folder

import index_images
import search
from pyimagesearch import milvus, milvus_sync
from pyimagesearch.datasets import open_dataset
from pyimagesearch.encoding import encode_rows
from pyimagesearch.engines import ExactEngine
from pyimagesearch.indexes import load_index
from pyimagesearch.milvus_about import create_collection
from pyimagesearch.milvus_search import MilvusEngine

reason = why_not() if find_spec("pymilvus") else "needs pymilvus, of requirements-scale.txt"
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with MilvusServer(tmp_path_factory.mktemp("milvus")) as server:
        yield server


def merged(path, collection, *flags):
    assert run(index_images, "--merge", path, "-i", collection, *flags) == 0
    return load_index(collection)


def recall(found, expected):
    rows = zip(found, expected, strict=True)
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in rows])


def test_a_search_prints_what_it_does_for_a_file(server, tmp_path, capsys):
    folder, collection = make_folder(tmp_path), f"{server.uri}/digits"
    file = index(tmp_path / "digits.h5", folder)
    for _ in range(2):
        index(collection, folder)
    assert "added 0, changed 0, removed 0, kept 40" in capsys.readouterr().out
    for flags in (["-k", 5], ["--max-distance", 6], ["--metric", "euclidean"]):
        flags = ["--sample", 3, "--seed", 1, "--json", *flags]
        assert_same(found(capsys, collection, *flags), found(capsys, file, *flags))
    assert found(capsys, collection, "--evaluate") == found(capsys, file, "--evaluate")
    next(folder.glob("digit */*.png")).unlink()
    index(collection, folder)
    assert load_index(collection).count() == 39


@pytest.mark.parametrize(
    ("engine", "least"),
    [
        ("exact", 1),
        ("HNSW32", 0.99),
        ("IVF16,Flat", 0.8),  # measured 0.89
        ("IVF16,SQ8", 0.8),
        ("IVF16,PQ8", 0.7),
        ("hash:64", 0.7),
    ],
)
def test_engines_find_the_nearest_at_their_true_distances(server, engine, least, small_index):
    name = "".join(c if c.isalnum() else "_" for c in engine)
    collection = merged(small_index, f"{server.uri}/{name}", "--engine", engine)
    assert collection.count() == 2000
    codes = load_index(small_index).features
    distances, rows = MilvusEngine(collection).search(codes[:50], 100)
    expected = ExactEngine(codes).search(codes[:50], 100)[1]
    assert recall(rows, expected) >= least
    true = np.linalg.norm(codes[rows] - codes[:50, np.newaxis], axis=2)
    np.testing.assert_allclose(distances, true, atol=1e-4)
    assert (np.diff(distances) >= 0).all()


def test_more_results_than_the_server_gives_at_once(server, mnist_index):
    collection = merged(mnist_index, f"{server.uri}/mnist")
    merged(mnist_index, f"{server.uri}/mnist")
    assert collection.count() == 60_000
    codes = load_index(mnist_index).features
    distances, rows = MilvusEngine(collection).search(codes[:2], 20_000)
    expected = ExactEngine(codes).search(codes[:2], 20_000)
    np.testing.assert_allclose(distances, expected[0], atol=1e-4)
    assert recall(rows, expected[1]) > 0.9999  # rows at the same distance may change places


def test_kill_9_loses_no_acknowledged_row_and_makes_none_twice(server, stub_encoder, random):
    codes = random.standard_normal((20_000, 4), np.float32)
    dataset = open_dataset("mnist", "train", len(codes))
    collection = create_collection(f"{server.uri}/killed", stub_encoder, "euclidean", dataset)
    acknowledged = 0

    def kill_and_restart():
        server.kill()
        killed.append(acknowledged)
        server.start()

    killed, timer = [], threading.Thread(target=kill_and_restart)
    for start in range(0, len(codes), 500):
        rows = range(start, start + 500)
        if start == 6000:
            timer.start()
        collection.upsert(rows, rows, ["1"] * 500, codes[start : start + 500])
        acknowledged = start + 500
    timer.join()
    assert 0 < killed[0] < len(codes)
    assert collection.count() == len(codes)
    np.testing.assert_array_equal(collection.codes_of(range(len(codes))), codes)


def test_a_server_that_goes_for_good_is_one_line(server, tmp_path, capsys, monkeypatch):
    def killing(dataset, rows, encoder):
        yield from encode_rows(dataset, rows, encoder)
        server.kill()

    folder, collection = make_folder(tmp_path), f"{server.uri}/gone"
    monkeypatch.setattr(milvus, "PAUSES", (0.1, 0.1))
    monkeypatch.setattr(milvus_sync, "ROWS_AT_ONCE", 99)
    monkeypatch.setattr(index_images, "encode_rows", killing)
    capsys.readouterr()
    assert run(index_images, "-m", MODEL, "-i", collection, "--dataset", folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum("trying again" in line for line in lines) == 2
    assert lines[-1].startswith("index_images.py: error: Milvus at http://127.0.0.1:")
    assert "cannot reach Milvus" in error_of(capsys, search, "-i", collection)


def test_the_token_is_needed_and_never_shown(server, tmp_path, capsys, monkeypatch):
    server.kill()  # one server a machine
    monkeypatch.setattr(milvus, "CONNECT", 3)
    with MilvusServer(tmp_path / "data", "--authorization-enabled", "true") as locked:
        folder, collection = make_folder(tmp_path), f"{locked.uri}/digits"
        monkeypatch.setenv("MILVUS_TOKEN", "root:Milvus")
        index(collection, folder)
        assert "Milvus" not in capsys.readouterr().out
        monkeypatch.setenv("MILVUS_TOKEN", "root:sesame")
        error = error_of(capsys, search, "-i", collection)
    assert "is MILVUS_TOKEN right" in error
    assert "sesame" not in error
