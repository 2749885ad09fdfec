"""Batches of a dataset for Keras, and codes of a dataset by a Keras network."""

from collections.abc import Sequence

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.backend import keras
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoding import warn_unreadable
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.training.augmentations import augment

QUEUED_BATCHES = 8  # read ahead by the threads of a dataset that has any


class Batches(keras.utils.PyDataset):
    """Batches (inputs, targets), by default augmented images and the same images as targets."""

    def __init__(
        self,
        dataset: Dataset,
        spec: InputSpec,
        batch_size: int,
        seed: int | None = None,
        *,
        augmentations: Sequence[str] = (),
        inputs: AnyArray | None = None,
        targets: AnyArray | None = None,
        noise: float = 0.0,
    ) -> None:
        """Read `dataset` in order, or with a `seed` in an order that is shuffled each epoch.

        `augmentations` are names of AUGMENTATIONS. `inputs` and `targets` have an entry for
        each row of the dataset. `noise` is the standard deviation of noise that is added to the
        images, not to the targets.
        """
        super().__init__(workers=dataset.reader_threads, max_queue_size=QUEUED_BATCHES)
        self.dataset = dataset
        self.spec = spec
        self.batch_size = batch_size
        self.augmentations = augmentations
        self.noise = noise
        self.inputs = inputs
        self.targets = targets
        self.seed = seed
        self.epoch = 0
        self.order = np.arange(len(dataset))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[AnyArray, AnyArray]:
        rows, images = self.read(batch)
        random = np.random.default_rng([self.seed or 0, self.epoch, batch])
        if self.augmentations:
            images = augment(images, self.augmentations, random)
        targets = images if self.targets is None else self.targets[rows]
        if self.noise:
            noise = self.noise * random.standard_normal(images.shape, np.float32)
            images = np.clip(images + noise, 0, 1)
        return images if self.inputs is None else self.inputs[rows], targets

    def read(self, batch: int) -> tuple[Rows, Floats]:
        """Return the rows of a batch that can be read and their unchanged images, at least one."""
        rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        read = self.dataset.read_good(rows, self.spec)
        warn_unreadable(read.unreadable)
        if len(read.rows):
            return read.rows, read.images
        return self._first_readable()

    def _first_readable(self) -> tuple[Rows, Floats]:
        """Return one row, in place of a batch of which none can be read."""
        for row in self.order.tolist():
            read = self.dataset.read_good([row], self.spec)
            warn_unreadable(read.unreadable)
            if len(read.rows):
                return read.rows, read.images
        raise ValueError("none of the pictures can be read")

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        if self.seed is not None:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self.order)

    def skip_epochs(self, count: int) -> None:
        """Continue as after `count` epochs."""
        for _ in range(count):
            self.on_epoch_end()
