import numpy as np
import pytest

from pyimagesearch.encoders.keras_network import encoder_of
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.architectures import build, choose_input_spec, stride_of


def test_pooling_is_the_published_network():
    model = build("pooling", InputSpec(28, 28, 1))
    assert model.count_params() == 4385
    assert model.get_layer("encoder").output.shape == (None, 4, 4, 8)
    assert encoder_of(model).output_shape == (None, 128)


@pytest.mark.parametrize(
    ("name", "size", "channels", "code"),
    [
        ("conv", (28, 28), 1, 16),
        ("conv", (8, 12), 3, 16),
        ("pooling", (28, 44), 3, 4 * 6 * 8),
        ("pooling", (32, 64), 1, 4 * 8 * 8),
        ("deep", (32, 32), 1, 512),
        ("deep", (96, 64), 3, 512),
    ],
)
def test_reconstructions_have_the_shape_of_the_images(name, size, channels, code):
    spec = InputSpec(*size, channels)
    model = build(name, spec)
    images = np.random.default_rng(0).random((2, *spec.shape), np.float32)
    decoded = np.asarray(model(images))
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert encoder_of(model)(images).shape == (2, code)


def test_deep_takes_256_pixels_with_fewer_than_15_million_weights():
    assert build("deep", InputSpec(256, 256, 3)).count_params() < 15e6


def test_the_images_own_shape_is_the_default_input():
    assert choose_input_spec("conv", (28, 28, 1)) == InputSpec(28, 28, 1, "letterbox")
    assert choose_input_spec("conv", (28, 28, 1), channels=3, resize_mode="crop") == InputSpec(
        28, 28, 3, "crop"
    )


def test_a_size_asked_for_is_rounded_up_to_multiples_of_the_stride():
    assert choose_input_spec("conv", (28, 28, 1), [30, 33]) == InputSpec(32, 36, 1)
    assert choose_input_spec("conv", (64, 64, 3), (30, 30), filters=[8, 8, 8]).shape == (32, 32, 3)


def test_the_stride_is_2_to_the_power_of_the_number_of_filters():
    assert stride_of("conv", 30, 30) == 4
    assert stride_of("conv", 30, 30, [8, 8, 8]) == 8
    assert stride_of("pooling", 30, 30) == 4
    assert [stride_of("deep", side, side) for side in (32, 64, 200, 256)] == [8, 16, 32, 64]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pooling", InputSpec(28, 28, 1), None, 16), "has no --latent-dim"),
        (("pooling", InputSpec(28, 28, 1), [8], None), "has no --filters"),
        (("pooling", InputSpec(30, 30, 1)), "multiples of 8, or both 4 more"),
        (("pooling", InputSpec(28, 32, 1)), "multiples of 8, or both 4 more"),
        (("deep", InputSpec(28, 28, 1)), "sides of 32 to 256"),
        (("deep", InputSpec(512, 512, 3)), "sides of 32 to 256"),
        (("deep", InputSpec(60, 60, 3)), "3 filters need sides divisible by 8"),
        (("conv", InputSpec(30, 30, 1)), "2 filters need sides divisible by 4"),
    ],
)
def test_settings_that_an_architecture_cannot_have_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)
