"""The architectures by name: an autoencoder whose layer `encoded` or `encoder` gives the code."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder

layers = keras.layers

DEEP_SIDES = 32, 256
DEEP_FILTERS = 32, 64, 128, 256, 256, 256


class Architecture(NamedTuple):
    """A row of ARCHITECTURES.

    `build(width, height, channels, filters, latent_dim)` returns the model; `filters(height,
    width)` and `latent_dim` are what it has by default, None where it has no such choice; `stride`
    is what the sides have to be multiples of, None for 2 to the number of filters.
    """

    build: Callable
    filters: Callable | None
    latent_dim: int | None
    stride: int | None = None


def build_pooling(width, height, channels, filters=None, latent_dim=None):
    """Return the network of "Unsupervised Image Retrieval" (Hubens): 4,385 weights for MNIST.

    Convolutions of 16, 8 and 8 filters, each followed by pooling: the last gives the code,
    (height / 8, width / 8, 8), rounded up. The way back enlarges three times.

    Raises ValueError when that does not end at the size it began with.
    """
    if width % 4 or height % 4 or width % 8 != height % 8:
        raise ValueError(
            "the architecture pooling needs sides that are both multiples of 8, or both 4 more, "
            f"such as 28; received {width}x{height} (width x height): give another --image-size"
        )
    # Pooling rounds 7 up to 4 (of 28, 14, 7), so on the way back 16 has to lose 2 to become 14.
    padding = "valid" if width % 8 else "same"
    x = inputs = layers.Input(shape=(height, width, channels))
    for i, count in enumerate((16, 8, 8)):
        x = layers.Conv2D(count, (3, 3), activation="relu", padding="same")(x)
        name = "encoder" if i == 2 else None
        x = layers.MaxPooling2D((2, 2), padding="same", name=name)(x)
    for count, edge in ((8, "same"), (8, "same"), (16, padding)):
        x = layers.Conv2D(count, (3, 3), activation="relu", padding=edge)(x)
        x = layers.UpSampling2D((2, 2))(x)
    outputs = layers.Conv2D(channels, (3, 3), activation="sigmoid", padding="same", name="decoded")(
        x
    )
    return keras.Model(inputs, outputs, name="autoencoder")


def build_deep(width, height, channels, filters, latent_dim):
    """Return a network for photographs, sides 32 to 256: `latent_dim` numbers, 512 by default.

    Each entry of `filters` halves the sides by two convolutions on the way in; on the way back one
    doubles them. Kernels of 4 divide by the stride, so that no chequers show (Odena et al.,
    "Deconvolution and checkerboard artifacts", 2016).

    Raises ValueError when the sides are of other lengths or cannot be halved that often.
    """
    low, high = DEEP_SIDES
    if not all(low <= side <= high for side in (width, height)):
        raise ValueError(
            f"the architecture deep is for sides of {low} to {high} pixels, received "
            f"{width}x{height} (width x height): give another --image-size, or use conv"
        )
    _require_halves(width, height, filters)
    x = inputs = layers.Input(shape=(height, width, channels))
    for count in filters:
        x = _step(layers.Conv2D(count, 3, strides=2, padding="same", use_bias=False), x)
        if count != filters[0]:  # at full size a second one would cost more than all the others
            x = _step(layers.Conv2D(count, 3, padding="same", use_bias=False), x)
    volume = x.shape[1:]
    x = layers.Dense(latent_dim, name="encoded")(layers.Flatten()(x))
    x = layers.Reshape(volume)(layers.Dense(math.prod(volume))(x))
    for count in reversed(filters):
        x = _step(layers.Conv2DTranspose(count, 4, strides=2, padding="same", use_bias=False), x)
    outputs = layers.Conv2D(channels, 3, padding="same", activation="sigmoid", name="decoded")(x)
    return keras.Model(inputs, outputs, name="autoencoder")


def _step(convolution, x):
    return layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(convolution(x)))


def _require_halves(width, height, filters):
    stride = 2 ** len(filters)
    if width % stride or height % stride:
        raise ValueError(
            f"{len(filters)} filters need sides divisible by {stride}; "
            f"received {width}x{height} (width x height): resize, or use fewer filters"
        )


def _deep_filters(height, width):
    # Halved until 4 to 7 pixels are left: fewer say nothing of where, more need more weights.
    halvings = math.floor(math.log2(max(height, width, DEEP_SIDES[0]) / 4))
    return DEEP_FILTERS[: min(halvings, len(DEEP_FILTERS))]


ARCHITECTURES = {
    "conv": Architecture(ConvAutoencoder.build, lambda height, width: (32, 64), 16),
    "pooling": Architecture(build_pooling, None, None, stride=4),
    "deep": Architecture(build_deep, _deep_filters, 512),
}


def build(name, spec, filters=None, latent_dim=None):
    """Return the autoencoder called `name` for the images of an InputSpec.

    `filters` and `latent_dim` are the architecture's own where None is given. Raises ValueError
    for a choice that it does not have, or a size that it cannot take.
    """
    architecture = ARCHITECTURES[name]
    filters = _filters(name, spec.height, spec.width, filters)
    if latent_dim and not architecture.latent_dim:
        raise ValueError(f"the architecture {name} has no --latent-dim: leave it out, or use conv")
    latent_dim = latent_dim or architecture.latent_dim
    return architecture.build(spec.width, spec.height, spec.channels, filters, latent_dim)


def stride_of(name, height, width, filters=None):
    """Return what the sides of an architecture's images have to be multiples of."""
    return ARCHITECTURES[name].stride or 2 ** len(_filters(name, height, width, filters))


def _filters(name, height, width, filters):
    own = ARCHITECTURES[name].filters
    if filters and not own:
        raise ValueError(f"the architecture {name} has no --filters: leave it out, or use conv")
    return filters or (own and own(height, width))
