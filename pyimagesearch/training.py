"""Training an autoencoder: batches from a dataset, the published recipe, the best epoch kept."""

import sys

import numpy as np

from pyimagesearch.augmentation import augment
from pyimagesearch.backend import keras
from pyimagesearch.cli import info, warn
from pyimagesearch.scanning import printable

SAMPLED = 10_000  # images that tell what a constant picture would score


class Reconstruction(keras.utils.PyDataset):
    """Batches of a dataset as (images, images): an autoencoder's target is its input."""

    def __init__(self, dataset, spec, batch_size, seed=None, augmentations=(), **options):
        """Read `dataset` in order, or in an order reshuffled each epoch when `seed` is given.

        `augmentations` are names of AUGMENTATIONS; `options` are those of keras' PyDataset.
        """
        super().__init__(**options)
        self.dataset, self.spec, self.batch_size = dataset, spec, batch_size
        self.augmentations, self.seed, self.epoch = augmentations, seed, 0
        self.order = np.arange(len(dataset))
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, batch):
        rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        good, images, rejects = self.dataset.read_good(rows, self.spec)
        for path, reason in rejects:
            warn(f"{printable(path)}: {reason}")
        if not len(good):  # a batch must not be empty
            return self._some()
        if self.augmentations:
            random = np.random.default_rng([self.seed, self.epoch, batch])
            images = augment(images, self.augmentations, random)
        return images, images

    def _some(self):
        """Return one image that can be read, for a batch in which none can."""
        for row in self.order:
            good, images, _ = self.dataset.read_good([row], self.spec)
            if len(good):
                return images, images
        raise ValueError("none of the pictures can be read")

    def on_epoch_end(self):
        self.epoch += 1
        if self.seed is not None:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self.order)


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
    from tqdm.keras import TqdmCallback  # it imports Keras, which backend does more quietly

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

    An autoencoder that does no better has collapsed. Both arguments are batches of images, of
    which the first SAMPLED images are read, and never held.
    """
    total, count = 0, 0
    for images in _sample(training):
        total, count = total + images.sum(axis=0, dtype=np.float64), count + len(images)
    mean, error, count = total / count, 0.0, 0
    for images in _sample(validation):
        error, count = error + np.square(images - mean).sum(), count + len(images)
    return float(error / (count * mean.size))


def _sample(batches):
    for i in range(min(len(batches), -(-SAMPLED // batches.batch_size))):
        yield batches[i][0]
