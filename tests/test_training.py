import numpy as np
import pytest

from pyimagesearch import training
from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.datasets import open_dataset
from pyimagesearch.images import InputSpec
from pyimagesearch.model_files import save_model

SPEC = InputSpec(28, 28, 1)


def batches(split="train", limit=96, seed=None):
    return training.Reconstruction(open_dataset("mnist", split, limit), SPEC, 32, seed)


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    data = training.Reconstruction(open_dataset("mnist", "train", 70), SPEC, 32, seed=1)
    orders = []
    for _ in range(2):
        assert [len(data[i][0]) for i in range(len(data))] == [32, 32, 6]
        orders.append(data.order.tolist())
        data.on_epoch_end()
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(70))
    assert orders[0] != orders[1]


def test_the_target_is_the_input():
    images, targets = batches()[0]
    np.testing.assert_array_equal(images, targets)


def test_the_rate_decays_as_the_tutorials_does():
    rate = training.inverse_time_decay(1e-3, decay=1e-3 / 20)
    assert float(rate(0)) == pytest.approx(1e-3)
    assert float(rate(1875)) == pytest.approx(1e-3 / (1 + 1875 * 1e-3 / 20))


def train(seed, epochs=2):
    keras.utils.set_random_seed(seed)
    model = ConvAutoencoder.build(28, 28, 1, filters=(4, 8), latentDim=4)
    losses, finished = training.train(
        model, batches(seed=seed), batches("test"), epochs, learning_rate=1e-2
    )
    assert finished
    return model, losses


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_model():
    model, losses = train(seed=3)
    assert losses["loss"][1] < losses["loss"][0]
    again, _ = train(seed=3)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_epoch_with_the_lowest_validation_loss_is_kept():
    best = training.BestEpoch()
    best.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    for epoch, loss in enumerate([3.0, 1.0, 2.0]):
        best.model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        best.on_epoch_end(epoch, {"val_loss": loss})
    assert (best.loss, best.weights[0].item()) == (1, 1)


def test_the_saved_model_carries_no_optimizer(tmp_path):
    model, _ = train(seed=3, epochs=1)
    save_model(model, tmp_path / "model.h5", SPEC)
    # The tutorial's scripts load it like this; with a compiled MSE this would raise in Keras 3.
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert not loaded.compiled
    images, _ = batches("test")[0]
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


def test_the_constant_loss_is_that_of_the_training_mean():
    """The mean squares about the mean image, as measured for all of MNIST: 0.0673 and 0.0674."""
    whole = training.constant_loss(batches(limit=None), batches("test", limit=None))
    assert whole == pytest.approx(0.0674, abs=2e-4)
