"""Indexes in Milvus Lite: what the scripts do with a file they do with a collection."""

import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripts import KERAS_MODEL, MODEL, ROOT, error_of, run

import index_images
import search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import encode_rows
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.indexes.contract import Records
from pyimagesearch.indexes.milvus import client as milvus
from pyimagesearch.indexes.milvus import engine as milvus_search
from pyimagesearch.indexes.milvus import writer as milvus_writer
from pyimagesearch.indexes.milvus.client import MilvusConnection, is_milvus, parse_address
from pyimagesearch.indexes.milvus.engine import MilvusEngine
from pyimagesearch.indexes.milvus.metadata import NewCollection
from pyimagesearch.indexes.milvus.rows import pack_id, unpack_id
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.milvus.store import MilvusStore
from pyimagesearch.indexes.stores import open_store
from tests import onnx_exports as exports

pytestmark = pytest.mark.milvus

lite = pytest.mark.skipif(
    not (find_spec("pymilvus") and find_spec("milvus_lite")),
    reason="needs pymilvus and milvus-lite, of requirements-scale.txt",
)


def make_folder(root):
    """Write forty real digits in a sub-folder for each digit, and a file that is no picture."""
    digits = open_dataset("mnist", "test")
    for row in range(40):
        path = root / "pictures" / f"digit {digits.labels[row]}" / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), digits.picture(row))
    (root / "pictures" / "text.png").write_text("hello")
    return root / "pictures"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same folder indexed into a file and into a collection."""
    root = tmp_path_factory.mktemp("both")
    folder = make_folder(root)
    return index(root / "digits.h5", folder), index(f"{root}/milvus.db", folder)


@pytest.fixture
def collection(tmp_path):
    return f"{tmp_path}/milvus.db/digits"


def index(path, folder, *flags):
    assert run(index_images, "-m", MODEL, "-i", path, "--dataset", folder, *flags) == 0
    return path


def found(capsys, path, *flags):
    """Return what a search prints, as JSON if it is."""
    capsys.readouterr()
    assert run(search, "-i", path, *flags) == 0
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in lines] if "--json" in flags else lines


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a["query"], a["label"]) == (b["query"], b["label"])
        assert [(r["id"], r["label"]) for r in a["results"]] == [
            (r["id"], r["label"]) for r in b["results"]
        ]
        distances = [[r["distance"] for r in x["results"]] for x in (a, b)]
        np.testing.assert_allclose(*distances, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http://localhost:19530/photos", True),
        ("https://milvus.example.com/photos", True),
        ("photos.db", True),
        ("a/b.db/photos", True),
        ("photos.h5", False),
        ("photos.db/index.h5", False),
        ("photos.db/summer-2024", True),
        ("output/index.pickle", False),
        (Path("photos.db"), True),
    ],
)
def test_a_collection_is_told_from_a_file_by_its_name(name, expected):
    assert is_milvus(name) == expected


def test_an_address_has_defaults():
    assert str(parse_address("http://host/photos")) == "http://host:19530/photos"
    assert str(parse_address("a.db")) == "a.db/images"


@pytest.mark.parametrize(
    "address",
    ["http://host:19530", "http://host/a/b", "http://host/a-b", "http:///a", "http://h:x/a"],
)
def test_a_bad_address_is_refused(address):
    with pytest.raises(ValueError, match="expected a collection as http://HOST:PORT/NAME"):
        parse_address(address)


def test_a_collection_whose_name_milvus_does_not_take_is_refused(tmp_path, capsys):
    arguments = ["-m", MODEL, "-i", f"{tmp_path}/u.db/summer-2024"]
    assert "its name of letters, digits and _" in error_of(capsys, index_images, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_token_in_an_address_is_refused_and_not_repeated(capsys):
    error = error_of(capsys, search, "-i", "http://root:secret@host:19530/photos")
    assert "MILVUS_TOKEN" in error
    assert "secret" not in error


@pytest.mark.parametrize("name", ["IVF256,PQ5", "HNSW2", "hash:12", "Flat", "clusters", "PQ8"])
def test_an_engine_that_milvus_has_not_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown engine {name}"):
        parse_engine(name, 16)


def test_engines_have_the_names_that_they_have_for_files():
    kinds = {"exact": "FLAT", "HNSW32": "HNSW", "IVF256,Flat": "IVF_FLAT", "IVF64,PQ8": "IVF_PQ"}
    kinds |= {"IVF8,SQ8": "IVF_SQ8", "clusters:6": "IVF_FLAT", "hash:64": "BIN_IVF_FLAT"}
    assert {name: parse_engine(name, 16).kind for name in kinds} == kinds
    assert parse_engine("auto", 16, 1000).kind == "FLAT"
    assert parse_engine("auto", 16, 10_000_000).name.startswith("IVF")


@pytest.mark.parametrize("id", ["a/b.png", "ü.png", os.fsdecode(b"\xff\xfe.png"), "//2f"])
def test_names_that_are_no_utf_8_come_and_go(id):
    pack_id(id).encode()
    if not id.startswith("//"):
        assert unpack_id(pack_id(id)) == id


def test_without_the_client_one_line_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(milvus.importlib.util, "find_spec", lambda name: None)
    error = error_of(capsys, search, "-i", tmp_path / "a.db")
    assert "pip install -r requirements-scale.txt" in error


@lite
def test_a_dead_server_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    flags = ["-i", "http://127.0.0.1:9/photos"]
    assert "cannot reach Milvus at http://127.0.0.1:9" in error_of(capsys, search, *flags)
    assert "secret" not in error_of(capsys, index_images, "-m", MODEL, *flags)


@lite
@pytest.mark.parametrize(
    "flags",
    [
        ["--sample", 3, "--seed", 1, "--json", "-k", 5],
        ["--sample", 2, "--seed", 2, "--max-distance", 6, "--json"],
        ["--query-id", "digit 7/0.png", "--json"],
        ["--query-id", "digit 7/0.png", "--paths", "-k", 3],
        ["--query-id", "digit 7/0.png", "digit 2/1.png", "--combine", "--json"],
        ["--evaluate"],
        ["--duplicates", "--max-distance", 3],
        ["--sample", 1, "--seed", 1, "--output", "out", "--map"],
    ],
)
def test_a_search_prints_what_it_does_for_a_file(flags, both, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, collection = both
    expected = found(capsys, file, *flags)
    received = found(capsys, collection, *flags)
    assert_same(received, expected) if "--json" in flags else None
    assert "--json" in flags or received == expected


@lite
def test_a_network_with_one_of_miniatures_is_searched_as_in_a_file(folder, tmp_path, capsys):
    model = exports.save_joined(tmp_path / "joined.onnx")
    paths = tmp_path / "digits.h5", f"{tmp_path}/milvus.db"
    for path in paths:
        assert run(index_images, "-m", model, "-i", path, "--dataset", folder) == 0
    flags = "--query", folder / "digit 7" / "0.png", "--json", "-k", 9
    expected, received = (found(capsys, path, *flags) for path in paths)
    assert_same(received, expected)


@lite
def test_an_array_is_searched_as_in_a_file(collection, tmp_path, capsys):
    for path in (collection, tmp_path / "digits.pickle"):
        assert run(index_images, "-m", MODEL, "-i", path, "--limit", 500) == 0
    flags = ["--sample", 2, "--seed", 1, "--json"]
    received = found(capsys, collection, *flags)
    assert_same(received, found(capsys, tmp_path / "digits.pickle", *flags))
    assert run(index_images, "-m", MODEL, "-i", collection, "--limit", 300) == 1
    assert len(open_store(collection).open()) == 500  # a limit removes nothing
    assert run(index_images, "-m", MODEL, "-i", collection, "--limit", 600) == 0
    assert len(open_store(collection).open()) == 600


@lite
def test_the_rows_of_an_array_are_encoded_once(collection, tmp_path, monkeypatch, capsys):
    """Also if a shard of a changed array was indexed before another."""
    counts = []

    def counted(dataset, rows, encoder):
        counts.append(len(rows))
        return encode_rows(dataset, rows, encoder)

    monkeypatch.setattr("pyimagesearch.encoders.encoding.encode_rows", counted)
    images = open_dataset("mnist", "test", 40).images
    arrays = tmp_path / "digits.npz"
    labels = np.arange(40)
    for x, y in ((images, labels), (images, labels), (images, labels + 1), (images[::-1], labels)):
        np.savez(arrays, x_train=x, y_train=y)
        for shard in ("1/2", "2/2"):
            index(collection, arrays, "--shard", shard)
    first, second, *rest = counts
    assert first + second == 40
    assert rest == [0, 0, 0, 0, first, second]
    capsys.readouterr()
    index(collection, arrays)
    captured = capsys.readouterr()
    assert "added 0, changed 0, removed 0, kept 40" in captured.out
    assert "is up to date, nothing was written" in captured.err
    file = index(tmp_path / "digits.h5", arrays)
    flags = "--query-id", "3", "--json", "-k", 9
    assert_same(*(found(capsys, path, *flags) for path in (collection, file)))


@lite
def test_a_sync_does_what_it_does_for_a_file(folder, collection, tmp_path, capsys):
    def changes():
        pictures = sorted(folder.glob("digit */*.png"))
        pictures[0].unlink()
        shutil.copy(pictures[1], pictures[2])
        pictures[3].rename(folder / "moved.png")
        shutil.copy(pictures[4], folder / "digit 0" / "copy.png")
        os.utime(pictures[5], (1, 1))

    file = tmp_path / "digits.h5"
    index(file, folder)
    index(collection, folder)
    changes()
    summaries = []
    for path in (file, collection, collection):
        capsys.readouterr()
        index(path, folder)
        summaries.append(capsys.readouterr().out)
    assert "added 1, changed 1, removed 1, kept 37, moved 1, rejected 1" in summaries[0]
    assert summaries[1] == summaries[0]
    assert "added 0, changed 0, removed 0, kept 40, rejected 1" in summaries[2]
    expected, received = open_store(file).open(), open_store(collection).open().load()
    assert received.ids == list(expected.ids)
    np.testing.assert_allclose(received.codes, expected.codes, atol=1e-5)
    assert (received.file_stats == expected.file_stats).all()
    assert received.label_names == expected.label_names
    assert (received.labels == expected.labels).all()


@lite
def test_an_interrupted_run_is_taken_up(folder, collection, monkeypatch):
    def interrupted(dataset, rows, encoder):
        for number, batch in enumerate(encode_rows(dataset, rows, encoder)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr("pyimagesearch.datasets.folder.FILES_PER_BATCH", 8)
    monkeypatch.setattr(milvus_writer, "ROWS_PER_WRITE", 8)
    monkeypatch.setattr("pyimagesearch.encoders.encoding.encode_rows", interrupted)
    assert run(index_images, "-m", MODEL, "-i", collection, "--dataset", folder) == 130
    assert open_store(collection).open().count() == 16
    monkeypatch.setattr("pyimagesearch.encoders.encoding.encode_rows", encode_rows)
    for _ in range(2):
        index(collection, folder)
        assert open_store(collection).open().count() == 40


@lite
def test_another_model_metric_or_folder_is_refused(folder, collection, tmp_path, capsys):
    index(collection, folder)
    other, elsewhere = tmp_path / "other.h5", tmp_path / "elsewhere"
    shutil.copy(KERAS_MODEL, other)
    elsewhere.mkdir()
    shutil.copy(next(folder.glob("digit */*.png")), elsewhere / "a.png")
    capsys.readouterr()
    for flags, message in [
        (["-m", other, "--dataset", folder], "encode everything again with --rebuild"),
        (["-m", MODEL, "--dataset", folder, "--metric", "cosine"], "change it with --rebuild"),
        (["-m", MODEL, "--dataset", elsewhere], "elsewhere: make another index"),
        (["-m", MODEL, "--dataset", "mnist"], "is the index of"),
        (["-m", MODEL, "--rebuild", "--shard", "1/2"], "would drop the rows of other shards"),
    ]:
        assert message in error_of(capsys, index_images, "-i", collection, *flags)
    assert "leave --model out" in error_of(capsys, search, "-i", collection, "-m", other)
    assert "another collection" in error_of(capsys, search, "-i", collection, "--metric", "cosine")
    assert open_store(collection).open().count() == 40
    index(collection, folder, "--rebuild", "--metric", "cosine")
    assert open_store(collection).open().metric == "cosine"


@lite
def test_a_rebuild_keeps_metric_and_engine(folder, collection, capsys):
    index(collection, folder, "--metric", "cosine", "--engine", "HNSW16")
    expected = found(capsys, collection, "--query-id", "digit 7/0.png", "--json")
    for _ in range(2):  # the codes go from one collection to the other and back
        index(collection, folder, "--rebuild")
        rebuilt = open_store(collection).open()
        assert (rebuilt.metric, rebuilt.engine_spec.name) == ("cosine", "HNSW16")
        assert rebuilt.count() == 40
        assert_same(found(capsys, collection, "--query-id", "digit 7/0.png", "--json"), expected)
    index(collection, folder)
    assert "added 0, changed 0, removed 0, kept 40" in capsys.readouterr().out


@lite
@pytest.mark.parametrize("when", ["encode", "upsert", "flush", "drop_collection"])
def test_a_rebuild_that_fails_leaves_the_old_collection(folder, collection, monkeypatch, when):
    index(collection, folder)
    before = open_store(collection).open().load()

    def fail(*arguments, **options):
        raise OSError("the disk is full")

    call = MilvusConnection.call

    def failing_call(self, method, *arguments, **options):
        if method == when:
            fail()
        return call(self, method, *arguments, **options)

    with monkeypatch.context() as patch:
        if when == "encode":
            patch.setattr("pyimagesearch.encoders.encoding.encode_rows", fail)
        patch.setattr(MilvusConnection, "call", failing_call)
        arguments = ["-m", MODEL, "-i", collection, "--dataset", folder, "--rebuild"]
        assert run(index_images, *arguments) == 1
    after = open_store(collection).open()
    assert after.count() == 40
    assert after.load().ids == before.ids
    index(collection, folder, "--rebuild")
    assert open_store(collection).open().count() == 40


@lite
def test_a_rebuild_by_a_model_without_codes_is_refused_before(folder, collection, monkeypatch):
    index(collection, folder)
    monkeypatch.setattr(Encoder, "encode", lambda self, images: np.full((len(images), 16), np.nan))
    arguments = ["-m", MODEL, "-i", collection, "--dataset", folder, "--rebuild"]
    assert run(index_images, *arguments) == 1
    monkeypatch.undo()
    assert open_store(collection).open().count() == 40


@lite
def test_an_interrupted_first_run_goes_on_with_its_own_images(folder, collection, monkeypatch):
    def interrupted(dataset, rows, encoder):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("pyimagesearch.encoders.encoding.encode_rows", interrupted)
    assert run(index_images, "-m", MODEL, "-i", collection, "--dataset", folder) == 130
    assert open_store(collection).open().count() == 0
    monkeypatch.undo()
    assert run(index_images, "-m", MODEL, "-i", collection) == 0
    opened = open_store(collection).open()
    assert opened.count() == 40
    assert opened.source["name"] == str(folder)


@lite
def test_a_collection_that_was_about_to_be_made_knows_its_images(folder, collection, monkeypatch):
    call = MilvusConnection.call

    def killed_before(self, method, *arguments, **options):
        if method == "create_collection" and arguments[0] == "digits":
            raise KeyboardInterrupt
        return call(self, method, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MilvusConnection, "call", killed_before)
        assert run(index_images, "-m", MODEL, "-i", collection, "--dataset", folder) == 130
    assert run(index_images, "-m", MODEL, "-i", collection) == 0
    assert open_store(collection).open().count() == 40


@lite
def test_a_collection_of_others_is_not_touched(folder, collection, capsys):
    from pymilvus import MilvusClient

    client = MilvusClient(parse_address(collection).uri)
    client.create_collection("digits", dimension=16)
    client.insert("digits", [{"id": 1, "vector": [0.5] * 16}])
    for flags in ([], ["--rebuild"], ["--shard", "1/2"]):
        arguments = ["-m", MODEL, "-i", collection, "--dataset", folder, *flags]
        lines = error_of(capsys, index_images, *arguments)
        assert "is a collection that index_images.py did not make" in lines
    assert "did not make" in error_of(capsys, search, "-i", collection)
    assert client.query("digits", filter="", output_fields=["count(*)"]) == [{"count(*)": 1}]


@lite
@pytest.mark.parametrize("method", ["drop_index", "create_index", "load_collection"])
def test_a_change_of_engine_that_is_interrupted_can_be_repeated(
    method, folder, collection, monkeypatch
):
    index(collection, folder)
    call = MilvusConnection.call
    dropped = []

    def interrupted(self, called, *arguments, **options):
        if called == method and (dropped or called == "drop_index"):
            raise KeyboardInterrupt
        if called == "drop_index":
            dropped.append(arguments)
        return call(self, called, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MilvusConnection, "call", interrupted)
        assert run(index_images, "-i", collection, "--engine", "HNSW16") == 130
    assert open_store(collection).open().search(np.zeros((1, 16), np.float32), 3)
    assert run(index_images, "-i", collection, "--engine", "HNSW16") == 0
    assert open_store(collection).open().engine_spec.name == "HNSW16"


@lite
def test_a_shard_that_starts_before_another_made_the_collection_joins_it(
    folder, collection, monkeypatch
):
    index(collection, folder, "--shard", "1/2")
    with monkeypatch.context() as patch:
        patch.setattr(MilvusStore, "exists", lambda self: False)  # when this one looked
        index(collection, folder, "--shard", "2/2")
    assert open_store(collection).open().count() == 40


@lite
def test_shards_fill_one_collection_and_drop_only_their_own(folder, collection, capsys):
    for shard in ("1/2", "2/2", "1/2"):
        index(collection, folder, "--shard", shard)
    assert open_store(collection).open().count() == 40
    removed = sorted(folder.glob("digit */*.png"))[:10]
    for path in removed:
        path.unlink()
    index(collection, folder, "--shard", "1/2")
    assert 30 < open_store(collection).open().count() < 40
    index(collection, folder, "--shard", "2/2")
    assert open_store(collection).open().count() == 30
    capsys.readouterr()
    index(collection, folder)
    assert "added 0, changed 0, removed 0, kept 30" in capsys.readouterr().out


@lite
def test_index_files_are_joined_into_a_collection(folder, collection, tmp_path, capsys):
    parts = [index(tmp_path / f"{i}.h5", folder, "--shard", f"{i}/2") for i in (1, 2)]
    for _ in range(2):
        assert run(index_images, "--merge", *parts, "-i", collection) == 0
    file = index(tmp_path / "digits.h5", folder)
    flags = ["--sample", 2, "--seed", 1, "--json"]
    assert_same(found(capsys, collection, *flags), found(capsys, file, *flags))
    index(collection, folder)
    assert "added 0, changed 0, removed 0, kept 40" in capsys.readouterr().out


@lite
@pytest.mark.parametrize("name", ["HNSW24", "IVF4,Flat"])
def test_the_server_builds_an_engine_with_its_parameters(name, folder, collection):
    """The client passes each parameter by itself too, and Lite ignores it then."""
    index(collection, folder, "--engine", name)
    opened = open_store(collection).open()
    described = opened.collection.call("describe_index", "code")
    assert described["params"] == parse_engine(name, opened.dim).params


@lite
def test_a_graph_is_probed_and_hash_codes_need_a_server(folder, collection, capsys):
    index(collection, folder)
    capsys.readouterr()
    assert "nothing to probe" in error_of(capsys, search, "-i", collection, "--probe", 9)
    flags = ["--sample", 2, "--seed", 1, "--json", "-k", 5]
    expected = found(capsys, collection, *flags)
    assert run(index_images, "-i", collection, "--engine", "HNSW16") == 0
    assert_same(found(capsys, collection, *flags, "--probe", 99), expected)
    arguments = ["-m", MODEL, "-i", f"{collection}2", "--dataset", folder, "--engine", "hash:64"]
    capsys.readouterr()
    assert "Milvus Lite has no BIN_IVF_FLAT" in error_of(capsys, index_images, *arguments)


def new_collection(name, encoder, *, metric="euclidean", engine="exact"):
    """Make an empty collection for codes of MNIST; return its MilvusIndex."""
    store = MilvusStore(name)
    source = open_dataset("mnist", "train").source
    return store.create(
        NewCollection(
            encoder=encoder,
            metric=metric,
            engine=parse_engine(engine, encoder.dim),
            source=source,
            has_files=False,
        )
    )


def put(index, rows, codes, label=""):
    """Write rows of an array with their codes."""
    ids = [str(row) for row in rows]
    index.upsert(Records(ids, [label] * len(ids), np.zeros(len(ids), FILE_STATS)), codes)


@pytest.fixture
def codes(random):
    codes = random.standard_normal((1500, 4), np.float32)
    codes[7] = 0
    codes[9] = codes[8]
    codes[1400] = 0
    return codes


def collection_of(codes, collection, encoder, metric):
    made = new_collection(collection, encoder, metric=metric)
    put(made, range(len(codes)), codes)
    return made


@lite
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_are_those_of_exact_search(metric, codes, collection, stub_encoder, random):
    engine = MilvusEngine(collection_of(codes, collection, stub_encoder, metric))
    exact = ExactEngine(codes, metric)
    queries = np.vstack([random.standard_normal((3, 4), np.float32), codes[7:9]])
    for k in (1, 225, 9999):
        expected, (distances, rows) = exact.search(queries, k), engine.search(queries, k)
        assert (distances.dtype, rows.dtype) == (np.float32, np.int64)
        assert (np.diff(distances) >= 0).all()
        np.testing.assert_allclose(distances, expected[0], atol=1e-4)
    assert set(engine.search(queries[3:4], 2)[1][0]) == {7, 1400}  # those of zeros
    limit = float(expected[0][0, 40]) * 1.0001
    for a, b in zip(
        engine.search_within(queries[:3], limit)[1],
        exact.search_within(queries[:3], limit)[1],
        strict=True,
    ):
        assert set(a) == set(b)


@lite
def test_more_results_than_a_server_gives_come_in_parts(
    codes, collection, stub_encoder, monkeypatch
):
    made = collection_of(codes, collection, stub_encoder, "euclidean")
    connection = made.collection.connection
    connection.address = replace(connection.address, lite=False)
    monkeypatch.setattr(milvus_search, "PAGE", 100)
    monkeypatch.setattr(milvus_search, "MIN_PAGES", 1)
    distances, rows = MilvusEngine(made).search(codes[:3], 700)
    expected = ExactEngine(codes).search(codes[:3], 700)
    np.testing.assert_allclose(distances, expected[0], atol=1e-4)
    assert [set(row) for row in rows] == [set(row) for row in expected[1]]


@lite
def test_a_page_that_is_full_is_read_again_in_halves(codes, collection, stub_encoder, monkeypatch):
    rows = collection_of(codes, collection, stub_encoder, "euclidean").collection
    monkeypatch.setattr("pyimagesearch.indexes.milvus.collection.PAGE", 70)
    assert sorted(row for row, _ in rows.scan(["id"])) == list(range(1500))
    assert sorted(row for row, _ in rows.scan(["id"], range(1400, 1500))) == list(range(1400, 1500))
    monkeypatch.setattr(type(rows), "__len__", lambda self: 3)
    assert sorted(row for row, _ in rows.scan(["id"])) == list(range(1500))


@lite
def test_names_that_are_forgotten_are_asked_for_again(codes, collection, stub_encoder, monkeypatch):
    made = collection_of(codes, collection, stub_encoder, "euclidean")
    monkeypatch.setattr("pyimagesearch.indexes.milvus.index.REMEMBERED", 1)
    assert made.hits_of(np.zeros(2), np.array([1, 2])).ids == ["1", "2"]
    assert made.hits_of(np.zeros(2), np.array([1, 3])).ids == ["1", "3"]
    assert made.label_of("3") is None


@lite
def test_a_damaged_collection_is_one_line(folder, collection, capsys):
    from pymilvus import MilvusClient

    index(collection, folder)
    client = MilvusClient(parse_address(collection).uri)
    state = {"row": 0, "nothing": [0, 0]}
    [sound] = client.query("digits_about", filter="row == 0", output_fields=["text"])
    for text in ("not json", "[]", json.dumps({"dataset": {}, "engine": "exact", "centre": ""})):
        client.upsert("digits_about", [{**state, "text": text}])
        capsys.readouterr()
        assert "cannot use the index" in error_of(capsys, search, "-i", collection)
    client.upsert("digits_about", [{**state, "text": sound["text"]}])
    rows = client.query("digits_about", filter="row > 0", output_fields=["row", "text"])
    client.upsert("digits_about", [{**rows[0], "text": "AAAA", "nothing": [0, 0]}])
    assert "its encoder is damaged" in error_of(capsys, search, "-i", collection)
    index(collection, folder, "--rebuild")
    assert len(open_store(collection).open()) == 40


class Failing:
    """A client whose calls fail a number of times."""

    def __init__(self, error, times):
        self.error, self.times, self.calls = error, times, 0

    def query(self, *arguments, **options):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


@pytest.fixture
def server(monkeypatch):
    """A MilvusConnection whose client fails as it is told to."""
    monkeypatch.setattr(milvus, "PAUSES", (0, 0, 0))

    def make(error, times):
        server = MilvusConnection.__new__(MilvusConnection)
        server.address, server._token = parse_address("http://host/photos"), "root:secret"
        server._client = Failing(error, times)
        return server

    return make


@lite
def test_what_fails_in_passing_is_repeated_and_told(server, capsys):
    from grpc import StatusCode
    from pymilvus.exceptions import MilvusException

    passing = MilvusException(StatusCode.UNAVAILABLE, "gone, root:secret")
    assert server(passing, 2).call("query") == "answer"
    lines = capsys.readouterr().err
    assert lines.count("[WARNING] Milvus failed to query, trying again") == 2
    assert "secret" not in lines
    dead = server(passing, 99)
    with pytest.raises(OSError, match="failed to query: gone") as error:
        dead.call("query")
    assert dead._client.calls == 4
    assert "secret" not in str(error.value)


@lite
def test_what_repeating_does_not_mend_is_not_repeated(server):
    from grpc import StatusCode
    from pymilvus.exceptions import MilvusException, ParamError

    for error in (MilvusException(StatusCode.UNAUTHENTICATED, "no"), ParamError(1, "bad")):
        lost = server(error, 9)
        with pytest.raises(OSError, match="failed to query"):
            lost.call("query")
        assert lost._client.calls == 1


@lite
def test_a_search_never_imports_tensorflow(folder, tmp_path, python):
    path = f"{tmp_path}/other.db"
    arguments = ["index_images.py", "-m", MODEL, "-i", path, "--dataset", folder]
    subprocess.run(python(*arguments), cwd=ROOT, check=True, capture_output=True)
    code = (
        "import sys, search; assert search.main(sys.argv[1:]) == 0; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run(
        python("-c", code, "-i", path, "-s", 1, "--json"), cwd=ROOT, check=True, capture_output=True
    )


@lite
def test_a_session_over_a_collection_is_that_over_a_file(both, capsys, monkeypatch):
    commands = b"2\nlike 3\nunlike 1\nrotate\ncrop 0,0,14,28\nback\nnext\nlist\n"
    flags = "--query-id", "digit 7/0.png", "--interactive", "-k", 5
    lines = []
    for path in both:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(commands)))
        lines.append(found(capsys, path, *flags))
    answers = 8 * (1 + 5)  # a line about the query and one for each result
    assert len(lines[0]) == answers + 5
    assert lines[1][:answers] == lines[0][:answers]


@lite
@pytest.mark.parametrize("flag", [["--any-orientation"], ["--crop", "0.0,0,0.5,1"]])
def test_parts_and_turns_are_searched_for_in_a_collection(both, capsys, flag):
    flags = "--query-id", "digit 7/0.png", "digit 2/1.png", "--json", "-k", 7, *flag
    assert_same(*(found(capsys, path, *flags) for path in reversed(both)))
