"""Codes without labels or gradients, which ignore how views of one image differ.

The weights of the architecture `patches` are computed in three steps. K-means clusters whitened
patches (Coates, Ng and Lee, 2011). Principal components reduce the features. A linear discriminant
then keeps the directions in which images vary most, compared with random views of one image
(cropped, recoloured, mirrored) and with its nearest neighbours: Fisher's discriminant (1936), with
each image as a class of its own.
"""

import logging
from functools import partial

import numpy as np
from tqdm import tqdm

from pyimagesearch.backend import keras
from pyimagesearch.datasets.transforms import augment
from pyimagesearch.metric import normalise
from pyimagesearch.models.patches import CONTRAST_EPSILON, PATCH
from pyimagesearch.pca import principal_components
from pyimagesearch.search.factory import build_engine
from pyimagesearch.training.diffusion_map import nearest_rows, shared_neighbours

logger = logging.getLogger(__name__)

BATCH = 250  # images
SAMPLE = 10_000  # images that all statistics are computed from
VIEWS = 20_000  # at least 2 of an image
PATCHES = 100_000
WHITENING = 0.1  # added to the variances of patches of variance 1
THRESHOLD = 0.5  # of the cosine between a patch and a filter, below which there is no response
CONTRAST = 2  # the mean response, which softsign maps to a third, is 1 / CONTRAST
FEATURES = 1024  # principal components of the features that are kept
RIDGE = 2.0  # added to the variances within views, as a multiple of their mean
NEIGHBOURS = 20
NEIGHBOUR_WEIGHT = 1.0  # of the differences between neighbours, where those of views have 1
EXPONENT = 0.25  # of the ratios of variances that the directions are multiplied by
MIRRORED = 1.1  # ratio of distances up to which mirror images count as images of the same kind


def fit_views(autoencoder, dataset, spec, augmentations=None, seed=42):
    """Compute the encoder's weights of a Keras network of the architecture `patches`.

    `spec` is the InputSpec of the network. `augmentations` are the names of the random changes that
    make a view, by default "crop" and "colour", and "flip" if mirrored images resemble others of
    the dataset; the names are returned. At most SAMPLE images are read, batch by batch.

    Raises ValueError when fewer than 2 images can be read.
    """
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(dataset))[:SAMPLE])
    count = int(np.clip(VIEWS // len(rows), 2, 20))
    with tqdm(total=len(rows) * (2 + count), desc="fit", unit="view", disable=None) as bar:
        read = partial(_read, dataset, rows, spec, bar.update)
        patches = [_random_patches(images, -(-PATCHES // len(rows)), random) for images in read()]
        fit_filters(autoencoder, np.concatenate(patches), seed)
        network = keras.Model(autoencoder.input, autoencoder.get_layer("features").output)
        features = np.concatenate([_features(network, images) for images in read()])
        if len(features) < 2:
            raise ValueError("the objective views needs 2 images or more, received 1")
        if augmentations is None:
            augmentations = ("crop", "colour")
            if _is_mirrored_alike(network, features, next(read())):
                augmentations += ("flip",)
        views = [
            [_features(network, augment(images, augmentations, random)) for _ in range(count)]
            for images in read(views=count)
        ]
    all_views = np.concatenate([features[np.newaxis], np.concatenate(views, axis=1)])
    linear = autoencoder.get_layer("linear")
    linear.set_weights(discriminant(all_views, linear.units))
    return augmentations


def _read(dataset, rows, spec, progress, views=1):
    """Yield batches of images; `progress` is called with their number, times `views`."""
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        _, images, _ = dataset.read_good(part, spec)
        if len(images):
            yield images
        progress(len(part) * views)


def _features(network, images):
    return np.asarray(network(images, training=False), np.float32)


def _random_patches(images, count, random):
    """Return `count` random patches of each image (n, h, w, c): (n * count, PATCH * PATCH * c)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    images = np.repeat(np.arange(len(images)), count)
    y, x = (random.integers(0, side, len(images)) for side in windows.shape[1:3])
    return np.moveaxis(windows[images, y, x], 1, -1).reshape(len(images), -1)


def fit_filters(autoencoder, patches, seed):
    """Set the filters of a network to centroids of patches, float32 (n, PATCH * PATCH * channels).

    Each patch is normalised to mean 0 and variance 1, the patches are whitened, and K-means gives
    their centroids. A filter responds with the excess over THRESHOLD of the projection of a patch
    on a centroid, which is scaled to length 1.
    """
    import faiss

    components, filters = autoencoder.get_layer("components"), autoencoder.get_layer("filters")
    count, size = components.filters, patches.shape[1]
    centred = patches - patches.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST_EPSILON)
    found = principal_components(centred / contrast, count)
    whitening = 1 / np.sqrt(found.variances + WHITENING)
    whitened = found.project(centred / contrast) * whitening
    kmeans = faiss.Kmeans(
        whitened.shape[1],
        filters.filters,
        niter=15,
        seed=seed,
        max_points_per_centroid=len(whitened),
        min_points_per_centroid=1,
    )
    kmeans.train(whitened)
    centroids = normalise(kmeans.centroids).T
    scale = 1 / (CONTRAST * np.maximum(whitened @ centroids - THRESHOLD, 0).mean())

    # The layer `contrast` divides by the root of the mean square of `count` components, a patch has
    # `size` pixels. Patches may vary in fewer directions: the other components are 0.
    kernel = np.zeros((size, count), np.float32)
    kernel[:, : len(whitening)] = found.components * np.sqrt(count / size)
    components.set_weights([kernel.reshape(components.kernel.shape)])
    kernel = np.zeros((count, filters.filters), np.float32)
    kernel[: len(whitening)] = np.sqrt(size / count) * whitening[:, np.newaxis] * centroids
    bias = -(found.mean @ found.components * whitening) @ centroids - THRESHOLD
    filters.set_weights([(scale * kernel).reshape(filters.kernel.shape), scale * bias])


def _is_mirrored_alike(network, features, images):
    """Whether a mirrored image has about as near neighbours as the image itself.

    `features` are those of all images, of which `images` (n, h, w, c) are the first.
    """
    found = principal_components(features[: len(images)], 64)
    whitening = found.variances**-0.25
    codes = normalise(found.project(features) * whitening)
    mirrored = normalise(found.project(_features(network, images[:, :, ::-1])) * whitening)
    own = np.arange(len(images))
    k = min(2, len(codes))

    def nearest_other(queries):
        distances, rows = build_engine(codes, "exact").search(queries, k)
        return np.median(np.where(rows[:, 0] == own, distances[:, -1], distances[:, 0]))

    return nearest_other(mirrored) <= MIRRORED * nearest_other(codes[own])


def discriminant(views, dim):
    """Return a linear map of features to codes in which views of one image are near each other.

    `views` is float32 (v, n, d), the features of v views of n images. The result is a matrix,
    float32 (d, dim), and a bias, (dim,). The columns x maximise x'Tx / x'Wx, the ratio of the
    covariance of all features to that within the views of an image and between neighbours.
    """
    from scipy.linalg import eigh

    v, n, d = views.shape
    flat = views.reshape(-1, d)
    mean, deviations = flat.mean(axis=0), flat.std(axis=0)
    scale = 1 / (deviations + 0.01 * deviations.mean() + 1e-9)
    found = principal_components((flat[: max(n, 4 * FEATURES)] - mean) * scale, FEATURES)
    projection = found.components * scale[:, np.newaxis]
    points = ((flat - mean) @ projection).reshape(v, n, -1)
    within = _covariance(points - points.mean(axis=0)) * (v / (v - 1))
    total = _covariance(points - points.mean(axis=(0, 1)))
    size, dim = len(total), min(dim, len(total))
    ridge = RIDGE * np.trace(within) / d * np.eye(size)

    def directions(within):
        values, vectors = eigh(total, within + ridge, subset_by_index=[size - dim, size - 1])
        return (vectors * np.maximum(values, 0) ** EXPONENT)[:, ::-1]

    k = min(NEIGHBOURS, n // 5)
    if k >= 2:
        codes = normalise(points[0] @ directions(within)).astype(np.float32)
        between = _neighbour_covariance(points[0], nearest_rows(codes, codes, k, same=True))
        within = within + NEIGHBOUR_WEIGHT * np.trace(within) / np.trace(between) * between
    matrix = np.zeros((d, dim), np.float32)
    found = projection @ directions(within)
    matrix[:, : found.shape[1]] = found
    return matrix, -mean @ matrix


def _covariance(differences):
    """Return the covariance of points with mean 0, (..., k), as (k, k)."""
    flat = differences.reshape(-1, differences.shape[-1])
    return flat.T @ flat / len(flat)


def _neighbour_covariance(points, rows):
    """Return the mean covariance of points (n, k) between neighbours that share neighbours.

    `rows` int64 (n, m) are the nearest of each point. With the graph's weights G and degrees D it
    is X'(D - G)X, divided by the sum of the degrees.
    """
    graph = shared_neighbours(rows)
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    difference = (points.T * degrees) @ points - points.T @ (graph @ points)
    return difference / max(degrees.sum(), 1e-9)
