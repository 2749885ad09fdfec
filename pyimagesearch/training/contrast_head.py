"""A small network from features of pictures to codes, trained with labels."""

import math

import numpy as np

from pyimagesearch.arrays import Labels
from pyimagesearch.backend import keras
from pyimagesearch.decomposition.adapted_map import Components, LinearMap
from pyimagesearch.terminal import ctrl_c_waits, progress
from pyimagesearch.training.callbacks import CtrlC
from pyimagesearch.training.objectives import supervised_contrast
from pyimagesearch.training.optimizers import OneCycle

HIDDEN = 512
DROPOUT = 0.3  # of the components: no code may depend on a few of them
BATCH = 512  # pictures that are compared with each other
EPOCHS = 20
LEARNING_RATE = 3e-3  # the largest of the schedule
WEIGHT_DECAY = 1e-4
NORM_MOMENTUM = 0.9  # the running means are over the last ten steps


def train_contrast_head(
    components: Components, labels: Labels, dim: int, seed: int
) -> list[LinearMap]:
    """Return the layers of a head whose codes have small cosines between labels.

    `labels` are int64 (n,), one for each of the points of `components`. The head is a layer of
    HIDDEN rectified units and a linear one of `dim`, trained by `supervised_contrast`. While it
    learns, components are dropped at random, and the units normalized over the batch.
    """
    keras.utils.set_random_seed(seed)
    points = components.points
    scale = float(np.sqrt(np.square(points).mean()))
    hidden = keras.layers.Dense(HIDDEN)
    norm = keras.layers.BatchNormalization(momentum=NORM_MOMENTUM)
    last = keras.layers.Dense(dim)
    network = keras.Sequential(
        [
            keras.Input(points.shape[1:]),
            keras.layers.Dropout(DROPOUT),
            hidden,
            norm,
            keras.layers.ReLU(),
            last,
        ]
    )
    steps = EPOCHS * math.ceil(len(points) / BATCH)
    optimizer = keras.optimizers.AdamW(OneCycle(LEARNING_RATE, steps), weight_decay=WEIGHT_DECAY)
    network.compile(optimizer, loss=supervised_contrast)
    with progress(EPOCHS, "epochs", "train") as done, ctrl_c_waits():
        count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: done(1))
        network.fit(
            points / scale,
            labels,
            batch_size=BATCH,
            epochs=EPOCHS,
            verbose=0,
            callbacks=[count, CtrlC()],
        )
    # The normalization is linear once the head is trained, and becomes part of the first layer.
    gamma, beta, mean, variance = norm.get_weights()
    gain = gamma / np.sqrt(variance + norm.epsilon)
    kernel, bias = hidden.get_weights()
    first = components.projection.followed_by(kernel / scale * gain, (bias - mean) * gain + beta)
    kernel, bias = last.get_weights()
    return [first, LinearMap(kernel, bias)]
