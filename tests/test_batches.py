import numpy as np
import pytest

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Batch
from pyimagesearch.encoders.keras_network import encode_with_network
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.batches import Batches

SPEC = InputSpec(28, 28, 1)


def batches(limit=96, seed=None, **settings):
    return Batches(open_dataset("mnist", "train", limit), SPEC, 32, seed, **settings)


def test_each_epoch_has_every_image_once_in_a_new_order():
    data = batches(70, seed=1)
    orders = []
    for _ in range(2):
        assert [len(data[i][0]) for i in range(len(data))] == [32, 32, 6]
        orders.append(data.order.tolist())
        data.on_epoch_end()
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(70))
    assert orders[0] != orders[1]


def test_skipping_epochs_gives_the_batches_of_the_later_epoch():
    slow, quick = (batches(seed=1, augmentations=["affine"]) for _ in range(2))
    for _ in range(3):
        slow.on_epoch_end()
    quick.skip_epochs(3)
    np.testing.assert_array_equal(slow[1][0], quick[1][0])


def test_the_target_is_the_augmented_image():
    images, targets = batches(seed=1, augmentations=["affine"])[0]
    np.testing.assert_array_equal(images, targets)


def test_noise_is_added_to_the_images_and_not_to_the_targets():
    data = batches(noise=0.3)
    images, targets = data[0]
    np.testing.assert_array_equal(targets, data.dataset.read(range(32), SPEC))
    assert images.min() >= 0
    assert images.max() <= 1
    black = targets == 0
    # Half of a normal of standard deviation 0.3 is cut off at 0: the rest has the mean 0.12.
    assert images[black].mean() == pytest.approx(0.12, abs=0.01)


def test_targets_are_shuffled_with_their_rows():
    data = batches(seed=1, targets=np.arange(96))
    np.testing.assert_array_equal(data[0][1], data.order[:32])


class Halves:
    """A dataset in which every other image cannot be read; the pixels of an image are its row."""

    reader_threads = 0

    def __len__(self):
        return 10

    def read_good(self, rows, spec):
        good = np.array([row for row in rows if row % 2], int)
        images = np.ones((len(good), *spec.shape), np.float32) * good.reshape(-1, 1, 1, 1)
        return Batch(good, images, [])


class Mean:
    """A network whose code is the first pixel."""

    def __call__(self, images, training):
        return images[:, 0, 0]


def test_files_are_read_by_the_threads_that_the_dataset_asks_for():
    class Files(Halves):
        reader_threads = 2

    assert [Batches(kind(), SPEC, 4).workers for kind in (Halves, Files)] == [0, 2]


def test_targets_and_codes_match_their_images_where_others_cannot_be_read():
    images, targets = Batches(Halves(), SPEC, 4, targets=np.arange(10))[1]
    np.testing.assert_array_equal(images[:, 0, 0, 0], targets)
    rows, codes = encode_with_network(Mean(), Halves(), SPEC, np.arange(10), batch_size=3)
    assert rows.tolist() == codes[:, 0].tolist() == [1, 3, 5, 7, 9]


def test_a_batch_is_never_empty_and_no_readable_image_is_an_error():
    class OnlyLast(Halves):
        def read_good(self, rows, spec):
            return super().read_good([row for row in rows if row == 9], spec)

    assert len(Batches(OnlyLast(), SPEC, 4)[0][0]) == 1
    with pytest.raises(ValueError, match="none of the pictures can be read"):
        encode_with_network(Mean(), Halves(), SPEC, np.arange(0, 10, 2))
