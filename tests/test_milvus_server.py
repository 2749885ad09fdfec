"""Indexes in a real Milvus server, started here and killed."""

import time
from importlib.util import find_spec

import numpy as np
import pytest
from milvus_server import MilvusServer, why_not
from scripts import run
from test_milvus import assert_same, found, index, make_folder

import index_images
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.indexes.milvus.engine import MilvusEngine
from pyimagesearch.indexes.stores import open_store

reason = why_not() if find_spec("pymilvus") else "needs pymilvus, of requirements-scale.txt"
pytestmark = [
    pytest.mark.milvus,
    pytest.mark.skipif(reason is not None, reason=str(reason)),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with MilvusServer(tmp_path_factory.mktemp("milvus")) as server:
        yield server


def merged(path, collection, *flags):
    assert run(index_images, "--merge", path, "-i", collection, *flags) == 0
    return open_store(collection).open()


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
    assert open_store(collection).open().count() == 39


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
    codes = open_store(small_index).open().codes
    distances, rows = MilvusEngine(collection).search(codes[:50], 100)
    expected = ExactEngine(codes).search(codes[:50], 100)[1]
    assert recall(rows, expected) >= least
    true = np.linalg.norm(codes[rows] - codes[:50, np.newaxis], axis=2)
    np.testing.assert_allclose(distances, true, atol=1e-4)
    assert (np.diff(distances) >= 0).all()


def test_an_evaluation_measures_the_engine_of_the_collection(server, small_index, capsys):
    collection = f"{server.uri}/evaluated"
    merged(small_index, collection, "--engine", "HNSW32")
    [scores] = found(capsys, collection, "--evaluate", "--json")
    [expected] = found(capsys, small_index, "--evaluate", "--json")
    engine = scores.pop("engine")
    assert (engine["name"], engine["probe"]) == ("HNSW32", 512)
    assert engine["recall@10"] > 0.99
    for name, row in expected.items():
        assert scores[name] == pytest.approx(row, abs=1e-4)
    collection = f"{server.uri}/evaluated_lists"
    merged(small_index, collection, "--engine", "IVF16,Flat")

    def recall_of(probe):
        [scores] = found(capsys, collection, "--evaluate", "--json", "--probe", probe)
        assert scores["engine"]["probe"] == probe
        return scores["engine"]["recall@10"]

    # Until the server has built the lists, it compares a query with all codes.
    deadline = time.monotonic() + 120
    while (narrow := recall_of(1)) >= 0.95 and time.monotonic() < deadline:
        time.sleep(2)
    assert narrow < 0.95 < 0.999 < recall_of(16)


def test_more_results_than_the_server_gives_at_once(server, mnist_index):
    collection = merged(mnist_index, f"{server.uri}/mnist")
    merged(mnist_index, f"{server.uri}/mnist")
    assert collection.count() == 60_000
    codes = open_store(mnist_index).open().codes
    distances, rows = MilvusEngine(collection).search(codes[:2], 20_000)
    expected = ExactEngine(codes).search(codes[:2], 20_000)
    np.testing.assert_allclose(distances, expected[0], atol=1e-4)
    assert recall(rows, expected[1]) > 0.9999  # rows at the same distance may change places
