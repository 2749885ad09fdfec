"""The files and messages that a training ends with."""

import logging
from typing import Any

import numpy as np

from pyimagesearch.arrays import History, Source
from pyimagesearch.datasets.dataset import Splits
from pyimagesearch.encoders.export import save_encoder
from pyimagesearch.encoders.keras_files import save_model
from pyimagesearch.evaluation.diagnostics import RetrievalCheck, diagnose, reconstruct
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.montage import reconstruction_sheet
from pyimagesearch.show.plots import plot_training

logger = logging.getLogger(__name__)


def write_training(
    autoencoder: Any,
    splits: Splits,
    history: History,
    *,
    check: RetrievalCheck | None,
    source: Source,
    model: str,
    encoder: str | None,
    vis: str,
    plot: str,
) -> None:
    """Write a trained Keras model, and pictures of its reconstructions and its history.

    `model`, `vis` and `plot` are paths, `encoder` is that of a file for the encoder alone, or None.
    `history` is that of the Checkpoint, and `check` the RetrievalCheck or None. `source` is that of
    the images, with their limit. Raises ValueError, before anything is written, for a model whose
    weights are NaN or infinite.
    """
    if not all(np.isfinite(weights).all() for weights in autoencoder.get_weights()):
        raise ValueError(
            f"weights of the model are NaN or infinite, so {model} was not written: train again "
            "with a lower --learning-rate or other images"
        )
    save_model(autoencoder, model, splits.spec, source)
    written = [model]
    if encoder:
        save_encoder(autoencoder, encoder, splits.spec, source)
        written.append(encoder)
    originals, decoded = reconstruct(autoencoder, splits.validation, splits.spec)
    if len(originals):
        write_image(vis, reconstruction_sheet(originals, decoded))
        written.append(vis)
    if history:
        plot_training(plot, history, check.baselines if check else {})
        written.append(plot)
    for path in written:
        logger.info(f"wrote {path}")


def log_diagnosis(
    autoencoder: Any, history: History, splits: Splits, check: RetrievalCheck | None
) -> None:
    """Log what `diagnose` says about a trained Keras model."""
    summary, warnings = diagnose(autoencoder, history, splits, check)
    for line in summary:
        logger.info(line)
    for line in warnings:
        logger.warning(line)
