"""Codes without labels or gradients, which ignore how views of one image differ.

The weights of the architecture `patches` are computed in three steps. K-means clusters whitened
patches (Coates, Ng and Lee, 2011). Principal components reduce the features. A linear discriminant
then keeps the directions in which images vary most, compared with random views of one image
(cropped, recoloured, mirrored) and with its nearest neighbours: Fisher's discriminant (1936), with
each image as a class of its own.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.backend import keras
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.decomposition.discriminant import discriminant
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.metric import normalise
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import progress
from pyimagesearch.training.augmentations import augment
from pyimagesearch.training.patches import CONTRAST_EPSILON, PATCH
from pyimagesearch.training.readable import readable_batches

logger = logging.getLogger(__name__)

BATCH = 250  # images
SAMPLE = 10_000  # images that all statistics are computed from
VIEWS = 20_000  # at least 2 of an image
PATCHES = 100_000
WHITENING = 0.1  # added to the variances of patches of variance 1
THRESHOLD = 0.5  # of the cosine between a patch and a filter, below which there is no response
CONTRAST = 2  # the mean response, which softsign maps to a third, is 1 / CONTRAST
MIRRORED = 1.1  # ratio of distances up to which mirror images count as images of the same kind


def fit_views(
    autoencoder: keras.Model,
    dataset: Dataset,
    spec: InputSpec,
    augmentations: Sequence[str] | None = None,
    *,
    seed: int = 42,
) -> Sequence[str]:
    """Compute the encoder's weights of a Keras network of the architecture `patches`.

    `spec` is the InputSpec of the network. `augmentations` are the names of the random changes that
    make a view, by default "crop" and "colour", and "flip" if mirrored images resemble others of
    the dataset; the names are returned. At most SAMPLE images are used, read batch by
    batch; others take the place of those that cannot be read, which are named in warnings.

    Raises ValueError when fewer than 2 images can be read.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(dataset))
    size = min(len(order), SAMPLE)
    count = int(np.clip(VIEWS // size, 2, 20))
    with progress(size * (2 + count), "views", "fit") as done:
        each = -(-PATCHES // size)
        sampled = []
        patches = []
        for batch in readable_batches(dataset, spec, order, count=size, batch_size=BATCH):
            sampled.append(batch.rows)
            patches.append(_random_patches(batch.images, each, random))
            done(len(batch.rows))
        readable = sum(map(len, sampled))
        if readable < 2:
            raise ValueError(f"the objective views needs 2 images or more, received {readable}")
        read = partial(_read, dataset, np.concatenate(sampled), spec, done)
        fit_filters(autoencoder, np.concatenate(patches), seed)
        network = keras.Model(autoencoder.input, autoencoder.get_layer("features").output)
        features = np.concatenate([_features(network, images) for images in read()])
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


def _read(
    dataset: Dataset, rows: Rows, spec: InputSpec, progress: Callable[[int], object], views: int = 1
) -> Iterator[Floats]:
    """Yield batches of images; `progress` is called with their number, times `views`."""
    for batch in dataset.batches(spec, BATCH, rows):
        if len(batch.images):
            yield batch.images
        progress(len(batch.images) * views)


def _features(network: keras.Model, images: Floats) -> Floats:
    return np.asarray(network(images, training=False), np.float32)


def _random_patches(images: Floats, count: int, random: np.random.Generator) -> Floats:
    """Return `count` random patches of each image (n, h, w, c): (n * count, PATCH * PATCH * c)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    images = np.repeat(np.arange(len(images)), count)
    y, x = (random.integers(0, side, len(images)) for side in windows.shape[1:3])
    return np.moveaxis(windows[images, y, x], 1, -1).reshape(len(images), -1)


def fit_filters(autoencoder: keras.Model, patches: Floats, seed: int) -> None:
    """Set the filters of a network to centroids of patches, float32 (n, PATCH * PATCH * channels).

    Each patch is normalised to mean 0 and variance 1, the patches are whitened, and K-means gives
    their centroids. A filter responds with the excess over THRESHOLD of the projection of a patch
    on a centroid, which is scaled to length 1.
    """
    import faiss

    components = autoencoder.get_layer("components")
    filters = autoencoder.get_layer("filters")
    count = components.filters
    size = patches.shape[1]
    centred = patches - patches.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST_EPSILON)
    normal = centred / contrast
    found = principal_components(normal, count)
    if not len(found.variances):
        raise ValueError("all images are plain: there is nothing that their codes could tell apart")
    whitening = 1 / np.sqrt(found.variances + WHITENING)
    whitened = found.project(normal) * whitening
    kmeans = faiss.Kmeans(
        whitened.shape[1],
        filters.filters,
        niter=15,
        seed=seed,
        max_points_per_centroid=len(whitened),
        min_points_per_centroid=1,
    )
    kmeans.train(whitened)
    assert kmeans.centroids is not None  # it was trained
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


def _is_mirrored_alike(network: keras.Model, features: Floats, images: Floats) -> bool:
    """Whether a mirrored image has about as near neighbours as the image itself.

    `features` are those of all images, of which `images` (n, h, w, c) are the first.
    """
    # Not of the images themselves, which their own components would move away from mirrored ones.
    others = features[len(images) :] if len(features) > 2 * len(images) else features
    found = principal_components(others[:2000], 64)
    whitening = found.variances**-0.25
    codes = normalise(found.project(features) * whitening)
    mirrored = normalise(found.project(_features(network, images[:, :, ::-1])) * whitening)
    own = np.arange(len(images))
    engine = ExactEngine(codes)

    def nearest_other(queries: Floats) -> float:
        distances, rows = engine.search(queries, 2)
        return np.median(np.where(rows[:, 0] == own, distances[:, -1], distances[:, 0]))

    ratio = nearest_other(mirrored) / max(nearest_other(codes[own]), 1e-9)
    logger.info(f"fit: mirrored images are {ratio:.2f} times as far from others as images are")
    return ratio <= MIRRORED
