"""Filters of the architecture `patches`: centroids of whitened patches, in mirrored pairs."""

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats
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
    layer = autoencoder.get_layer("components" + scale.suffix)
    filters = autoencoder.get_layer("filters" + scale.suffix)
    normal = _normalised(patches[::2])
    normal = np.concatenate([normal, _mirrored(normal, scale.side)])
    found = principal_components(normal, layer.filters)
    if not len(found.variances):
        raise ValueError("all images are plain: there is nothing that their codes could tell apart")
    # Patches may vary in fewer directions: the other components are 0.
    missing = layer.filters - len(found.variances)
    components = np.pad(found.components, [(0, 0), (0, missing)])
    whitening = 1 / np.sqrt(np.pad(found.variances, (0, missing)) + WHITENING)
    whitened = (normal - found.mean) @ components * whitening
    own = _centroids(whitened, filters.filters // 2, seed)
    # To mirror a centroid: undo the whitening, turn the components, and whiten again.
    turn = _mirrored(components.T, scale.side) @ components
    turned = normalise(own / whitening @ turn * whitening)
    unpaired = np.zeros((filters.filters % 2, layer.filters), np.float32)
    centroids = np.concatenate([own, turned, unpaired]).T
    responses = np.maximum(whitened @ centroids[:, : 2 * len(own)] - THRESHOLD, 0)
    scaling = 1 / (CONTRAST * responses.mean())

    # The layer `contrast` divides by the root of the mean square of components, not of pixels.
    ratio = np.sqrt(layer.filters / patches.shape[1])
    layer.set_weights([(ratio * components).reshape(layer.kernel.shape)])
    projection = whitening[:, np.newaxis] * centroids
    bias = -(found.mean @ components) @ projection - THRESHOLD
    kernel = scaling / ratio * projection
    filters.set_weights([kernel.reshape(filters.kernel.shape), scaling * bias])


def _centroids(points: AnyArray, count: int, seed: int) -> Floats:
    """Return the centroids by K-means of float32 points (n, d), of length 1: float32 (count, d)."""
    import faiss

    kmeans = faiss.Kmeans(
        points.shape[1],
        count,
        niter=ROUNDS,
        seed=seed,
        max_points_per_centroid=len(points),
        min_points_per_centroid=1,
    )
    kmeans.train(points)
    assert kmeans.centroids is not None  # it was trained
    return normalise(kmeans.centroids)


def _normalised(patches: Floats) -> AnyArray:
    centred = patches - patches.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST_EPSILON)
    return centred / contrast


def _mirrored(patches: Floats, side: int) -> Floats:
    """Return patches (n, side * side * channels), mirrored left to right."""
    return patches.reshape(len(patches), side, side, -1)[:, :, ::-1].reshape(patches.shape)
