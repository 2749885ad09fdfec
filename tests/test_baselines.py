import cv2
import numpy as np
import pytest

from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.evaluation.baselines import (
    BASELINES,
    baseline_points,
    colour_histograms,
    oriented_gradients,
    reduced,
)
from pyimagesearch.evaluation.copies import COPIES, cropped, make_copies, recompressed, turned
from pyimagesearch.pictures.input_spec import InputSpec


def plain(*colours, side=8):
    return np.stack([np.full((side, side, 3), colour, np.float32) for colour in colours])


def test_a_histogram_counts_the_colours_of_an_image():
    """Of 8 hues of 45 degrees, red is in the first and blue, 240 degrees, in the sixth."""
    image = plain((1, 0, 0))
    image[0, :2] = (0, 0, 1)
    [code] = colour_histograms(image) ** 2
    histogram = code.reshape(8, 4, 4)
    assert histogram[0, 3, 3] == pytest.approx(0.75)
    assert histogram[5, 3, 3] == pytest.approx(0.25)
    assert code.sum() == pytest.approx(1)


def test_the_distance_of_histograms_is_that_of_hellinger():
    images = plain((1, 0, 0), (0, 0, 1), (1, 0, 0))
    images[2, :4] = (0, 0, 1)
    red, blue, half = colour_histograms(images)
    assert np.linalg.norm(red - blue) == pytest.approx(np.sqrt(2))
    assert np.linalg.norm(red - half) == pytest.approx(np.sqrt(2 - np.sqrt(2)))


@pytest.mark.parametrize(
    ("shape", "length"), [((32, 32, 3), 324), ((28, 28, 1), 144), ((8, 8, 1), 9)]
)
def test_gradients_are_counted_by_their_angle(shape, length, random):
    assert oriented_gradients(random.random((2, *shape), np.float32)).shape == (2, length)
    assert not oriented_gradients(np.ones((1, *shape), np.float32)).any()
    ramp = np.linspace(0, 1, shape[0], dtype=np.float32)
    for angle, expected in ((0, 0), (90, 4.5), (40, 2)):
        direction = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        image = ramp * direction[0] + ramp[:, np.newaxis] * direction[1]
        [code] = oriented_gradients(np.repeat(image[np.newaxis, ..., np.newaxis], shape[2], axis=3))
        bins = code.reshape(-1, 9).sum(axis=0)
        assert bins @ np.arange(9) / bins.sum() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 20, 3)])
def test_images_smaller_than_a_cell_have_gradients_too(shape):
    width = shape[1]
    images = np.zeros((2, *shape), np.float32)
    images[1, :, width // 2 :] = 1
    codes = oriented_gradients(images)
    assert not codes[0].any()
    assert codes[1].any() == (width > 1)


def test_gradients_do_not_change_with_the_contrast(random):
    images = random.random((3, 32, 32, 1), np.float32)
    codes = oriented_gradients(images)
    np.testing.assert_allclose(oriented_gradients(images / 2 + 0.3), codes, atol=1e-3)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_principal_components_are_those_of_the_singular_values(shape, random):
    points = random.standard_normal(shape).astype(np.float32) * np.linspace(1, 3, shape[1])
    found = principal_components(points.astype(np.float32), 3)
    _, values, vectors = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.variances, values[:3] ** 2 / len(points), rtol=1e-4)
    np.testing.assert_allclose(np.abs(vectors[:3] @ found.components), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(found.project(points).var(axis=0), found.variances, rtol=1e-3)


def test_there_are_no_more_components_than_directions(random):
    flat = random.standard_normal((20, 2)) @ random.standard_normal((2, 7))
    assert principal_components(flat.astype(np.float32), 5).components.shape == (7, 2)
    assert principal_components(np.ones((4, 3), np.float32), 2).components.shape == (3, 0)


@pytest.mark.parametrize("count", [20, 300, 50_000])
def test_how_many_components_there_are_does_not_depend_on_the_number_of_points(count, random):
    deviations = np.array([1, 0.1, 0.01, 0.01, 0])
    points = (random.standard_normal((count, 5)) * deviations + 3).astype(np.float32)
    found = principal_components(points, 5)
    assert found.components.shape == (5, 4)
    np.testing.assert_allclose(found.variances[:2], [1, 0.01], rtol=1)
    np.testing.assert_allclose(found.project(points).var(axis=0), found.variances, rtol=0.05)


def test_large_images_are_compared_at_32_pixels():
    assert reduced(InputSpec(224, 20, 3)).shape == (32, 20, 3)
    assert reduced(InputSpec(28, 28, 1)).shape == (28, 28, 1)


def test_every_baseline_finds_an_image_itself_and_colour_needs_rgb(random):
    images = random.random((12, 32, 32, 3), np.float32)
    points = baseline_points(images, images, 4)
    assert [name.rsplit(", ", 1)[0] for name in points] == list(BASELINES)
    assert [of_one.metric for of_one in points.values()] == [
        *("euclidean", "euclidean", "cosine", "euclidean", "euclidean")
    ]
    for gallery, queries, _ in points.values():
        assert gallery.dtype == queries.dtype == np.float32
        distances = np.linalg.norm(gallery[:, np.newaxis] - queries, axis=2)
        assert distances.argmin(axis=0).tolist() == list(range(12))
    assert not any("HSV" in name for name in baseline_points(images[..., :1], images[..., :1], 4))


def test_copies_are_turned_cropped_and_recompressed():
    image = np.zeros((32, 32, 1), np.float32)
    image[9:23, 9:23] = 0.8
    for change in (turned, cropped, recompressed):
        copy = change(image)
        assert copy.shape == image.shape
        assert copy.dtype == np.float32
        assert 0 < np.abs(copy - image).mean() < 0.1
    assert cropped(image).sum() == pytest.approx(image.sum() / 0.81, rel=0.05)
    bar = np.zeros((32, 32, 1), np.float32)
    bar[14:18, 4:28] = 1
    moments = cv2.moments(turned(bar)[..., 0])
    angle = np.degrees(0.5 * np.arctan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"]))
    assert abs(angle) == pytest.approx(10, abs=1)


def test_copies_come_kind_after_kind(random):
    images = random.random((2, 16, 16, 3), np.float32)
    copies = make_copies(images)
    assert len(copies) == 2 * len(COPIES)
    np.testing.assert_array_equal(copies[3], cropped(images[1]))
