"""Batches of a dataset, as Keras trains on them."""

import logging

import numpy as np

from pyimagesearch.backend import keras
from pyimagesearch.datasets.transforms import augment
from pyimagesearch.files import printable

logger = logging.getLogger(__name__)


class Batches(keras.utils.PyDataset):
    """Batches (images, targets): the targets are the images themselves unless others are given."""

    def __init__(
        self,
        dataset,
        spec,
        batch_size,
        seed=None,
        augmentations=(),
        targets=None,
        noise=0.0,
        **options,
    ):
        """Read `dataset` in order, or in an order reshuffled each epoch when `seed` is given.

        `augmentations` are names of AUGMENTATIONS. `targets` has an entry a row of the dataset.
        `noise` is the standard deviation of what is added to the images, not to the targets.
        `options` are those of keras' PyDataset.
        """
        super().__init__(**options)
        self.dataset, self.spec, self.batch_size = dataset, spec, batch_size
        self.augmentations, self.targets, self.noise = augmentations, targets, noise
        self.seed, self.epoch = seed, 0
        self.order = np.arange(len(dataset))
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, batch):
        rows, images = self.images(batch)
        random = np.random.default_rng([self.seed or 0, self.epoch, batch])
        if self.augmentations:
            images = augment(images, self.augmentations, random)
        targets = images if self.targets is None else self.targets[rows]
        if self.noise:
            noise = self.noise * random.standard_normal(images.shape, np.float32)
            images = np.clip(images + noise, 0, 1)
        return images, targets

    def images(self, batch):
        """Return the rows of a batch and their images as they are, at least one."""
        rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        good, images, rejects = self.dataset.read_good(rows, self.spec)
        for path, reason in rejects:
            logger.warning(f"{printable(path)}: {reason}")
        return (good, images) if len(good) else self._some()

    def _some(self):
        """Return one row that can be read, for a batch in which none can."""
        for row in self.order:
            good, images, _ = self.dataset.read_good([row], self.spec)
            if len(good):
                return good, images
        raise ValueError("none of the pictures can be read")

    def on_epoch_end(self):
        """Shuffle for the next epoch."""
        self.epoch += 1
        if self.seed is not None:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self.order)

    def skip_epochs(self, count):
        """Go on as if `count` epochs were over."""
        for _ in range(count):
            self.on_epoch_end()


def encode_rows(network, dataset, spec, rows, batch_size=256):
    """Encode rows of a dataset with a Keras network that gives flat codes.

    Returns the rows that could be read, int64 (k,), and their codes, float32 (k, d).
    """
    good, codes = [], []
    for start in range(0, len(rows), batch_size):
        read, images, _ = dataset.read_good(rows[start : start + batch_size], spec)
        if len(read):
            good.append(read)
            # Not predict: of a model on several devices that returns the batch once for each.
            codes.append(np.asarray(network(images, training=False), np.float32))
    if not good:
        raise ValueError("none of the pictures can be read")
    return np.concatenate(good), np.concatenate(codes)
