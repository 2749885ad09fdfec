"""Objectives: what a code is trained for, as phases that are trained one after the other."""

from typing import NamedTuple

import numpy as np

from pyimagesearch.backend import keras
from pyimagesearch.training.batches import encode_rows
from pyimagesearch.training.diffusion_map import align, extend_map, neighbour_map

ops = keras.ops

NOISE = 0.3  # standard deviation, for pixels in [0, 1]
TEMPERATURE = 0.1  # as Khosla et al. chose it
MAP_DIM = 32  # eigenvectors beyond these tell single images apart, not kinds of them


def normalized_mse(points, codes):
    """Return the squared distance of codes (n, d) from the points to follow, as (n,).

    In units of the points' own squared length, so that it is the same for codes of any size.
    """
    lengths = ops.sum(ops.square(points), axis=1)
    return ops.sum(ops.square(codes - points), axis=1) / ops.maximum(lengths, 1e-12)


def supervised_contrast(labels, codes):
    """Return the supervised contrastive loss of a batch, (n,), 0 for what has no partner.

    Each of the codes (n, d) is to be more like those with its label, int (n,), by cosine, than
    like all others: -log softmax over the batch, averaged over the partners (Khosla et al.,
    "Supervised contrastive learning", 2020, equation 2). Labels below 0 stand for none.
    """
    codes = ops.normalize(codes, axis=1)
    labels = ops.reshape(labels, (-1,))
    others = 1 - ops.eye(ops.shape(codes)[0], dtype=codes.dtype)
    alike = ops.cast((labels[:, None] == labels) & (labels[:, None] >= 0), codes.dtype) * others
    logits = codes @ ops.transpose(codes) / TEMPERATURE - 1e9 * (1 - others)
    loss = ops.logsumexp(logits, axis=1, keepdims=True) - logits
    partners = ops.sum(alike, axis=1)
    return ops.sum(alike * loss, axis=1) / ops.maximum(partners, 1)


class Phase(NamedTuple):
    """A part of the training: `trains` the autoencoder, or its encoder or decoder alone.

    `epoch_scale` is its number of epochs as a multiple of --epochs. `loss` is Keras' name of a loss
    or a function of (targets, outputs); `target` names the targets: "images", "map"
    or "labels".
    """

    name: str
    epoch_scale: float
    trains: str = "autoencoder"
    loss: object = "mse"
    target: str = "images"
    noise: float = 0.0


# The decoder learns to read a code once that code is done: trained along with it, it would take
# most of the time, and pull the code back to what single pixels look like.
DECODE = Phase("decode", 0.2, "decoder")
OBJECTIVES = {
    "reconstruction": [Phase("reconstruct", 1)],
    "denoising": [Phase("denoise", 1, noise=NOISE)],
    "neighbours": [
        Phase("reconstruct", 0.4),
        Phase("follow", 0.4, "encoder", normalized_mse, "map"),
        # The code so far has better neighbours than the one that the first map was made from.
        Phase("refine", 0.6, "encoder", normalized_mse, "map"),
        DECODE,
    ],
    # Twice as many epochs: of the encoder alone, they cost a fifth.
    "triplet": [Phase("separate", 2, "encoder", supervised_contrast, "labels"), DECODE],
}
# Where only the class or the neighbours count, a slightly moved image is to have the same code.
AUGMENTED = {"neighbours": ["affine"], "triplet": ["affine"]}


def phase_targets(phase, encoder, training, validation, spec):
    """Return the targets of a phase for two datasets, arrays with an entry a row; or None, None.

    `encoder` is the network so far, from images to flat codes. Raises ValueError when there are no
    labels, or too few images.
    """
    if phase.target == "labels":
        return _labels(training), _labels(validation)
    if phase.target == "images":
        return None, None
    rows, codes = encode_rows(encoder, training, spec, np.arange(len(training)))
    points = neighbour_map(codes, min(codes.shape[1], MAP_DIM))
    points = align(points, codes) * np.linalg.norm(codes, axis=1).mean()
    new_rows, new_codes = encode_rows(encoder, validation, spec, np.arange(len(validation)))
    new_points = extend_map(points, codes, new_codes)
    return _spread(rows, points, training), _spread(new_rows, new_points, validation)


def _spread(rows, points, dataset):
    """Return points with an entry for each row of a dataset, zeros where there is none."""
    targets = np.zeros((len(dataset), points.shape[1]), np.float32)
    targets[rows] = points
    return targets


def _labels(dataset):
    if dataset.labels is None or len(set(dataset.labels[dataset.labels >= 0].tolist())) < 2:
        raise ValueError(
            f"the objective triplet needs labels of 2 kinds or more, and {dataset.source['name']}"
            " has none: put the pictures into sub-folders by kind, or use --objective neighbours"
        )
    return dataset.labels
