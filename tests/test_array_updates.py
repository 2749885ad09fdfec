"""Updates of the index of an array: only what is not indexed yet is encoded."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import index_images
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders import encoding
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.model_source import ModelFlags
from pyimagesearch.indexes import choices
from pyimagesearch.indexes.index_file import load_index
from tests.scripts import MODEL, codes_of, error_of, run

COUNT = 40


@pytest.fixture
def arrays(tmp_path):
    """An .npz file of COUNT digits."""
    return save(tmp_path / "digits.npz", open_dataset("mnist", "test", COUNT).images)


def save(path, images, *, first_label=0):
    np.savez(path, x_train=images, y_train=np.arange(len(images)) + first_label)
    return path


@pytest.fixture
def encoded(monkeypatch):
    """The ids of the images that are encoded from here on."""
    ids = []
    encode = encoding.encode_rows

    def encode_rows(dataset, rows, encoder):
        ids.extend(dataset.ids[row] for row in rows)
        return encode(dataset, rows, encoder)

    monkeypatch.setattr(encoding, "encode_rows", encode_rows)
    return ids


@pytest.fixture(params=["index.h5", "index.pickle"])
def index(request, tmp_path, arrays, encoded):
    """The path of an index of the array, with an engine."""
    path = tmp_path / request.param
    flags = ("--dataset", arrays, "--engine", "HNSW8")
    assert run(index_images, "-m", MODEL, "-i", path, *flags) == 0
    assert len(encoded) == COUNT
    encoded.clear()
    return path


def require_codes(path, arrays, count=COUNT):
    """Check that an index has the codes that its encoder gives the images now, in their order."""
    index = load_index(path)
    dataset = open_dataset(str(arrays), limit=count)
    np.testing.assert_allclose(index.codes, codes_of(index.encoder, dataset), atol=1e-6)
    assert list(index.ids) == list(map(str, range(count)))
    assert (index.labels == dataset.labels).all()


@pytest.mark.parametrize("flags", [[], ["-m", MODEL], ["--metric", "euclidean"]])
def test_with_nothing_changed_nothing_is_read_encoded_or_written(
    index, arrays, encoded, flags, monkeypatch, caplog, capsys
):
    written = [index, index.with_name(f"{index.name}.engine")]
    before = [path.stat() for path in written]
    monkeypatch.setattr("pyimagesearch.datasets.array._as_images", None)
    assert run(index_images, "-i", index, *flags) == 0
    assert [path.stat() for path in written] == before
    assert encoded == []
    assert f"{index} is up to date, nothing was written: 40 codes" in caplog.text
    assert capsys.readouterr().out.endswith("added 0, changed 0, removed 0, kept 40\n")


def test_only_new_rows_are_encoded(tmp_path, arrays, encoded, capsys):
    path = tmp_path / "index.h5"
    flags = ("-m", MODEL, "-i", path, "--dataset", arrays)
    assert run(index_images, *flags, "--limit", 25) == 0
    encoded.clear()
    capsys.readouterr()
    assert run(index_images, *flags) == 0
    assert encoded == list(map(str, range(25, COUNT)))
    assert capsys.readouterr().out == "added 15, changed 0, removed 0, kept 25\n"
    require_codes(path, arrays)


def test_other_images_are_encoded(index, arrays, encoded):
    save(arrays, open_dataset("mnist", "train", COUNT).images)
    assert run(index_images, "-i", index) == 0
    assert len(encoded) == COUNT
    require_codes(index, arrays)


def test_other_labels_are_taken_without_encoding(index, arrays, encoded):
    save(arrays, open_dataset("mnist", "test", COUNT).images, first_label=1)
    assert run(index_images, "-i", index) == 0
    assert encoded == []
    require_codes(index, arrays)
    assert load_index(index).engine.name == "HNSW8"


def test_labels_that_are_lost_are_told(index, arrays, capsys):
    images = open_dataset("mnist", "test", COUNT).images
    np.savez(arrays, x_train=images, y_train=np.arange(30))
    assert "30 labels for 40 images" in error_of(capsys, index_images, "-i", index)


def test_fewer_images_replace_those_before(index, arrays, encoded, capsys):
    save(arrays, open_dataset("mnist", "test", 9).images)
    capsys.readouterr()
    assert run(index_images, "-i", index, "-m", MODEL) == 0
    assert capsys.readouterr().out.startswith("added 0, changed 9, removed 31, kept 0")
    require_codes(index, arrays, count=9)


def test_another_model_encodes_all(tmp_path, index, arrays, encoded):
    other = tmp_path / "other.onnx"
    Encoder.from_onnx(MODEL).save_onnx(other, {"name": "mnist", "split": "test", "limit": 1})
    assert run(index_images, "-i", index, "-m", other) == 0
    assert len(encoded) == COUNT
    assert load_index(index).encoder.model == "other.onnx"


@pytest.mark.parametrize(("rebuild", "expected"), [(False, "hf:a/b@c#model.onnx"), (True, None)])
def test_a_model_on_the_hub_stays_at_its_commit(monkeypatch, stub_encoder, rebuild, expected):
    """Until a rebuild, though another model may encode an array anew without one."""
    made_with = []

    def find_model(flags, name):
        made_with.append(name)
        return SimpleNamespace(fingerprint=lambda: "another", open=lambda: stub_encoder)

    monkeypatch.setattr(choices, "find_model", find_model)
    index = SimpleNamespace(encoder=replace(stub_encoder, model="hf:a/b@c#model.onnx"))
    flags = ModelFlags("hf:a/b")
    assert choices.choose_encoder(index, flags, rebuild=rebuild, replace=True) is stub_encoder
    assert made_with == [expected]


def test_another_metric_keeps_the_codes(index, arrays, encoded):
    assert run(index_images, "-i", index, "--metric", "cosine") == 0
    assert encoded == []
    assert load_index(index).metric == "cosine"
    require_codes(index, arrays)


def test_a_rebuild_encodes_all(index, arrays, encoded):
    assert run(index_images, "-i", index, "-m", MODEL, "--rebuild") == 0
    assert len(encoded) == COUNT
