"""Optimizers and learning-rate schedules: the tutorial's Adam, and Muon for fewer epochs."""

import math
from collections.abc import Callable
from typing import Any

from pyimagesearch.backend import keras
from pyimagesearch.training.plan import SCHEDULES, Schedule, TrainingPlan

ops = keras.ops

# Of OneCycle: the part of the steps in which the rate rises, and the last rate as a part of the
# peak.
WARM_UP = 0.25
LAST = 0.01
# Of Muon: the coefficients of its Newton-Schulz polynomial, and the number of iterations (Jordan et
# al., "Muon: an optimizer for hidden layers in neural networks", 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
ADAM_RATE = 0.3  # learning rate of Adam for vectors, such as biases, as a multiple of Muon's


class Muon(keras.optimizers.Optimizer):
    """Muon: momentum steps whose singular values are all about 1, for kernels; Adam for vectors.

    Keras' own Muon uses Adam for convolutions. Here a kernel (h, w, in, out) is treated as a matrix
    (h * w * in, out). Steps have the size of Adam's (Liu et al., "Muon is scalable for LLM
    training", 2025, section 2.2), so that both use the same learning rate.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-2,
        momentum: float = 0.95,
        beta_2: float = 0.99,
        name: str = "muon",
        **kwargs: Any,
    ) -> None:
        """`beta_2` is Adam's; `kwargs` are the options that all optimizers of Keras have."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.beta_2 = beta_2

    def build(self, variables: Any) -> None:
        """Create a momentum for each variable, and a mean square for each vector."""
        if self.built:
            return
        super().build(variables)
        self.momenta = [self.add_variable_from_reference(v, "momentum") for v in variables]
        self.squares = [
            self.add_variable_from_reference(v, "square") if len(v.shape) < 2 else None
            for v in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable; Keras calls this for each of them."""
        index = self._get_variable_index(variable)
        momentum = self.momenta[index]
        square = self.squares[index]
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(momentum, self.momentum * momentum + (1 - self.momentum) * gradient)
        nesterov = self.momentum * momentum + (1 - self.momentum) * gradient
        if square is None:
            matrix = ops.reshape(nesterov, (-1, variable.shape[-1]))
            step = orthogonal(matrix) * 0.2 * max(matrix.shape) ** 0.5
            self.assign_sub(variable, rate * ops.reshape(step, variable.shape))
            return
        self.assign(square, self.beta_2 * square + (1 - self.beta_2) * ops.square(gradient))
        steps = ops.cast(self.iterations + 1, variable.dtype)
        nesterov = nesterov / (1 - self.momentum ** (steps + 1))
        scale = ops.sqrt(square / (1 - self.beta_2**steps)) + 1e-7
        self.assign_sub(variable, ADAM_RATE * rate * nesterov / scale)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "momentum": self.momentum, "beta_2": self.beta_2}


def orthogonal(matrix: Any) -> Any:
    """Return a matrix (m, n) with its singular values changed to between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ ops.transpose(x)
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else ops.transpose(x)


def inverse_time_decay(learning_rate: float, decay: float) -> Any:
    """Return the rate learning_rate / (1 + decay * step), Keras 2's `Adam(lr, decay)`."""
    return keras.optimizers.schedules.InverseTimeDecay(
        learning_rate, decay_steps=1, decay_rate=decay
    )


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly to `peak` and falls by half a cosine to LAST of it.

    After Smith and Topin, "Super-convergence" (2017): the large rate makes fast progress and the
    small one at the end converges, so that few epochs are enough.
    """

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, from 0."""
        done = (ops.cast(step, "float32") + 1) / self.steps
        fall = ops.clip((done - WARM_UP) / (1 - WARM_UP), 0, 1)
        down = LAST + (1 - LAST) * 0.5 * (1 + ops.cos(math.pi * fall))
        return self.peak * ops.minimum(done / WARM_UP, down)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"peak": self.peak, "steps": self.steps}


# By name, each made from (learning rate, steps of all epochs, epochs).
OPTIMIZERS: dict[str, Callable[[float, int, int], keras.optimizers.Optimizer]] = {
    "adam_with_decay": lambda learning_rate, steps, epochs: keras.optimizers.Adam(
        inverse_time_decay(learning_rate, learning_rate / epochs)
    ),
    "muon_one_cycle": lambda learning_rate, steps, epochs: Muon(OneCycle(learning_rate, steps)),
}


def make_optimizer(plan: TrainingPlan, steps: int, epochs: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a plan for a phase of `steps` steps in `epochs` epochs."""
    return OPTIMIZERS[SCHEDULES[plan.schedule].optimizer](plan.learning_rate, steps, epochs)


def apply_norm_momentum(model: keras.Model, schedule: Schedule) -> None:
    """Set the momentum of all BatchNormalization layers of `model` to that of a Schedule."""
    for layer in model.layers:
        if schedule.norm_momentum and isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = schedule.norm_momentum
