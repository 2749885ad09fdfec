"""The tutorial's convolutional autoencoder."""

import math
from collections.abc import Sequence

from pyimagesearch.backend import keras

layers = keras.layers


class ConvAutoencoder:
    """Strided convolutions to a code, and transposed convolutions to a reconstruction."""

    @staticmethod
    def build(
        width: int, height: int, depth: int, filters: Sequence[int] = (32, 64), latentDim: int = 16
    ) -> keras.Model:
        """Return the network as one model named `autoencoder`.

        Its input and its output, the layer `decoded`, are images in [0, 1], (n, height, width,
        depth); the output of its layer `encoded` are the codes, (n, latentDim). Each entry of
        `filters` is a convolution with that number of filters, which halves the sides.

        Raises ValueError when the sides are not divisible by 2 to the power of the number of
        filters, because reconstructions would have another size than the images.
        """
        stride = 2 ** len(filters)
        if width % stride or height % stride:
            raise ValueError(
                f"{len(filters)} filters need sides divisible by {stride}; "
                f"received {width}x{height} (width x height): resize by --image-size, or use fewer "
                "filters"
            )
        inputs = layers.Input(shape=(height, width, depth))
        x = inputs
        for count in filters:
            x = layers.Conv2D(count, (3, 3), strides=2, padding="same")(x)
            x = layers.LeakyReLU(negative_slope=0.2)(x)
            x = layers.BatchNormalization(axis=-1)(x)
        volume = x.shape[1:]
        latent = layers.Dense(latentDim, name="encoded")(layers.Flatten()(x))

        x = layers.Dense(math.prod(volume))(latent)
        x = layers.Reshape(volume)(x)
        for count in reversed(filters):
            x = layers.Conv2DTranspose(count, (3, 3), strides=2, padding="same")(x)
            x = layers.LeakyReLU(negative_slope=0.2)(x)
            x = layers.BatchNormalization(axis=-1)(x)
        x = layers.Conv2DTranspose(depth, (3, 3), padding="same")(x)
        outputs = layers.Activation("sigmoid", name="decoded")(x)
        return keras.Model(inputs, outputs, name="autoencoder")
