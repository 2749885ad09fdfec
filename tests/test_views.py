import cv2
import faiss
import numpy as np
import pytest

from pyimagesearch.backend import keras
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import Batch
from pyimagesearch.decomposition.discriminant import discriminant
from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.evaluation.baselines import baseline_points
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.metric import normalise
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training import filters, views
from pyimagesearch.training.architectures import build
from pyimagesearch.training.filters import fit_filters
from pyimagesearch.training.patches import CONTRAST_EPSILON, SCALES
from pyimagesearch.training.views import fit_views

SPEC = InputSpec(28, 28, 1)


class Images:
    """A dataset of float32 images (n, h, w, c)."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def batches(self, spec, batch_size, rows):
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            yield Batch(part, self.images[part], [])


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(views, "PATCHES", 5_000)
    monkeypatch.setattr(views, "VIEWS", 1_000)


def test_a_response_is_the_cosine_of_a_whitened_patch_with_a_centroid_above_the_threshold(random):
    """As published: contrast normalisation, ZCA, K-means; grey patches keep all components."""
    model = build("patches", InputSpec(10, 10, 1), filters=[10], latent_dim=2)
    kinds = random.standard_normal((5, 36))[random.integers(0, 5, 3000)]
    noise = random.standard_normal((3000, 36))
    patches = (0.5 + 0.1 * kinds + 0.02 * noise).astype(np.float32)
    fit_filters(model, SCALES[0], patches, seed=0)

    def mirrored(patches):
        return patches.reshape(-1, 6, 6)[:, :, ::-1].reshape(-1, 36)

    def normal(patches):
        centred = patches - patches.mean(axis=1, keepdims=True)
        return centred / np.sqrt(centred.var(axis=1, keepdims=True) + CONTRAST_EPSILON)

    patches = np.concatenate([patches[::2], mirrored(patches[::2])])
    mean = normal(patches).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(normal(patches), rowvar=False, bias=True))
    zca = (vectors / np.sqrt(values + filters.WHITENING)) @ vectors.T
    whitened = ((normal(patches) - mean) @ zca).astype(np.float32)
    kmeans = faiss.Kmeans(36, 5, niter=15, seed=0, max_points_per_centroid=3000)
    kmeans.train(whitened)
    centroids = normalise(kmeans.centroids)
    turned = normalise(mirrored(centroids @ np.linalg.inv(zca)) @ zca)
    centroids = np.concatenate([centroids, turned]).T
    responses = np.maximum(whitened @ centroids - filters.THRESHOLD, 0)

    image = random.random((1, 10, 10, 1), np.float32)
    patch = image[0, 2:8, 4:10].reshape(1, 36)
    expected = np.maximum((normal(patch) - mean) @ zca @ centroids - filters.THRESHOLD, 0)
    output = keras.Model(model.input, model.get_layer("filters").output)(image)
    np.testing.assert_allclose(
        np.sort(np.asarray(output)[0, 1, 2]),
        np.sort(expected[0]) / (filters.CONTRAST * responses.mean()),
        rtol=1e-3,
        atol=1e-4,
    )
    assert expected.any()


def test_an_image_and_its_mirror_image_have_the_same_code(small, random):
    """The patches of both scales cover images of 34 pixels evenly, so that nothing is left out."""
    spec = InputSpec(34, 34, 3)
    coarse = random.random((40, 6, 6, 3), np.float32)
    images = np.stack(
        [cv2.resize(image, (34, 34), interpolation=cv2.INTER_LINEAR) for image in coarse]
    )
    model = build("patches", spec, filters=[20], latent_dim=8)
    assert fit_views(model, Images(images), spec, ("crop", "flip")) == ("crop", "flip")
    encode = encoder_of(model)
    codes, mirrored = (np.asarray(encode(part)) for part in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(codes, mirrored, atol=1e-3)
    fit_views(model, Images(images), spec, ("crop",))
    codes, mirrored = (np.asarray(encode(part)) for part in (images, images[:, :, ::-1]))
    assert np.abs(codes - mirrored).max() > 0.1


@pytest.mark.parametrize("augmentations", [(), ("flip",)])
def test_views_that_are_all_alike_give_codes_too(augmentations, small, random):
    images = random.random((30, 28, 28, 1), np.float32)
    model = build("patches", SPEC, filters=[8], latent_dim=4)
    fit_views(model, Images(images), SPEC, augmentations)
    codes = np.asarray(encoder_of(model)(images))
    assert np.isfinite(codes).all()
    assert np.linalg.matrix_rank(codes - codes.mean(axis=0)) == 4


def test_small_images_have_patches_of_one_scale():
    names = {
        side: {layer.name for layer in build("patches", InputSpec(side, side, 1)).layers}
        for side in (15, 16)
    }
    assert "filters_large" not in names[15]
    assert "filters_large" in names[16]


def test_a_discriminant_ignores_the_directions_in_which_views_differ(random):
    images = random.standard_normal((1, 200, 3)) * (3, 1, 2)
    noise = random.standard_normal((4, 200, 3)) * (3, 0.1, 0.1)
    matrix, bias = discriminant((images + noise + 5).astype(np.float32), 2)
    assert matrix.shape == (3, 2)
    between, within = (np.square(part @ matrix).sum(axis=2).mean() for part in (images, noise))
    assert within < 0.02 * between  # of the points themselves .63
    np.testing.assert_allclose((images[0] + 5) @ matrix + bias, images[0] @ matrix, atol=0.5)


def test_a_code_of_more_dimensions_than_there_are_directions_ends_with_zeros(random):
    points = random.standard_normal((3, 4, 6)).astype(np.float32)
    matrix, _ = discriminant(points, 10)
    assert matrix.shape == (6, 10)
    assert not matrix[:, 6:].any()


def test_codes_of_digits_retrieve_better_than_every_baseline(small):
    gallery, queries = (open_dataset("mnist", s, n) for s, n in (("train", 1000), ("test", 200)))
    model = build("patches", SPEC, filters=[100], latent_dim=32)
    assert fit_views(model, gallery, SPEC) == ("crop", "colour")
    images = [part.read(range(len(part)), SPEC) for part in (gallery, queries)]
    codes = [np.asarray(encoder_of(model)(part)) for part in images]
    np.testing.assert_allclose(np.linalg.norm(codes[0], axis=1), 1, rtol=1e-5)
    points = baseline_points(*images, 32)

    def precision(gallery_points, query_points):
        return evaluate(query_points, queries.labels, gallery_points, gallery.labels)["P@10"]

    own = precision(*codes)
    assert own > 0.88
    assert own > max(precision(each.gallery, each.queries) for each in points.values()) + 0.03


def test_the_same_seed_gives_the_same_weights(small):
    digits = open_dataset("mnist", "train", 100)
    models = [build("patches", SPEC, filters=[8], latent_dim=4) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit_views(model, digits, SPEC, seed=seed)
    first, again, other = (model.get_layer("linear").get_weights()[0] for model in models)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_images_that_are_mirrored_as_often_as_not_are_also_learned_mirrored(small, random):
    shapes = open_dataset("mnist", "train", 300).read(range(300), SPEC)
    mirrored = np.where(random.random(300)[:, None, None, None] < 0.5, shapes[:, :, ::-1], shapes)
    both = np.concatenate([shapes, shapes[:, :, ::-1], mirrored])
    model = build("patches", SPEC, filters=[50], latent_dim=8)
    assert fit_views(model, Images(both), SPEC) == ("crop", "colour", "flip")
    assert fit_views(model, Images(shapes), SPEC) == ("crop", "colour")
    assert fit_views(model, Images(shapes), SPEC, augmentations=("flip",)) == ("flip",)


@pytest.mark.parametrize("count", [2, 12])
def test_few_images_are_enough_and_grey_ones_may_be_stored_as_rgb(count, small, random):
    grey = np.repeat(random.random((count, 32, 32, 1), np.float32), 3, axis=3)
    spec = InputSpec(32, 32, 3)
    model = build("patches", spec, filters=[8], latent_dim=64)
    fit_views(model, Images(grey), spec)
    codes = np.asarray(encoder_of(model)(grey))
    assert np.isfinite(codes).all()
    distances = np.linalg.norm(codes[:, np.newaxis] - codes, axis=2) + 9 * np.eye(count)
    assert distances.min() > 0.1


def test_a_single_image_is_refused(small):
    model = build("patches", SPEC, filters=[8])
    with pytest.raises(ValueError, match="views needs 2 images or more, received 1"):
        fit_views(model, Images(np.zeros((1, 28, 28, 1), np.float32)), SPEC)


def test_images_that_are_all_the_same_are_refused(small, random):
    model = build("patches", SPEC, filters=[8])
    image = random.random((1, 28, 28, 1), np.float32)
    with pytest.raises(ValueError, match="the 4 images are all alike"):
        fit_views(model, Images(np.repeat(image, 4, axis=0)), SPEC)


def test_plain_images_are_refused(small):
    model = build("patches", SPEC, filters=[8])
    with pytest.raises(ValueError, match="all images are plain"):
        fit_views(model, Images(np.full((5, 28, 28, 1), 0.5, np.float32)), SPEC)
