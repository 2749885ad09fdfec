import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder


def test_it_is_the_tutorials_network():
    model = ConvAutoencoder.build(28, 28, 1)
    assert model.name == "autoencoder"
    assert [type(layer).__name__ for layer in model.layers] == [
        "InputLayer",
        *["Conv2D", "LeakyReLU", "BatchNormalization"] * 2,
        *["Flatten", "Dense", "Dense", "Reshape"],
        *["Conv2DTranspose", "LeakyReLU", "BatchNormalization"] * 2,
        *["Conv2DTranspose", "Activation"],
    ]
    assert model.get_layer("encoded").output.shape == (None, 16)
    assert model.get_layer("decoded").output.shape == (None, 28, 28, 1)
    assert all(layer.strides == (2, 2) for layer in model.layers[1:5:3])
    assert model.layers[2].negative_slope == 0.2
    # Worked by hand: 320 + 128 + 18,496 + 256 in the convolutions down, 50,192 and 53,312 in the
    # dense layers, 36,928 + 256 + 18,464 + 128 + 289 in the convolutions up.
    assert model.count_params() == 178_769


def test_sizes_channels_filters_and_code_length_are_free():
    model = ConvAutoencoder.build(width=48, height=24, depth=3, filters=(4, 8, 16), latentDim=7)
    images = np.zeros((2, 24, 48, 3), np.float32)
    assert model.predict_on_batch(images).shape == images.shape
    assert model.get_layer("encoded").output.shape == (None, 7)


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="3 filters need sides divisible by 8; received 28x28"):
        ConvAutoencoder.build(28, 28, 1, filters=(8, 8, 8))
