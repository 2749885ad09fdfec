"""Filters of the architecture `patches`: centroids of whitened patches, in mirrored pairs."""

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.backend import keras
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.metric import normalise
from pyimagesearch.training.patches import CONTRAST_EPSILON, Scale

WHITENING = 0.1  # added to the variances of patches of variance 1
THRESHOLD = 0.5  # of the cosine between a patch and a filter, below which there is no response
CONTRAST = 2  # the mean response, which softsign maps to a third, is 1 / CONTRAST
ROUNDS = 15  # of K-means


def random_patches(images: Floats, side: int, count: int, random: np.random.Generator) -> Floats:
    """Return `count` random patches of each image (n, h, w, c): (n * count, side * side * c)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    images = np.repeat(np.arange(len(images)), count)
    y, x = (random.integers(0, positions, len(images)) for positions in windows.shape[1:3])
    return np.moveaxis(windows[images, y, x], 1, -1).reshape(len(images), -1)


def fit_filters(autoencoder: keras.Model, scale: Scale, patches: Floats, seed: int) -> None:
    """Set the filters of a scale to centroids of patches, float32 (n, side * side * channels).

    Each patch is normalised to mean 0 and variance 1, the patches are whitened, and K-means gives
    their centroids. A filter responds with the excess over THRESHOLD of the projection of a patch
    on a centroid, which is scaled to length 1.

    The second half of the filters are the mirror images of the first, in the same order; of an odd
    number the last filter responds to nothing. Half of the patches are used, with their mirror
    images: the components that are kept then hold the mirror image of every patch that they hold.
    """
    import faiss

    components = autoencoder.get_layer("components" + scale.suffix)
    filters = autoencoder.get_layer("filters" + scale.suffix)
    count = components.filters
    size = patches.shape[1]
    normal = _normalised(patches[::2])
    normal = np.concatenate([normal, _mirrored(normal, scale.side)])
    found = principal_components(normal, count)
    if not len(found.variances):
        raise ValueError("all images are plain: there is nothing that their codes could tell apart")
    whitening = 1 / np.sqrt(found.variances + WHITENING)
    whitened = found.project(normal) * whitening
    kmeans = faiss.Kmeans(
        whitened.shape[1],
        filters.filters // 2,
        niter=ROUNDS,
        seed=seed,
        max_points_per_centroid=len(whitened),
        min_points_per_centroid=1,
    )
    kmeans.train(whitened)
    assert kmeans.centroids is not None  # it was trained
    own = normalise(kmeans.centroids)
    # To mirror a centroid: undo the whitening, turn the components, and whiten again.
    turn = _mirrored(found.components.T, scale.side) @ found.components
    turned = normalise(own / whitening @ turn * whitening)
    centroids = np.concatenate([own, turned]).T
    scaling = 1 / (CONTRAST * np.maximum(whitened @ centroids - THRESHOLD, 0).mean())

    # The layer `contrast` divides by the root of the mean square of `count` components, a patch has
    # `size` pixels. Patches may vary in fewer directions: the other components are 0.
    kernel = np.zeros((size, count), np.float32)
    kernel[:, : len(whitening)] = found.components * np.sqrt(count / size)
    components.set_weights([kernel.reshape(components.kernel.shape)])
    kernel = np.zeros((count, filters.filters), np.float32)
    projection = np.sqrt(size / count) * whitening[:, np.newaxis] * centroids
    kernel[: len(whitening), : centroids.shape[1]] = projection
    bias = np.zeros(filters.filters, np.float32)
    bias[: centroids.shape[1]] = (
        -(found.mean @ found.components * whitening) @ centroids - THRESHOLD
    )
    filters.set_weights([(scaling * kernel).reshape(filters.kernel.shape), scaling * bias])


def _normalised(patches: Floats) -> Floats:
    centred = patches - patches.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST_EPSILON)
    return centred / contrast


def _mirrored(patches: Floats, side: int) -> Floats:
    """Return patches (n, side * side * channels), mirrored left to right."""
    return patches.reshape(len(patches), side, side, -1)[:, :, ::-1].reshape(patches.shape)
