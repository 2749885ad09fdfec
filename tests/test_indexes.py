import pickle

import numpy as np
import pytest

from pyimagesearch.datasets.dataset import RowIds
from pyimagesearch.index.index import Index
from pyimagesearch.index.index_file import load_index, save_index


@pytest.fixture
def index(stub_encoder, random):
    codes = random.standard_normal((3, 4)).astype(np.float32)
    source = {"name": "mnist", "split": "train", "limit": 3}
    labels = np.array([5, 0, 4])
    return Index(codes, RowIds(3), labels, None, source, "cosine", stub_encoder)


def test_everything_comes_back(tmp_path, index):
    save_index(index, tmp_path / "index.pickle")
    loaded = load_index(tmp_path / "index.pickle")
    np.testing.assert_array_equal(loaded.codes, index.codes)
    assert list(loaded.ids) == ["0", "1", "2"]
    assert loaded.labels.tolist() == [5, 0, 4]
    assert (loaded.source, loaded.metric) == (index.source, "cosine")
    assert loaded.encoder.to_dict() == index.encoder.to_dict()


def test_the_tutorials_search_can_read_it(tmp_path, index):
    save_index(index, tmp_path / "index.pickle")
    data = pickle.loads((tmp_path / "index.pickle").read_bytes())
    assert data["indexes"] == [0, 1, 2]
    assert data["features"].dtype == np.float32
    # What the tutorial's perform_search does with it.
    assert np.linalg.norm(data["features"][0] - data["features"][0]) == 0
    assert len(data["features"]) == 3


def test_the_tutorials_index_can_be_read(tmp_path):
    data = {"indexes": list(range(2)), "features": np.eye(2, 16, dtype="float32")}
    (tmp_path / "index.pickle").write_bytes(pickle.dumps(data))
    index = load_index(tmp_path / "index.pickle")
    assert (list(index.ids), index.encoder, index.labels) == (["0", "1"], None, None)
    np.testing.assert_array_equal(index.codes, data["features"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.full((3, 4), np.nan, np.float32)}, "3 of its 3 codes hold NaN"),
        ({"features": np.zeros((3, 4), int)}, "expected features as floats"),
        ({"features": np.zeros(3, np.float32)}, r"received float32 \(3,\)"),
        ({"features": [[1.0]]}, "received list"),
        ({"features": np.array([[None] * 4] * 3)}, "received object"),
        ({"features": np.zeros((0, 4), np.float32)}, "holds no codes"),
        (
            {"features": np.zeros((3, 7), np.float32)},
            "codes have 7 dimensions, those of its encoder 4",
        ),
        ({"indexes": [0, 1]}, "a list of 3 indexes"),
        ({"indexes": 5}, "a list of 3 indexes"),
        ({"labels": np.zeros(9, int)}, "3 labels as whole numbers"),
        ({"labels": np.array(["a", "b", "c"])}, "3 labels as whole numbers"),
        ({"metric": "manhattan"}, "unknown metric manhattan"),
        ({"dataset": "mnist"}, "the dataset as name, split, limit"),
        ({"encoder": {"onnx": b""}}, "expected its encoder to hold onnx, spec"),
        ({"encoder": [1]}, "expected its encoder to hold"),
    ],
)
def test_an_inconsistent_index_is_refused_with_the_file_and_the_remedy(
    tmp_path, index, change, message
):
    path = tmp_path / "broken.pickle"
    save_index(index, path)
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), **change}))
    with pytest.raises(ValueError, match=message) as error:
        load_index(path)
    assert "broken.pickle" in str(error.value)
    assert "index_images.py" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1]), pickle.dumps({"a": 1})])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.pickle"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"foreign\.pickle.*index_images\.py"):
        load_index(path)


def test_a_missing_index_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pickle.*index_images\.py"):
        load_index(tmp_path / "none.pickle")


@pytest.mark.parametrize("name", ["index.pickle", "index.h5"])
def test_the_hash_of_the_codes_tells_them_from_others(tmp_path, index, name):
    save_index(index, tmp_path / name)
    first = load_index(tmp_path / name).codes_sha256
    blocks = [index.codes[:1], index.codes[1:]]
    save_index(index, tmp_path / name, blocks)
    assert load_index(tmp_path / name).codes_sha256 == first
    index.codes[1, 2] += 1e-3
    save_index(index, tmp_path / name)
    assert load_index(tmp_path / name).codes_sha256 != first
