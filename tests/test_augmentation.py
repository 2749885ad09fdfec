import numpy as np
import pytest

from pyimagesearch.training.augmentations import augment


def test_flip_mirrors_about_half_of_the_images(random):
    images = np.zeros((400, 2, 3, 1), np.float32)
    images[:, :, 0] = 1
    flipped = augment(images, ["flip"], random)[:, 0, 2, 0] == 1
    assert 150 < flipped.sum() < 250


@pytest.mark.parametrize("channels", [1, 3])
def test_affine_moves_images_a_little_and_keeps_their_shape_and_range(random, channels):
    images = random.random((5, 32, 24, channels), dtype=np.float32)
    moved = augment(images, ["affine"], random)
    assert moved.shape == images.shape
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1.001
    assert 0 < np.abs(moved - images).mean() < 0.5


def test_affine_repeats_the_edge_instead_of_showing_black(random):
    white = np.ones((20, 16, 16, 3), np.float32)
    np.testing.assert_allclose(augment(white, ["affine"], random), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_changes():
    images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    runs = [augment(images, ["flip", "affine"], np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*runs)


def test_no_augmentation_changes_nothing(random):
    images = random.random((2, 4, 4, 1), dtype=np.float32)
    assert augment(images, [], random) is images
