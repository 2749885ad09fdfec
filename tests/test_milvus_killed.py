"""A real Milvus server that is killed, or lets nobody in; each test starts its own."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest
from milvus_server import MilvusServer, why_not
from scripts import MODEL, error_of, run
from test_milvus import index, make_folder, new_collection, put

import index_images
import search
from pyimagesearch.encoders.encoding import encode_rows
from pyimagesearch.indexes.milvus import client as milvus
from pyimagesearch.indexes.milvus import writer as milvus_writer

pytestmark = pytest.mark.milvus

needs_client = None if find_spec("pymilvus") else "needs pymilvus, of requirements-scale.txt"


@pytest.fixture(autouse=True)
def _possible():
    if reason := needs_client or why_not():
        pytest.skip(reason)


@pytest.fixture
def server(tmp_path):
    with MilvusServer(tmp_path / "milvus") as server:
        yield server


def test_kill_9_loses_no_acknowledged_row_and_makes_none_twice(
    server, stub_encoder, random, monkeypatch
):
    monkeypatch.setattr(milvus, "PAUSES", (5,) * 60)  # some restarts take minutes
    codes = random.standard_normal((20_000, 4), np.float32)
    collection = new_collection(f"{server.uri}/killed", stub_encoder)
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
        put(collection, rows, codes[start : start + 500], label="1")
        acknowledged = start + 500
    timer.join()
    assert 0 < killed[0] < len(codes)
    assert collection.count() == len(codes)
    np.testing.assert_array_equal(
        collection.codes_of([str(row) for row in range(len(codes))]), codes
    )


def test_a_server_that_goes_for_good_is_one_line(server, tmp_path, capsys, monkeypatch):
    def killing(dataset, rows, encoder):
        yield from encode_rows(dataset, rows, encoder)
        server.kill()

    folder, collection = make_folder(tmp_path), f"{server.uri}/gone"
    monkeypatch.setattr(milvus, "PAUSES", (0.1, 0.1))
    monkeypatch.setattr(milvus_writer, "ROWS_PER_WRITE", 99)
    monkeypatch.setattr("pyimagesearch.encoders.encoding.encode_rows", killing)
    capsys.readouterr()
    assert run(index_images, "-m", MODEL, "-i", collection, "--dataset", folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum("trying again" in line for line in lines) == 2
    assert lines[-1].startswith("index_images.py: error: Milvus at http://127.0.0.1:")
    assert "cannot reach Milvus" in error_of(capsys, search, "-i", collection)


def test_the_token_is_needed_and_never_shown(tmp_path, capsys, monkeypatch):
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
