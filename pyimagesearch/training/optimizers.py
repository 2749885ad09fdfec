"""Schedules: the tutorial's recipe, and one that gets as far in a third of the epochs."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pyimagesearch.backend import keras

ops = keras.ops

WARM_UP, LAST = 0.25, 0.01  # of all steps; of the learning rate


# The quintic that a Newton-Schulz iteration applies to the singular values, and how often
# (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024).
QUINTIC, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
# Of the learning rate, for vectors such as biases: they move by Adam, whose steps are larger.
ADAM_PART = 0.3


class Muon(keras.optimizers.Optimizer):
    """Steps along the momentum with all its singular values made 1; Adam for vectors.

    Keras' own Muon leaves convolutions to Adam. Here a kernel (h, w, in, out) counts as a matrix
    (h * w * in, out). A step is scaled to the size of Adam's (Liu et al., "Muon is scalable for
    LLM training", 2025, section 2.2), so that both take the same learning rate.
    """

    def __init__(self, learning_rate=1e-2, momentum=0.95, beta_2=0.99, name="muon", **options):
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.momentum, self.beta_2 = momentum, beta_2

    def build(self, variables):
        """Make a momentum for each variable, and a mean square for each vector."""
        if self.built:
            return
        super().build(variables)
        self.momenta = [self.add_variable_from_reference(v, "momentum") for v in variables]
        self.squares = [
            self.add_variable_from_reference(v, "square") if len(v.shape) < 2 else None
            for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable; Keras calls this for each of them."""
        place = self._get_variable_index(variable)
        momentum, square = self.momenta[place], self.squares[place]
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(momentum, self.momentum * momentum + (1 - self.momentum) * gradient)
        ahead = self.momentum * momentum + (1 - self.momentum) * gradient  # Nesterov
        if square is None:
            matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
            step = orthogonal(matrix) * 0.2 * max(matrix.shape) ** 0.5
            self.assign_sub(variable, rate * ops.reshape(step, variable.shape))
            return
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * ops.square(gradient))
        steps = ops.cast(self.iterations + 1, variable.dtype)
        ahead = ahead / (1 - self.momentum ** (steps + 1))
        scale = ops.sqrt(square / (1 - self.beta_2**steps)) + 1e-7
        self.assign_sub(variable, ADAM_PART * rate * ahead / scale)

    def get_config(self):
        """What Keras needs to make this again."""
        return {**super().get_config(), "momentum": self.momentum, "beta_2": self.beta_2}


def orthogonal(matrix):
    """Return a matrix (m, n) with its singular values moved to between 0.7 and 1.2."""
    a, b, c = QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ ops.transpose(x)
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else ops.transpose(x)


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
