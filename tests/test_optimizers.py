import numpy as np
import pytest

from pyimagesearch.backend import keras
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.training.optimizers import (
    OPTIMIZERS,
    Muon,
    OneCycle,
    apply_norm_momentum,
    inverse_time_decay,
    make_optimizer,
    orthogonal,
)
from pyimagesearch.training.plan import SCHEDULES, make_plan


def test_every_schedule_has_an_optimizer():
    assert {schedule.optimizer for schedule in SCHEDULES.values()} == set(OPTIMIZERS)


def test_the_tutorials_optimizer_is_adam_whose_rate_decays_by_a_twentieth_of_itself():
    optimizer = make_optimizer(make_plan(), steps=100, epochs=20)
    assert isinstance(optimizer, keras.optimizers.Adam)
    decay = optimizer._learning_rate
    assert (decay.initial_learning_rate, decay.decay_rate) == (1e-3, 1e-3 / 20)


def test_the_fast_optimizer_is_muon_in_one_cycle():
    optimizer = make_optimizer(make_plan(schedule="fast"), steps=100, epochs=20)
    assert isinstance(optimizer, Muon)
    cycle = optimizer._learning_rate
    assert (cycle.peak, cycle.steps) == (1.5e-2, 100)


def test_inverse_time_decay_is_that_of_the_tutorials_adam():
    rate = inverse_time_decay(1e-3, decay=1e-3 / 20)
    assert float(rate(0)) == pytest.approx(1e-3)
    assert float(rate(1875)) == pytest.approx(1e-3 / (1 + 1875 * 1e-3 / 20))


def test_one_cycle_rises_to_its_peak_and_falls_to_a_hundredth_of_it():
    rates = np.array([float(OneCycle(0.5, steps=100)(step)) for step in range(100)])
    assert rates.argmax() == 24
    assert rates.max() == pytest.approx(0.5)
    assert 0 < rates[0] <= 0.02
    assert rates[-1] == pytest.approx(0.005)
    assert (np.diff(rates[:25]) > 0).all()
    assert (np.diff(rates[24:]) < 0).all()


@pytest.mark.parametrize("shape", [(60, 16), (16, 60), (7, 7)])
def test_orthogonal_makes_all_singular_values_about_1_and_keeps_the_singular_vectors(random, shape):
    matrix = random.standard_normal(shape).astype(np.float32)
    result = np.asarray(orthogonal(keras.ops.convert_to_tensor(matrix)))
    values = np.linalg.svd(result, compute_uv=False)
    assert values.max() < 1.3
    assert np.median(values) > 0.6
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    diagonal = np.diag(left.T @ result @ right.T)
    np.testing.assert_allclose(sorted(diagonal), sorted(values), atol=1e-3)


def test_muon_finds_the_least_squares_solution(random):
    inputs = np.tile(random.standard_normal((64, 5)), (200, 1)).astype(np.float32)
    weights, bias = random.standard_normal((5, 3)), np.array([1.0, -2, 3])
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile(loss="mse", optimizer=Muon(OneCycle(0.3, 200)))
    model.fit(inputs, inputs @ weights + bias, batch_size=64, shuffle=False, verbose=0)
    # Its steps do not shrink with the gradient, so it ends about one last step from the solution.
    np.testing.assert_allclose(model.get_weights()[0], weights, atol=0.15)
    np.testing.assert_allclose(model.get_weights()[1], bias, atol=0.15)


def test_muon_stores_a_mean_square_for_vectors_only():
    optimizer = Muon()
    kernel, bias = keras.Variable(np.zeros((3, 3, 2, 4))), keras.Variable(np.zeros(4))
    optimizer.build([kernel, bias])
    assert [square is None for square in optimizer.squares] == [True, False]
    again = Muon.from_config(optimizer.get_config())
    assert (again.momentum, again.beta_2) == (optimizer.momentum, optimizer.beta_2)


def test_the_fast_schedule_lowers_the_momentum_of_batch_normalization():
    model = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2)
    momenta = {}
    for name in ("tutorial", "fast"):
        apply_norm_momentum(model, SCHEDULES[name])
        norms = [layer for layer in model.layers if "norm" in layer.name]
        momenta[name] = {layer.momentum for layer in norms}
    assert momenta == {"tutorial": {0.99}, "fast": {0.95}}
