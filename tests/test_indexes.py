import pickle

import h5py
import numpy as np
import pytest

from pyimagesearch import files
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import FILE_STATS, RowIds
from pyimagesearch.indexes.index_file import load_index, save_index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.pictures.input_spec import InputSpec


@pytest.fixture
def index(stub_encoder, random):
    codes = random.standard_normal((3, 4)).astype(np.float32)
    source = {"name": "mnist", "split": "train", "limit": 3}
    labels = np.array([5, 0, 4])
    return LocalIndex(codes, RowIds(3), labels, None, source, "cosine", stub_encoder)


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


def test_labels_of_a_part_of_mnist_are_those_of_its_rows():
    index = LocalIndex(np.eye(2, 16, dtype="float32"), ["5", "9"])
    index.pictures()
    assert index.labels.tolist() == open_dataset("mnist").labels[[5, 9]].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.full((3, 4), np.nan, np.float32)}, "3 of its 3 codes hold NaN"),
        ({"features": np.zeros((3, 4), int)}, "expected features as floats"),
        ({"features": np.zeros(3, np.float32)}, r"received float32 \(3,\)"),
        ({"features": [[1.0]]}, "received list"),
        ({"features": np.array([[None] * 4] * 3)}, "values that are not numbers"),
        ({"features": np.zeros((0, 4), np.float32)}, "holds no codes"),
        (
            {"features": np.zeros((3, 7), np.float32)},
            "codes have 7 dimensions, those of its encoder 4",
        ),
        ({"indexes": [0, 1]}, "a list of 3 indexes"),
        ({"indexes": 5}, "a list of 3 indexes"),
        ({"labels": np.zeros(9, int)}, "3 labels as whole numbers"),
        ({"labels": np.array(["a", "b", "c"])}, "values that are not numbers"),
        ({"metric": "manhattan"}, "expected the metric euclidean or cosine, received 'manhattan'"),
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


# --- indexes from elsewhere


@pytest.mark.parametrize("name", ["index.pickle", "index.h5"])
@pytest.mark.parametrize("id", ["../../etc/x", "/etc/passwd", "a/../../x", "", "a\0b", ".."])
def test_ids_that_lead_outside_the_folder_are_refused(tmp_path, index, name, id):
    index.ids, index.file_stats = ["a.png", id, "b.png"], np.zeros(3, FILE_STATS)
    if name == "index.h5" and "\0" in id:
        pytest.skip("HDF5 ends text at a zero byte")
    save_index(index, tmp_path / name)
    with pytest.raises(ValueError, match="which is outside its folder"):
        list(load_index(tmp_path / name).ids)


def test_names_with_dots_are_not_taken_for_paths_outside(tmp_path, index):
    index.ids, index.file_stats = ["..a.png", "a../b..png", "c/...png"], np.zeros(3, FILE_STATS)
    for name in ("index.pickle", "index.h5"):
        save_index(index, tmp_path / name)
        assert list(load_index(tmp_path / name).ids) == index.ids


@pytest.mark.parametrize("kind", ["link", "soft link", "storage", "virtual", "huge"])
def test_an_hdf5_index_never_opens_other_files(tmp_path, index, kind):
    path, secret = tmp_path / "index.h5", tmp_path / "secret.h5"
    index.labels = None
    save_index(index, path)
    with h5py.File(secret, "w") as file:
        file["labels"] = np.arange(3)
    with h5py.File(path, "a") as file:
        if kind == "link":
            file["labels"] = h5py.ExternalLink(secret, "labels")
        elif kind == "soft link":
            file["labels"] = h5py.SoftLink("/features")
        elif kind == "storage":
            file.create_dataset("labels", 3, "i8", external=[(str(secret), 0, 24)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(3, "i8")
            layout[:] = h5py.VirtualSource(secret, "labels", 3)
            file.create_virtual_dataset("labels", layout)
        else:
            file.create_dataset("labels", 10**12, "i8", chunks=True)
        data = file.attrs["pyimagesearch"]
        file.attrs["pyimagesearch"] = data.replace('"format": 2, ', "")  # without a checksum
    with pytest.raises(ValueError, match=r"other file|another file|larger than the file"):
        load_index(path)


def with_one_name(path, name, count):
    """Write an HDF5 index whose `count` ids are all one text of the file."""
    with h5py.File(path, "w") as file:
        file.attrs["pyimagesearch"] = "{}"
        names = file.create_dataset("names", count, h5py.string_dtype())
        names[:] = [name, *["b"] * (count - 1)]
        file["features"] = np.ones((count, 2), np.float32)
        place = names.id.get_offset()
    data = bytearray(path.read_bytes())
    data[place : place + 16 * count] = data[place : place + 16] * count
    path.write_bytes(data)


@pytest.mark.parametrize("length", [100_000, 50_000])  # too long, and too long in all
def test_ids_that_share_one_long_text_are_refused_before_they_are_read(tmp_path, length):
    path = tmp_path / "index.h5"
    with_one_name(path, "a" * length, 6000)
    ids = load_index(path).ids
    reads = [lambda: list(ids), lambda: ids.many(np.arange(600)), lambda: ids.many(np.arange(90))]
    for read in reads if length > 65_536 else reads[:2]:
        with pytest.raises(ValueError, match=rf"index\.h5: it has ids of up to {length:,} bytes"):
            read()


def test_ids_that_share_one_short_text_are_read(tmp_path):
    with_one_name(tmp_path / "index.h5", "a.png", 6)
    ids = load_index(tmp_path / "index.h5").ids
    assert list(ids) == ids.many(np.arange(6)) == ["a.png"] * 6
    assert ids[3] == "a.png"


@pytest.mark.parametrize("kind", ["attribute", "labels", "fixed names", "names in chunks"])
def test_text_whose_length_an_index_does_not_bound_is_refused(tmp_path, kind):
    path = tmp_path / "index.h5"
    with_one_name(path, "a.png", 6)
    with h5py.File(path, "a") as file:
        if kind == "attribute":
            file.attrs["pyimagesearch"] = np.array(["{}", "{}"], object)
        elif kind == "labels":
            file.create_dataset("labels", data=["a"] * 6, dtype=h5py.string_dtype())
        elif kind == "fixed names":
            del file["names"]
            file["names"] = np.array([b"a.png"] * 6)
        else:
            del file["names"]
            file.create_dataset(
                "names", data=["a"] * 6, dtype=h5py.string_dtype(), chunks=(3,), maxshape=(None,)
            )
    with pytest.raises(ValueError, match=r"single value|not hold numbers|not text|stores them"):
        load_index(path)


@pytest.mark.parametrize(
    "value",
    [
        "[" * (files.MAX_TEXT + 1),
        np.arange(3),
        h5py.Empty("S9"),
        5,
        "[" * 100_000,
    ],
    ids=["long", "numbers", "empty", "number", "nested"],
)
def test_the_settings_of_an_hdf5_index_are_one_short_text(value, tmp_path):
    path = tmp_path / "index.h5"
    with_one_name(path, "a.png", 6)
    with h5py.File(path, "a") as file:
        file.attrs["pyimagesearch"] = value
    with pytest.raises(ValueError, match="cannot use the index") as error:
        load_index(path)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("names", [["a" * 4097], ["a" * 4000] * 9000], ids=["one", "all"])
@pytest.mark.parametrize("name", ["index.pickle", "index.h5"])
def test_names_of_labels_have_a_limit(name, names, tmp_path, index):
    path = tmp_path / name
    index.labels = np.zeros(3, np.int64)
    index.label_names = names
    if name == "index.h5" and len(names) > 1:
        with pytest.raises(ValueError, match="names of its 9,000 labels have more than"):
            save_index(index, path)
        assert not path.exists()
        return
    save_index(index, path)
    with pytest.raises(ValueError, match="label names of at most 4,096 characters"):
        load_index(path)


@pytest.mark.parametrize(
    "spec",
    [
        {"height": 10**9},
        {"width": 4097},
        {"height": 10**5000},
        {"height": True},
        {"channels": True},
        {"channels": 3.0},
        {"fit": ["crop"] * 1000},
        {"resampling": {"filter": "box", "size": [10**9]}},
        {"resampling": {"filter": ["box"] * 1000, "size": [9] * 1000}},
        {"other": ["x"] * 1000},
    ],
)
def test_images_of_any_size_that_a_file_states_are_refused_in_one_line(spec):
    with pytest.raises(ValueError, match="expected") as error:
        InputSpec.from_dict({"height": 28, "width": 28, "channels": 1, **spec})
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("name", ["index.pickle", "index.h5"])
def test_a_changed_byte_is_found_wherever_it_is(tmp_path, index, name):
    path = tmp_path / name
    save_index(index, path)
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 50):
        changed = bytearray(data)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"damaged|not a complete|larger than"):
            load_index(path)
    path.write_bytes(data[:-60])
    with pytest.raises(ValueError, match="index_images"):
        load_index(path)


@pytest.mark.parametrize("source", [{"name": 5}, {"split": "all"}, {"limit": -1}, {"limit": "9"}])
def test_a_source_of_other_types_is_refused(tmp_path, index, source):
    index.source |= source
    save_index(index, tmp_path / "index.pickle")
    with pytest.raises(ValueError, match="the dataset as name, split, limit"):
        load_index(tmp_path / "index.pickle")


def test_an_index_whose_ids_are_one_text_many_times_is_refused(tmp_path, index):
    path = tmp_path / "index.pickle"
    index.ids = ["a" * 200_000] * 3
    index.labels = None
    index.file_stats = np.zeros(3, FILE_STATS)
    save_index(index, path)
    with pytest.raises(ValueError, match="its ids are longer than the file"):
        load_index(path)
