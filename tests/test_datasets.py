import gzip
import pickle
import struct

import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.datasets import builtin
from pyimagesearch.datasets.builtin import read_idx
from pyimagesearch.datasets.catalog import (
    DEFAULT_SOURCE,
    SourceFlags,
    is_source,
    open_dataset,
    open_source,
    updated_source,
)
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.show.card import to_bgr

GREY = InputSpec(28, 28, 1)


def test_mnist_ships_whole():
    train, test = open_dataset("mnist", "train"), open_dataset("mnist", "test")
    assert (train.images.shape, train.images.dtype) == ((60000, 28, 28, 1), np.uint8)
    assert test.images.shape == (10000, 28, 28, 1)
    # The counts of each digit as LeCun's page gives them.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == counts
    assert test.labels[:3].tolist() == [7, 2, 1]
    # The mean squares of its pixels, which a published run reports as its losses.
    assert np.square(test.images / 255).mean() == pytest.approx(0.11396, abs=1e-5)


def test_images_are_read_by_row_as_floats_in_the_unit_range():
    dataset = open_dataset("mnist", "test", limit=5)
    images = dataset.read([4, 0], GREY)
    assert (images.shape, images.dtype) == ((2, 28, 28, 1), np.float32)
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_allclose(images[1], dataset.picture(0) / 255, rtol=1e-6)


def test_images_are_fitted_to_what_an_encoder_takes_in():
    images = open_dataset("mnist", "test").read([0, 1], InputSpec(32, 32, 3))
    assert images.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_limit_keeps_the_first_rows():
    dataset = open_dataset("mnist", "train", limit=10)
    assert len(dataset) == len(dataset.images) == len(dataset.labels) == 10
    assert list(dataset.ids) == [str(row) for row in range(10)]


def test_a_location_opens_the_same_rows_again():
    dataset = open_dataset("mnist", "test", limit=3)
    again = open_dataset(**dataset.source)
    np.testing.assert_array_equal(again.images, dataset.images)


def test_prefetching_changes_nothing_but_the_time():
    dataset = open_dataset("mnist", "test")
    dataset.prefetch()
    np.testing.assert_array_equal(dataset.images, open_dataset("mnist", "test").images)


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "my.npz", **arrays)
        return str(tmp_path / "my.npz")

    return write


def test_an_npz_file_is_a_dataset(npz, random):
    images = random.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    path = npz(x_train=images, x_test=images[:1], y_train=np.array([[3], [1], [2], [0]], np.uint8))
    train, test = open_dataset(path, "train"), open_dataset(path, "test")
    np.testing.assert_array_equal(train.images, images)
    assert train.labels.tolist() == [3, 1, 2, 0]
    assert test.labels is None
    assert (len(train), len(test)) == (4, 1)


BYTES = np.arange(256, dtype=np.int64).reshape(4, 8, 8)
# The same images in other types: what is 0, what is 255, and whether the range is a guess.
SAME = {
    "uint8": (BYTES.astype(np.uint8), False),
    "16 bits": ((BYTES * 257).astype(np.uint16), False),
    "16 bits, big-endian": ((BYTES * 257).astype(">u2"), False),
    "12 bits in 16": (np.round(BYTES / 255 * 4095).astype(np.uint16), True),
    "10 bits in 16": (np.round(BYTES / 255 * 1023).astype(np.uint16), True),
    "8 bits in 64": (BYTES, True),
    "32 bits": ((BYTES * 0x01010101).astype(np.uint32), False),
    "64 bits": (BYTES.astype(np.uint64) * np.uint64(0x0101010101010101), False),
    "signed 8 bits": ((BYTES - 128).astype(np.int8), False),
    "signed 16 bits": ((BYTES * 257 - 32768).astype(np.int16), False),
    "signed 12 bits in 16": (np.round(BYTES / 255 * 4095 - 2048).astype(np.int16), True),
    "signed 16 bits from 0": (np.round(BYTES / 255 * 32767).astype(np.int16), True),
    "float": (BYTES / 255, False),
    "half": ((BYTES / 255).astype(np.float16), False),
}


@pytest.mark.parametrize("kind", SAME)
def test_images_of_any_type_have_the_same_values(kind, npz, caplog):
    images, guessed = SAME[kind]
    dataset = open_dataset(npz(x_train=images))
    read = dataset.read(range(4), InputSpec(8, 8, 1))[..., 0]
    np.testing.assert_allclose(read, BYTES / 255, atol=0.0006)
    shown = to_bgr(dataset.picture(1))[..., 0]
    assert abs(shown.astype(int) - BYTES[1]).max() <= 1
    messages = [record.getMessage() for record in caplog.records]
    assert [m for m in messages if "is read as black" not in m] == []
    assert bool(messages) == guessed


def test_booleans_are_black_and_white(npz):
    dataset = open_dataset(npz(x_train=BYTES > 100))
    assert dataset.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.images[..., 0], (BYTES > 100) * 255)


def test_the_scale_does_not_depend_on_the_split_the_limit_or_one_image(npz):
    dark = np.full((3, 2, 2), 100, np.uint16)
    path = npz(x_train=np.append(dark, [[[4000, 0], [0, 0]]], axis=0), x_test=dark)
    expected = pytest.approx(100 / 4095)
    for options in ({}, {"limit": 1}, {"split": "test"}):
        images = open_dataset(path, **options).read([0], InputSpec(2, 2, 1))
        assert images.max() == expected, options


def test_a_folder_of_the_name_of_a_built_in_dataset_is_given_with_its_path(
    tmp_path, monkeypatch, caplog
):
    fill(tmp_path, "mnist/a.png")
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    assert open_dataset("mnist", "test", 5).images.shape == (5, 28, 28, 1)
    assert "for the folder, give ./mnist" in caplog.text
    assert open_dataset("./mnist").ids == ["a.png"]
    assert open_dataset(**updated_source(DEFAULT_SOURCE, SourceFlags(["./mnist"]))).ids == ["a.png"]


def test_the_images_of_an_npz_file_are_identified_by_their_content(npz):
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    path = npz(x_train=images, x_test=images[:1])
    source = open_dataset(path, limit=2).source
    assert open_source(source, False).source == source
    assert open_dataset(path, "test").source["digest"] != source["digest"]
    npz(x_train=images[::-1])
    with pytest.raises(ValueError, match=r"my\.npz have changed since they were indexed"):
        open_source(source, False)
    assert open_dataset(**source).images[0].max() == 11  # to be indexed again
    np.savez_compressed(path, x_train=images, y_train=np.zeros(3, int))
    assert open_source(source, False).source == source
    assert "digest" not in open_dataset("mnist").source


def test_a_source_is_updated_by_what_is_given():
    source = {"name": "a", "split": "test", "limit": 5, "exclude": ["x"], "digest": "crc32:0:0"}
    assert updated_source(source, SourceFlags()) == source
    assert updated_source(source, SourceFlags(limit=9))["limit"] == 9
    assert updated_source(source, SourceFlags(exclude=[]))["exclude"] == []
    assert updated_source(source, SourceFlags(["mnist"])) == {
        **{"name": "mnist", "split": "test", "limit": 5}
    }


def test_flags_of_folders_are_refused_for_arrays():
    with pytest.raises(ValueError, match="are for folders of pictures, not mnist"):
        open_dataset("mnist", exclude=["*.tiff"])


def test_several_folders_become_one_source(tmp_path):
    fill(tmp_path, "cam/1.png", "cam-2/1.png", "cam/sub/2.png", "more/deep/3.png")
    names = [str(tmp_path / name) for name in ("more/deep", "cam", "cam-2", "cam/sub")]
    source = updated_source(DEFAULT_SOURCE, SourceFlags(names))
    assert source["name"] == str(tmp_path)
    assert source["folders"] == ["cam", "cam-2", "more/deep"]
    dataset = open_dataset(**source)
    assert dataset.ids == ["cam-2/1.png", "cam/1.png", "cam/sub/2.png", "more/deep/3.png"]
    assert dataset.source == source
    assert updated_source(source, SourceFlags(names[1:2])) == {**DEFAULT_SOURCE, "name": names[1]}
    nested = updated_source(DEFAULT_SOURCE, SourceFlags(names[1::2]))
    assert nested["name"] == names[1]  # one holds the other
    with pytest.raises(ValueError, match="mnist is not a folder: of several datasets"):
        updated_source(DEFAULT_SOURCE, SourceFlags([names[0], "mnist"]))


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"folders": ["a"], "exclude": ["b"], "truncated": True, "digest": "c"}, True),
        ({"limit": 3}, True),
        ({"limit": 0}, False),
        ({"limit": True}, False),
        ({"name": None}, False),
        ({"split": "both"}, False),
        ({"folders": "a"}, False),
        ({"exclude": [1]}, False),
        ({"truncated": 1}, False),
        ({"digest": 5}, False),
        ({"other": 1}, False),
    ],
)
def test_a_source_from_a_file_is_checked(change, good):
    assert is_source({**DEFAULT_SOURCE, **change}) == good
    assert not is_source(list(DEFAULT_SOURCE))
    assert not is_source({"name": "mnist"})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((1, 2, 2))}, "no array x_train, only images"),
        ({"x_train": np.zeros((4, 4), np.uint8)}, r"received \(4, 4\)"),
        ({"x_train": np.zeros((1, 4, 4, 2), np.uint8)}, r"received \(1, 4, 4, 2\)"),
        ({"x_train": np.zeros((0, 4, 4), np.uint8)}, r"received \(0, 4, 4, 1\)"),
        ({"x_train": np.zeros((1, 4, 4), np.complex64)}, "of numbers, received complex64"),
        ({"x_train": np.full((1, 4, 4), "a")}, "of numbers, received <U1"),
        ({"x_train": np.full((1, 4, 4), 255.0)}, r"in \[0, 1\], received \[255.0, 255.0\]"),
        ({"x_train": np.full((1, 4, 4), np.nan)}, "received .nan, nan"),
    ],
)
def test_a_malformed_npz_is_refused_with_what_was_received(npz, arrays, message):
    with pytest.raises(ValueError, match=message):
        _ = open_dataset(npz(**arrays)).images


def test_labels_must_be_one_whole_number_an_image(npz):
    images = np.zeros((3, 4, 4), np.uint8)
    for labels in (np.array([0.5, 1, 2]), np.zeros((3, 10), int), np.zeros(2, int)):
        with pytest.raises(ValueError, match="label"):
            _ = open_dataset(npz(x_train=images, y_train=labels)).images


def test_labels_below_0_stand_for_none(npz):
    labels = np.array([3, -1, -7, 0], np.int8)
    dataset = open_dataset(npz(x_train=BYTES[:4], y_train=labels))
    assert dataset.labels.tolist() == [3, -1, -1, 0]
    path = npz(x_train=BYTES[:4], y_train=np.full(4, 2**63, np.uint64))
    with pytest.raises(
        ValueError, match=r"expected labels below 2\^63, received 9223372036854775808"
    ):
        _ = open_dataset(path).labels


def test_an_npz_file_without_test_images_has_none(npz):
    assert open_dataset(npz(x_train=BYTES)).test_split() is None
    assert len(open_dataset(npz(x_train=BYTES, x_test=BYTES[:1])).test_split()) == 1


def test_an_npz_with_objects_is_refused_without_unpickling_them(npz, tmp_path):
    class Planted:
        def __reduce__(self):
            return open, (str(tmp_path / "planted"), "w")

    path = npz(x_train=np.array([Planted()], dtype=object))
    with pytest.raises(ValueError, match=r"my\.npz"):
        _ = open_dataset(path).images
    assert not (tmp_path / "planted").exists()


def test_a_broken_or_missing_npz_is_named(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match=r"broken\.npz"):
        _ = open_dataset(str(tmp_path / "broken.npz")).images
    (tmp_path / "text.npz").write_text("a,b,c")
    with pytest.raises(ValueError, match="it is not a zip archive of arrays"):
        _ = open_dataset(str(tmp_path / "text.npz")).images
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        _ = open_dataset(str(tmp_path / "none.npz")).images


def test_an_unknown_name_lists_what_is_known():
    with pytest.raises(ValueError, match=r"imagenet: expected mnist, fashion_mnist, cifar10"):
        open_dataset("imagenet")


def test_a_file_that_is_no_dataset_is_not_answered_with_its_neighbour(tmp_path):
    for name in ("p1.png", "p10.png"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"^a file, not a folder: .*p1\.png: .* or a folder$"):
        open_dataset(str(tmp_path / "p1.png"))


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_an_idx_file_is_read_gzipped_or_not(tmp_path, random):
    array = random.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "zipped.gz").write_bytes(gzip.compress(idx(array)))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain"), array)
    np.testing.assert_array_equal(read_idx(tmp_path / "zipped.gz"), array)


def test_a_cut_idx_file_is_refused_at_any_length(tmp_path):
    whole = idx(np.zeros((2, 3), np.uint8))
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut"):
            read_idx(tmp_path / "cut")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(ValueError, match="gzip"):
        read_idx(tmp_path / "cut.gz")


@pytest.fixture
def no_downloads(tmp_path, monkeypatch):
    """An empty Keras cache, no Debian packages, and a Keras that is offline."""
    from pyimagesearch.backend import keras

    def offline():
        raise Exception("URL fetch failure: name resolution")

    for name in ("fashion_mnist", "cifar10"):
        monkeypatch.setattr(getattr(keras.datasets, name), "load_data", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(builtin, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    return tmp_path / "datasets"


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_offline_the_error_says_where_to_put_the_files(no_downloads, name):
    with pytest.raises(
        OSError, match=rf"{name} is not on this machine.*put .* into {no_downloads}"
    ):
        _ = open_dataset(name).images


@pytest.mark.parametrize("where", ["keras", "debian"])
def test_fashion_mnist_is_read_from_where_it_lies(no_downloads, monkeypatch, where):
    folder = no_downloads / "fashion-mnist"
    if where == "debian":
        folder = no_downloads / "debian"
        monkeypatch.setattr(builtin, "DEBIAN_FASHION_MNIST", folder)
    folder.mkdir(parents=True)
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        labels = gzip.compress(idx(np.array([9, 0], np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    dataset = open_dataset("fashion_mnist", "test")
    np.testing.assert_array_equal(dataset.images[..., 0], images)
    assert dataset.labels.tolist() == [9, 0]


def test_cifar10_is_read_from_keras_cache_as_rgb(no_downloads):
    folder = no_downloads / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    data = np.zeros((2, 3, 32, 32), np.uint8)
    data[0, 0] = 200  # the first picture is red
    batch = {b"data": data.reshape(2, -1), b"labels": [6, 9]}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))
    train, test = open_dataset("cifar10", "train"), open_dataset("cifar10", "test")
    assert train.images.shape == (10, 32, 32, 3)
    assert test.images[0, 0, 0].tolist() == [200, 0, 0]
    assert test.labels.tolist() == [6, 9]


def test_a_split_puts_every_image_with_its_label_into_one_part():
    dataset = open_dataset("mnist", "train", 200)
    training, validation = dataset.split(0.1, seed=3)
    assert (len(training), len(validation)) == (180, 20)
    parts = np.concatenate([training.images, validation.images])
    whole = {
        image.tobytes(): label for image, label in zip(dataset.images, dataset.labels, strict=True)
    }
    labels = np.concatenate([training.labels, validation.labels])
    assert {image.tobytes(): label for image, label in zip(parts, labels, strict=True)} == whole
    again = dataset.split(0.1, seed=3)[1]
    np.testing.assert_array_equal(again.images, validation.images)
    assert (dataset.split(0.1, seed=4)[1].images != validation.images).any()
    assert validation.source == dataset.source


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_no_part_of_a_split_is_empty(fraction):
    assert all(len(part) for part in open_dataset("mnist", "train", 3).split(fraction))


def test_one_image_cannot_be_split():
    with pytest.raises(ValueError, match="training needs 2"):
        open_dataset("mnist", "train", 1).split(0.5)


def test_ids_of_an_array_are_its_row_numbers_and_nothing_else():
    digits = open_dataset("mnist", "test", 30)
    wanted = ["7", "29", "30", "07", "-1", "²", "٣", "9" * 5000, "", "x"]
    assert [id for id in wanted if id in digits.ids] == ["7", "29"]
    assert digits.subset(np.array([5, 29])).ids == ["5", "29"]
    assert digits.with_ids(digits.ids) is digits
    assert digits.with_ids(["29", "5"]).ids == ["29", "5"]


def test_an_array_of_a_few_bytes_in_its_file_does_not_take_gigabytes(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", x_train=np.zeros((100, 100, 100), np.uint8))
    path = str(tmp_path / "zeros.npz")
    assert len(open_dataset(path).images) == 100
    monkeypatch.setattr(builtin, "LARGE", 900_000)
    with pytest.raises(ValueError, match="its x_train is compressed further than pictures can be"):
        _ = open_dataset(path).images


def test_a_single_number_is_no_array_of_labels(npz):
    path = npz(x_train=np.zeros((5, 8, 8), np.uint8), y_train=np.int64(3))
    with pytest.raises(ValueError, match="expected one integer label for each image"):
        _ = open_dataset(path).labels
