"""Schedules: the tutorial's recipe, and one that gets as far in a third of the epochs."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pyimagesearch.backend import keras
from pyimagesearch.muon import Muon

ops = keras.ops

WARM_UP, LAST = 0.25, 0.01  # of all steps; of the learning rate


class Schedule(NamedTuple):
    """Defaults of the flags, and how to make the optimizer from (learning rate, steps, epochs)."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Callable
    norm_momentum: float | None  # of BatchNormalization; None is Keras' own, .99
    compiled_from: float = math.inf  # steps; a run of fewer is over before XLA has paid


def inverse_time_decay(learning_rate, decay):
    """Return the rate learning_rate / (1 + decay * step), as `Adam(lr, decay)` of old had it."""
    return keras.optimizers.schedules.InverseTimeDecay(
        learning_rate, decay_steps=1, decay_rate=decay
    )


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up to `peak` in a straight line, then down half a cosine to nearly nothing.

    After Smith and Topin, "Super-convergence" (2017): a large rate in the middle gets far, the
    small one at the end settles, so that few epochs are enough.
    """

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        done = (ops.cast(step, "float32") + 1) / self.steps
        fall = ops.clip((done - WARM_UP) / (1 - WARM_UP), 0, 1)
        down = LAST + (1 - LAST) * 0.5 * (1 + ops.cos(math.pi * fall))
        return self.peak * ops.minimum(done / WARM_UP, down)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps}


def _adam_as_published(learning_rate, steps, epochs):
    return keras.optimizers.Adam(inverse_time_decay(learning_rate, learning_rate / epochs))


def _muon_in_one_cycle(learning_rate, steps, epochs):
    return Muon(OneCycle(learning_rate, steps))


# A running mean over the last 20 steps follows weights that move as fast as those of `fast`.
SCHEDULES = {
    "tutorial": Schedule(20, 32, 1e-3, _adam_as_published, None),
    "fast": Schedule(6, 128, 1.5e-2, _muon_in_one_cycle, 0.95, 2000),
}


def apply_norm_momentum(model, schedule):
    """Set how fast BatchNormalization's running means follow, in all layers of `model`."""
    for layer in model.layers:
        if schedule.norm_momentum and isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = schedule.norm_momentum
