"""Codes without labels or gradients, which ignore how views of one image differ.

The weights of the architecture `patches` are computed in four steps. K-means clusters whitened
patches of two sizes (Coates, Ng and Lee, 2011). Principal components reduce the features. A linear
discriminant then keeps the directions in which images vary most, compared with random views of one
image (cropped, recoloured) and with its nearest neighbours: Fisher's discriminant (1936), with each
image as a class of its own. A map to where random walks along neighbours lead stands beside it.
Where mirrored images are of the same kind, features are averaged with those of the mirrored image.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.backend import keras
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.decomposition.discriminant import discriminant
from pyimagesearch.encoders.keras_network import outputs_of
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import progress
from pyimagesearch.training.augmentations import augment
from pyimagesearch.training.filters import fit_filters, random_patches
from pyimagesearch.training.mirroring import MirrorPairs, is_mirrored_alike
from pyimagesearch.training.patches import Scale, scales_of
from pyimagesearch.training.readable import readable_batches

BATCH = 250  # images
SAMPLE = 10_000  # images that all statistics are computed from
VIEWS = 20_000  # at least 2 of an image
PATCHES = 50_000  # of each scale


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
    the dataset; the names are returned. With "flip" the codes of an image and its mirror image are
    the same. At most SAMPLE images are used, read batch by batch; others take the place of those
    that cannot be read, which are named in warnings.

    Raises ValueError when fewer than 2 images can be read, or all are the same.
    """
    random = np.random.default_rng(seed)
    size = min(len(dataset), SAMPLE)
    count = int(np.clip(VIEWS // size, 2, 20))
    with progress(size * (2 + count), "views", "fit") as done:
        sample = _sample(dataset, spec, size, random, progress=done)
        for scale, patches in sample.patches.items():
            fit_filters(autoencoder, scale, patches, seed)
        network = keras.Model(autoencoder.input, autoencoder.get_layer("features").output)
        features_of = partial(outputs_of, network)
        read = partial(_read, dataset, sample.rows, spec)
        features = np.concatenate([features_of(images) for images in read(done)])
        # Equal images have features that differ by rounding, as a batch is computed in parts.
        if np.ptp(features, axis=0).max() <= 1e-5 * np.abs(features).max():
            raise ValueError(f"the {len(features):,} images are all alike: train on other images")
        if augmentations is None:
            augmentations = ("crop", "colour")
            if is_mirrored_alike(features, next(read()), features_of):
                augmentations += ("flip",)
        filters = autoencoder.get_layer("filters").filters
        pairs = MirrorPairs(len(sample.patches), filters, alike="flip" in augmentations)
        features = pairs.reduced(features)
        # Features of pairs are the same for a mirrored image: nothing would be learned from it.
        changes = [name for name in augmentations if name != "flip"]
        views = [
            [pairs.reduced(features_of(augment(images, changes, random))) for _ in range(count)]
            for images in read(done, views=count)
        ]
    all_views = np.concatenate([features[np.newaxis], np.concatenate(views, axis=1)])
    linear = autoencoder.get_layer("linear")
    matrix, bias = discriminant(all_views, linear.units)
    linear.set_weights([pairs.of_features(matrix), bias])
    return augmentations


@dataclass(frozen=True)
class Sample:
    """The images that are learned from: their `rows`, int64 (n,), and patches of each scale."""

    rows: Rows
    patches: dict[Scale, Floats]


def _sample(
    dataset: Dataset,
    spec: InputSpec,
    size: int,
    random: np.random.Generator,
    *,
    progress: Callable[[int], object],
) -> Sample:
    """Return a Sample of at most `size` images that can be read."""
    order = random.permutation(len(dataset))
    each = -(-PATCHES // size)
    rows: list[Rows] = []
    patches: dict[Scale, list[Floats]] = {scale: [] for scale in scales_of(spec.width, spec.height)}
    for batch in readable_batches(dataset, spec, order, count=size, batch_size=BATCH):
        rows.append(batch.rows)
        for scale, found in patches.items():
            found.append(random_patches(batch.images, scale.side, each, random))
        progress(len(batch.rows))
    readable = sum(map(len, rows))
    if readable < 2:
        raise ValueError(f"the objective views needs 2 images or more, received {readable}")
    joined = {scale: np.concatenate(found) for scale, found in patches.items()}
    return Sample(np.concatenate(rows), joined)


def _read(
    dataset: Dataset,
    rows: Rows,
    spec: InputSpec,
    progress: Callable[[int], object] | None = None,
    *,
    views: int = 1,
) -> Iterator[Floats]:
    """Yield batches of images; `progress` is called with their number, times `views`."""
    for batch in dataset.batches(spec, BATCH, rows):
        if len(batch.images):
            yield batch.images
        if progress:
            progress(len(batch.images) * views)
