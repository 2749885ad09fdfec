import gzip
import pickle
import struct

import numpy as np
import pytest

from pyimagesearch.datasets import builtin
from pyimagesearch.datasets.builtin import read_idx
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.transforms import InputSpec

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


def test_16_bit_and_float_images_reach_the_unit_range(npz):
    sixteen = npz(x_train=np.full((1, 2, 2), 65535, np.uint16))
    assert open_dataset(sixteen).read([0], InputSpec(2, 2, 1)).max() == 1
    floats = npz(x_train=np.full((1, 2, 2), 0.5))
    assert open_dataset(floats).read([0], InputSpec(2, 2, 1)).max() == 0.5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((1, 2, 2))}, "no array x_train, only images"),
        ({"x_train": np.zeros((4, 4), np.uint8)}, r"received \(4, 4\)"),
        ({"x_train": np.zeros((1, 4, 4, 2), np.uint8)}, r"received \(1, 4, 4, 2\)"),
        ({"x_train": np.zeros((0, 4, 4), np.uint8)}, r"received \(0, 4, 4, 1\)"),
        ({"x_train": np.zeros((1, 4, 4), np.int64)}, "unsigned or float type, received int64"),
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
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        _ = open_dataset(str(tmp_path / "none.npz")).images


def test_an_unknown_name_lists_what_is_known():
    with pytest.raises(ValueError, match=r"imagenet: expected mnist, fashion_mnist, cifar10"):
        open_dataset("imagenet")


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
