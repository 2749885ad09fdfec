"""Objectives: the losses of the training phases, and the targets they compare outputs with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.backend import keras
from pyimagesearch.datasets.dataset import Dataset, Splits
from pyimagesearch.decomposition.diffusion_map import (
    MIN_CODES,
    align,
    extend_map,
    neighbour_map,
)
from pyimagesearch.encoders.keras_network import encode_with_network
from pyimagesearch.training.plan import Phase, require_labels

ops = keras.ops

TEMPERATURE = 0.1  # as Khosla et al. chose it
INSTEAD = "use --objective views"
MAP_DIM = 32  # further eigenvectors separate single images, not classes


def normalized_mse(points: Any, codes: Any) -> Any:
    """Return the squared distances of codes (n, d) from target points (n, d), as (n,).

    They are divided by the squared length of the points, so that the scale of codes cancels.
    """
    lengths = ops.sum(ops.square(points), axis=1)
    return ops.sum(ops.square(codes - points), axis=1) / ops.maximum(lengths, 1e-12)


def supervised_contrast(labels: Any, codes: Any) -> Any:
    """Return the supervised contrastive loss of a batch, (n,); 0 for an image without a partner.

    The partners of an image are the others of its label, int (n,). The loss is -log softmax of
    the cosines of the codes (n, d) over the rest of the batch, divided by TEMPERATURE and averaged
    over the partners (Khosla et al., "Supervised contrastive learning", 2020, equation 2). Images
    with a label below 0 have none.
    """
    codes = ops.normalize(codes, axis=1)
    labels = ops.reshape(labels, (-1,))
    others = 1 - ops.eye(ops.shape(codes)[0], dtype=codes.dtype)
    alike = ops.cast((labels[:, None] == labels) & (labels[:, None] >= 0), codes.dtype) * others
    logits = codes @ ops.transpose(codes) / TEMPERATURE - 1e9 * (1 - others)
    loss = ops.logsumexp(logits, axis=1, keepdims=True) - logits
    partners = ops.sum(alike, axis=1)
    return ops.sum(alike * loss, axis=1) / ops.maximum(partners, 1)


LOSSES = {
    "mse": "mse",  # Keras' own, of images
    "normalized_mse": normalized_mse,
    "supervised_contrast": supervised_contrast,
}


def require_targets(phases: Sequence[Phase], splits: Splits) -> None:
    """Raise ValueError if two datasets lack the labels or the images that the phases need."""
    targets = {phase.target for phase in phases}
    if "labels" in targets:
        remedy = f"put the pictures into sub-folders by class, or {INSTEAD}"
        require_labels(splits.training, "to train on", remedy)
        remedy = f"pass a larger --validation, another --seed or more images, or {INSTEAD}"
        require_labels(splits.validation, "to validate on", remedy)
    if "map" in targets and len(splits.training) < MIN_CODES:
        raise ValueError(
            f"the objective neighbours needs at least {MIN_CODES} images to train on, received "
            f"{len(splits.training)}: {INSTEAD}"
        )


def phase_targets(
    phase: Phase, encoder: keras.Model, splits: Splits
) -> tuple[AnyArray | None, AnyArray | None]:
    """Return the targets of a phase for two datasets: arrays with an entry a row, or (None, None).

    None means that the images themselves are the targets. `encoder` is the Keras network trained
    so far, images to codes (n, d). Raises ValueError when there are too few images for a map.
    """
    if phase.target == "labels":
        return splits.training.labels, splits.validation.labels
    if phase.target == "images":
        return None, None
    training = splits.training
    validation = splits.validation
    spec = splits.spec
    rows, codes = encode_with_network(encoder, training, spec, np.arange(len(training)))
    points = neighbour_map(codes, min(codes.shape[1], MAP_DIM))
    points = align(points, codes) * np.linalg.norm(codes, axis=1).mean()
    new_rows, new_codes = encode_with_network(encoder, validation, spec, np.arange(len(validation)))
    new_points = extend_map(points, codes, new_codes)
    return by_row(rows, points, training), by_row(new_rows, new_points, validation)


def by_row(rows: Rows, points: Floats, dataset: Dataset) -> Floats:
    """Return points as an array with an entry a row of the dataset, zeros for other rows."""
    targets = np.zeros((len(dataset), *points.shape[1:]), np.float32)
    targets[rows] = points
    return targets
