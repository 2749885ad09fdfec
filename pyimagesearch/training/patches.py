"""The architecture `patches`: a layer of patch filters of each size, pooled, and a linear code.

It is the network of Coates, Ng and Lee, "An analysis of single-layer networks in unsupervised
feature learning" (AISTATS 2011), for patches of two sizes, with layers of Keras alone, so that it
is saved and exported as any other. `training.views` computes its weights without gradients.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIDE = 32  # pixels, of both sides, where no image size is given
COMPONENTS = 64  # principal components of a patch that are kept, at most
FILTERS = 400  # of each scale
GRID = 3  # areas of an image, in each direction, whose responses are averaged
DECODER_FILTERS = 32, 16
# Added to the variance of a patch by which its contrast is normalised: 10 for pixels of 0 to 255.
CONTRAST_EPSILON = 10 / 255**2


@dataclass(frozen=True)
class Scale:
    """Patches of `side` x `side` pixels, `stride` pixels apart.

    `suffix` ends the names of the layers for them. Images have sides of `min_image` or more.
    """

    side: int
    stride: int
    suffix: str = ""

    @property
    def min_image(self) -> int:
        return self.side + self.stride * (GRID - 1)


SCALES = (Scale(6, 2), Scale(10, 3, "_large"))
MIN_SIDE = SCALES[0].min_image


def scales_of(width: int, height: int) -> tuple[Scale, ...]:
    """Return the scales whose patches fit into images of a size."""
    return tuple(scale for scale in SCALES if scale.min_image <= min(width, height))


def build_patches(
    width: int,
    height: int,
    channels: int,
    filters: Sequence[int] = (FILTERS,),
    latent_dim: int = 64,
) -> Any:
    """Return the network; its weights before training are random, as those of any layer.

    For each of SCALES that fits, the layer `components` projects patches, `contrast` divides each
    by its standard deviation and `filters` compares it with `filters[0]` patterns, whose responses
    are averaged over 3 x 3 areas that overlap; `features` are all of them, (n, scales * 9 *
    filters[0]). The code is a linear map of them, scaled to length 1, so that Euclidean distances
    rank like cosine distances.

    Raises ValueError for sides that are too short, or other than one number of filters, of 2 or
    more.
    """
    from pyimagesearch.backend import keras

    if min(width, height) < MIN_SIDE:
        raise ValueError(
            f"the architecture patches needs sides of {MIN_SIDE} pixels or more, received "
            f"{width}x{height} (width x height): give a larger --image-size, or use conv"
        )
    if len(filters) != 1:
        raise ValueError(
            f"the architecture patches has one layer of filters, received {len(filters)}: "
            f"give one number, such as --filters {FILTERS}"
        )
    if filters[0] < 2:
        raise ValueError("the architecture patches has pairs of filters: give --filters 2 or more")
    layers = keras.layers
    inputs = layers.Input(shape=(height, width, channels))
    responses = [
        _responses(inputs, scale, filters[0], channels) for scale in scales_of(width, height)
    ]
    joined = layers.Concatenate()(responses) if len(responses) > 1 else responses[0]
    x = layers.Flatten(name="features")(joined)
    code = layers.UnitNormalization(name="encoded")(layers.Dense(latent_dim, name="linear")(x))
    return keras.Model(inputs, _decoded(code, height, width, channels), name="autoencoder")


def _responses(inputs: Any, scale: Scale, filters: int, channels: int) -> Any:
    """Return the responses of images to the filters of a scale, (n, 9 * filters)."""
    from pyimagesearch.backend import keras

    layers = keras.layers
    count = min(scale.side * scale.side * channels - 1, COMPONENTS)
    suffix = scale.suffix
    x = layers.Conv2D(
        count, scale.side, strides=scale.stride, use_bias=False, name="components" + suffix
    )(inputs)
    x = layers.RMSNormalization(epsilon=CONTRAST_EPSILON, name="contrast" + suffix)(x)
    x = layers.Conv2D(filters, 1, activation="relu", name="filters" + suffix)(x)
    sides = x.shape[1:3]
    strides = [side // GRID for side in sides]
    sizes = [side - (GRID - 1) * step for side, step in zip(sides, strides, strict=True)]
    x = layers.AveragePooling2D(sizes, strides, name="areas" + suffix)(x)
    # Concave, as a square root is: a few strong responses should not outweigh many weak ones.
    return layers.Flatten()(layers.Activation("softsign")(x))


def _decoded(code: Any, height: int, width: int, channels: int) -> Any:
    """Return the reconstructions of images from codes, by two layers that double the sides."""
    from pyimagesearch.backend import keras

    layers = keras.layers
    volume = math.ceil(height / 4), math.ceil(width / 4), DECODER_FILTERS[0]
    x = layers.Reshape(volume)(layers.Dense(math.prod(volume))(code))
    for count in DECODER_FILTERS:
        x = layers.Conv2DTranspose(count, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(x))
    if x.shape[1:3] != (height, width):
        x = layers.Cropping2D(((0, x.shape[1] - height), (0, x.shape[2] - width)))(x)
    return layers.Conv2D(channels, 3, padding="same", activation="sigmoid", name="decoded")(x)
