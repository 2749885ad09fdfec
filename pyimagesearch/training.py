"""Training an autoencoder: batches from a dataset, the published recipe, the best epoch kept."""

import sys

import numpy as np
from tqdm.keras import TqdmCallback

from pyimagesearch.backend import keras
from pyimagesearch.cli import info
from pyimagesearch.files import replacing


class Reconstruction(keras.utils.PyDataset):
    """Batches of a dataset as (images, images): an autoencoder's target is its input."""

    def __init__(self, dataset, spec, batch_size, seed=None):
        """Read `dataset` in order, or in an order reshuffled each epoch when `seed` is given."""
        super().__init__()
        self.dataset, self.spec, self.batch_size = dataset, spec, batch_size
        self.random = None if seed is None else np.random.default_rng(seed)
        self.order = np.arange(len(dataset))
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, batch):
        rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        images = self.dataset.read(rows, self.spec)
        return images, images

    def on_epoch_end(self):
        if self.random is not None:
            self.random.shuffle(self.order)


class BestEpoch(keras.callbacks.Callback):
    """Remembers the weights of the epoch with the lowest validation loss."""

    loss, weights = np.inf, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self.loss:
            self.loss, self.weights = logs["val_loss"], self.model.get_weights()


class EpochLines(keras.callbacks.Callback):
    """Prints a line an epoch: for logs, where a progress bar would leave thousands."""

    def on_epoch_end(self, epoch, logs=None):
        terms = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        info(f"epoch {epoch + 1} of {self.params['epochs']}: {terms}")


def inverse_time_decay(learning_rate, decay):
    """Return the rate learning_rate / (1 + decay * step), as `Adam(lr, decay)` of old had it."""
    return keras.optimizers.schedules.InverseTimeDecay(
        learning_rate, decay_steps=1, decay_rate=decay
    )


def train(autoencoder, training, validation, epochs, learning_rate):
    """Train `autoencoder` in place, by MSE, on batches of `training`; keep its best epoch.

    Adam starts at `learning_rate` and decays by `learning_rate / epochs` a step. Ctrl-C ends the
    training early. Returns the losses, {"loss": [...], "val_loss": [...]} with one entry a finished
    epoch, and whether all epochs were finished.
    """
    # A second model over the same layers is compiled, so that the saved one carries no optimizer.
    trainer = keras.Model(autoencoder.inputs, autoencoder.outputs)
    rate = inverse_time_decay(learning_rate, decay=learning_rate / epochs)
    # XLA compiles for a minute and then runs these small convolutions no faster on a CPU.
    trainer.compile(loss="mse", optimizer=keras.optimizers.Adam(rate), jit_compile=False)
    best, history = BestEpoch(), keras.callbacks.History()
    progress = TqdmCallback(verbose=1) if sys.stderr.isatty() else EpochLines()
    finished = True
    try:
        trainer.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            verbose=0,
            callbacks=[best, history, progress],
        )
    except KeyboardInterrupt:
        finished = False
    if best.weights is not None:
        autoencoder.set_weights(best.weights)
    return history.history, finished


def constant_loss(training, validation):
    """Return the validation MSE of the best picture that ignores its input: the training mean.

    An autoencoder that does no better has collapsed. Both arguments are batches of images, which
    are read once and never held.
    """
    mean = sum(images.sum(axis=0, dtype=np.float64) for images, _ in training)
    mean /= len(training.order)
    error = sum(np.square(images - mean).sum() for images, _ in validation)
    return float(error / (len(validation.order) * mean.size))


def save_model(model, path):
    """Write a Keras model to `path`, whose suffix, .keras or .h5, chooses the format."""
    with replacing(path) as temporary:
        model.save(temporary)
