"""Autoencoder architectures by name. The layer `encoded` or `encoder` gives the code.

Keras is imported only to build one, so that names and sizes can be checked without it.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.patches import FILTERS, MIN_SIDE, SIDE, build_patches

logger = logging.getLogger(__name__)

DEEP_SIDES = 32, 256  # pixels
DEEP_FILTERS = 32, 64, 128, 256, 256, 256


class Architecture(NamedTuple):
    """An entry of ARCHITECTURES.

    `build(width, height, channels, filters, latent_dim)` returns the Keras model.
    `filters(height, width)` returns the default number of filters of each layer and `latent_dim` is
    the default dimension of the code; None where the architecture fixes them. The sides of the
    images must be multiples of `stride`, or with None of 2 to the power of the number of filters.
    Where no size is given, sides outside the range `sides`, in pixels, are resized to its ends.
    """

    build: Callable[..., Any]
    filters: Callable[[int, int], tuple[int, ...]] | None
    latent_dim: int | None
    stride: int | None = None
    sides: tuple[int, int] | None = None


def build_conv(
    width: int, height: int, channels: int, filters: Sequence[int], latent_dim: int
) -> Any:
    """Return the tutorial's network; see ConvAutoencoder.build."""
    from pyimagesearch.convautoencoder import ConvAutoencoder

    return ConvAutoencoder.build(width, height, channels, filters, latent_dim)


def build_pooling(
    width: int,
    height: int,
    channels: int,
    filters: Sequence[int] | None = None,
    latent_dim: int | None = None,
) -> Any:
    """Return the network of "Unsupervised Image Retrieval" (Hubens): 4,385 weights for MNIST.

    The encoder has convolutions of 16, 8 and 8 filters, each followed by max pooling; the code is
    (ceil(height / 8), ceil(width / 8), 8). The decoder upsamples three times. `filters` and
    `latent_dim` are not used.

    Raises ValueError for sides that the decoder would not restore.
    """
    from pyimagesearch.backend import keras

    if width % 4 or height % 4 or width % 8 != height % 8:
        raise ValueError(
            "the architecture pooling needs sides that are both multiples of 8, or both 4 more, "
            f"such as 28; received {width}x{height} (width x height): give another --image-size"
        )
    layers = keras.layers
    # The third pooling rounds 3.5 up to 4 (28, 14, 7, 4), so the decoder has to lose 2 of 16 pixels
    # to return to 14.
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


def build_deep(
    width: int, height: int, channels: int, filters: Sequence[int], latent_dim: int
) -> Any:
    """Return a network for photographs with sides of 32 to 256 pixels.

    Each entry of `filters` halves the sides by two convolutions in the encoder and doubles them by
    one in the decoder. The decoder's kernels of 4 are divisible by the stride, which avoids
    checkerboard artifacts (Odena et al., "Deconvolution and checkerboard artifacts", 2016).

    Raises ValueError when the sides are shorter or longer, or cannot be halved that often.
    """
    from pyimagesearch.backend import keras

    low, high = DEEP_SIDES
    if not all(low <= side <= high for side in (width, height)):
        raise ValueError(
            f"the architecture deep is for sides of {low} to {high} pixels, received "
            f"{width}x{height} (width x height): give another --image-size, or use conv"
        )
    stride = 2 ** len(filters)
    if width % stride or height % stride:
        raise ValueError(
            f"{len(filters)} filters need sides divisible by {stride}; "
            f"received {width}x{height} (width x height): resize by --image-size, or use fewer "
            "filters"
        )
    layers = keras.layers

    def step(convolution: Any, x: Any) -> Any:
        return layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(convolution(x)))

    x = inputs = layers.Input(shape=(height, width, channels))
    for count in filters:
        x = step(layers.Conv2D(count, 3, strides=2, padding="same", use_bias=False), x)
        if count != filters[0]:  # at full size a second one would cost more than all the others
            x = step(layers.Conv2D(count, 3, padding="same", use_bias=False), x)
    volume = x.shape[1:]
    x = layers.Dense(latent_dim, name="encoded")(layers.Flatten()(x))
    x = layers.Reshape(volume)(layers.Dense(math.prod(volume))(x))
    for count in reversed(filters):
        x = step(layers.Conv2DTranspose(count, 4, strides=2, padding="same", use_bias=False), x)
    outputs = layers.Conv2D(channels, 3, padding="same", activation="sigmoid", name="decoded")(x)
    return keras.Model(inputs, outputs, name="autoencoder")


def _deep_filters(height: int, width: int) -> tuple[int, ...]:
    # Halved until 4 to 7 pixels are left: fewer lose the position, more need more weights.
    halvings = math.floor(math.log2(max(height, width, DEEP_SIDES[0]) / 4))
    return DEEP_FILTERS[: min(halvings, len(DEEP_FILTERS))]


ARCHITECTURES = {
    "conv": Architecture(build_conv, lambda height, width: (32, 64), 16),
    "pooling": Architecture(build_pooling, None, None, stride=4),
    "deep": Architecture(build_deep, _deep_filters, 512),
    "patches": Architecture(
        build_patches, lambda height, width: (FILTERS,), 64, stride=1, sides=(MIN_SIDE, SIDE)
    ),
}


def build(
    name: str, spec: InputSpec, filters: Sequence[int] | None = None, latent_dim: int | None = None
) -> Any:
    """Return the autoencoder called `name` for the images of an InputSpec.

    None for `filters` or `latent_dim` means the architecture's default. Raises ValueError for a
    setting that the architecture does not have, or a size that it cannot take.
    """
    architecture = ARCHITECTURES[name]
    filters = _filters(name, spec.height, spec.width, filters)
    if latent_dim and not architecture.latent_dim:
        raise ValueError(f"the architecture {name} has no --latent-dim: leave it out, or use conv")
    latent_dim = latent_dim or architecture.latent_dim
    return architecture.build(spec.width, spec.height, spec.channels, filters, latent_dim)


def choose_input_spec(
    name: str,
    default_shape: tuple[int, int, int],
    image_size: Sequence[int] | None = None,
    channels: int | None = None,
    *,
    resize_mode: str = "letterbox",
    filters: Sequence[int] | None = None,
) -> InputSpec:
    """Return the InputSpec of the autoencoder called `name`.

    `default_shape` is the (height, width, channels) used where `image_size`, (height, width) in
    pixels, or `channels` is None. A given size is rounded up to multiples of the network's stride,
    which `filters` may change.
    """
    height, width, default_channels = default_shape
    sides = ARCHITECTURES[name].sides
    if sides:
        shortest, longest = sides
        height = min(max(height, shortest), longest)
        width = min(max(width, shortest), longest)
    if image_size:
        stride = stride_of(name, image_size[0], image_size[1], filters)
        height, width = (-(-side // stride) * stride for side in image_size)
        if (height, width) != tuple(image_size):
            logger.info(f"image size rounded up to {height} {width}, multiples of {stride}")
    spec = InputSpec(height, width, channels or default_channels, resize_mode)
    colour = "grey" if spec.channels == 1 else "RGB"
    logger.info(f"images are {spec.height} x {spec.width}, {colour}, fitted by {spec.resize_mode}")
    return spec


def stride_of(name: str, height: int, width: int, filters: Sequence[int] | None = None) -> int:
    """Return the number of pixels that the sides of an architecture's images are multiples of."""
    return ARCHITECTURES[name].stride or 2 ** len(_filters(name, height, width, filters) or ())


def _filters(
    name: str, height: int, width: int, filters: Sequence[int] | None
) -> Sequence[int] | None:
    default = ARCHITECTURES[name].filters
    if filters and not default:
        raise ValueError(f"the architecture {name} has no --filters: leave it out, or use conv")
    return filters or (default and default(height, width))
