"""The architecture `patches`: one layer of patch filters, pooled, and a linear code.

It is the network of Coates, Ng and Lee, "An analysis of single-layer networks in unsupervised
feature learning" (AISTATS 2011), with layers of Keras alone, so that it is saved and exported as
any other. `training.views` computes its weights without gradients.
"""

import math
from collections.abc import Sequence
from typing import Any

SIDE = 32  # pixels, of both sides, where no image size is given
PATCH = 6  # pixels, the sides of a patch
STRIDE = 2  # pixels between patches
COMPONENTS = 64  # principal components of a patch that are kept, at most
FILTERS = 400
GRID = 3  # areas of an image, in each direction, whose responses are averaged
DECODER_FILTERS = 32, 16
MIN_SIDE = PATCH + STRIDE * (GRID - 1)
# Added to the variance of a patch by which its contrast is normalised: 10 for pixels of 0 to 255.
CONTRAST_EPSILON = 10 / 255**2


def build_patches(
    width: int,
    height: int,
    channels: int,
    filters: Sequence[int] = (FILTERS,),
    latent_dim: int = 64,
) -> Any:
    """Return the network; its weights before training are random, as those of any layer.

    The layer `components` projects patches of 6 x 6 pixels, `contrast` divides each by its standard
    deviation, `filters` compares it with `filters[0]` patterns; `features` are the responses,
    averaged over 3 x 3 areas that overlap, (n, 9 * filters[0]). The code is a linear map of them,
    scaled to length 1, so that Euclidean distances rank like cosine distances.

    Raises ValueError for sides that are too short, or more than one number of filters.
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
    layers = keras.layers
    components = min(PATCH * PATCH * channels - 1, COMPONENTS)
    x = inputs = layers.Input(shape=(height, width, channels))
    x = layers.Conv2D(components, PATCH, strides=STRIDE, use_bias=False, name="components")(x)
    x = layers.RMSNormalization(epsilon=CONTRAST_EPSILON, name="contrast")(x)
    x = layers.Conv2D(filters[0], 1, activation="relu", name="filters")(x)
    sides = x.shape[1:3]
    strides = [side // GRID for side in sides]
    sizes = [side - (GRID - 1) * step for side, step in zip(sides, strides, strict=True)]
    x = layers.AveragePooling2D(sizes, strides)(x)
    # Concave, as a square root is: a few strong responses should not outweigh many weak ones.
    x = layers.Flatten(name="features")(layers.Activation("softsign")(x))
    code = layers.UnitNormalization(name="encoded")(layers.Dense(latent_dim, name="linear")(x))
    return keras.Model(inputs, _decoded(code, height, width, channels), name="autoencoder")


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
