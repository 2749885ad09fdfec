"""Training diagnostics: blank reconstructions, collapsed or dead codes, too little retrieved."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyimagesearch.arrays import Floats, History, Labels, Rows
from pyimagesearch.datasets.dataset import Dataset, Splits
from pyimagesearch.encoders.encoding import warn_unreadable
from pyimagesearch.encoders.keras_network import encode_with_network, encoder_of, outputs_of
from pyimagesearch.evaluation.baselines import baseline_points, reduced
from pyimagesearch.evaluation.evaluate import read_rows
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.pictures.input_spec import InputSpec

IMAGE_PHASES = "reconstruct", "denoise", "decode"  # phases whose loss is an MSE of images

MAX_IMAGES = 10_000  # for the loss of a constant image, and in the gallery of a RetrievalCheck
MAX_QUERIES = 1_000
COLLAPSED_SPREAD = 1e-4  # of codes about their mean, relative to their length
DEAD_SPREAD = 0.01  # standard deviation of a dead dimension, relative to that of the widest
MIN_GAIN = 0.01  # a smaller difference in P@10 is not significant with 1,000 queries


def diagnose(
    autoencoder: Any, history: History, splits: Splits, check: "RetrievalCheck | None" = None
) -> tuple[list[str], list[str]]:
    """Return a summary of a trained autoencoder and warnings about it, two lists of lines.

    `history` is that of the training's Checkpoint, `splits` are its images. The loss is that of the
    last phase that compared images. Retrieval is measured where there is a RetrievalCheck `check`.
    """
    summary = []
    warnings = []
    phases = [row["phase"] for row in history if row["phase"] in IMAGE_PHASES]
    if phases:
        loss = min(row["val_loss"] for row in history if row["phase"] == phases[-1])
        constant = constant_loss(splits)
        summary.append(f"validation MSE {loss:.4f} (best constant image: {constant:.4f})")
        warnings += blank(loss, constant)
    encoder = encoder_of(autoencoder)
    rows = np.arange(min(MAX_QUERIES, len(splits.training)))
    _, codes = encode_with_network(encoder, splits.training, splits.spec, rows)
    warnings += collapse(codes)
    warnings += dead_dimensions(codes)
    if check:
        precision = check.precision(encoder)
        others = ", ".join(f"{name} {value:.3f}" for name, value in check.baselines.items())
        summary.append(f"validation P@10 {precision:.3f} ({others})")
        warnings += weak_codes(precision, check.baselines, check.best)
    return summary, warnings


def reconstruct(
    autoencoder: Any, dataset: Dataset, spec: InputSpec, count: int = 10
) -> tuple[Floats, Floats]:
    """Return those of the first `count` images that can be read, and their reconstructions.

    Both are float32 (k, *spec.shape) in [0, 1], k <= count.
    """
    batch = dataset.read_good(range(min(count, len(dataset))), spec)
    warn_unreadable(batch.unreadable)
    if not len(batch.images):
        return batch.images, batch.images
    return batch.images, outputs_of(autoencoder, batch.images)


class RetrievalCheck:
    """Searches a sample of the training images for a sample of the validation images.

    Images with the query's label are relevant. `baselines` maps names to the P@10 of codes that
    need no training: those of BASELINES and the "untrained" network. `best` is that of a perfect
    ranking, below 1 where there are fewer than 10 relevant images.
    """

    def __init__(self, splits: Splits, seed: int, untrained: Any) -> None:
        """Draw the samples by `seed`; `untrained` is a Keras network with codes (n, dim)."""
        training = splits.training
        validation = splits.validation
        spec = splits.spec
        self.training = training
        self.validation = validation
        self.spec = spec
        if training.labels is None or validation.labels is None:
            raise ValueError("retrieval is measured by labels, which one of the datasets lacks")
        self.labels = training.labels
        self.query_labels = validation.labels
        random = np.random.default_rng(seed)
        sampled = _labelled_sample(self.labels, MAX_IMAGES, random)
        sampled_queries = _labelled_sample(self.query_labels, MAX_QUERIES, random)
        self.rows, pixels = _readable(training, sampled, reduced(spec))
        self.query_rows, query_pixels = _readable(validation, sampled_queries, reduced(spec))
        labels = self.labels[self.rows]
        query_labels = self.query_labels[self.query_rows]
        dim = untrained.output.shape[1]
        self.baselines = {
            name: _precision(points.queries, query_labels, points.gallery, labels)
            for name, points in baseline_points(pixels, query_pixels, dim).items()
        }
        self.baselines["untrained"] = self.precision(untrained)
        as_code = labels[:, np.newaxis].astype(np.float32)
        as_query_code = query_labels[:, np.newaxis].astype(np.float32)
        self.best = _precision(as_query_code, query_labels, as_code, labels)

    def precision(self, network: Any) -> float:
        """Return the P@10, by Euclidean distance, of a Keras network with codes (n, dim)."""
        rows, codes = encode_with_network(network, self.training, self.spec, self.rows)
        query_rows, query_codes = encode_with_network(
            network, self.validation, self.spec, self.query_rows
        )
        return _precision(query_codes, self.query_labels[query_rows], codes, self.labels[rows])


def _precision(queries: Floats, query_labels: Labels, codes: Floats, labels: Labels) -> float:
    return evaluate(queries, query_labels, codes, labels, ks=(10,))["P@10"]


def make_retrieval_check(splits: Splits, seed: int, untrained: Any) -> "RetrievalCheck | None":
    """Return a RetrievalCheck, or None when the two datasets have no label in common."""
    training = splits.training
    validation = splits.validation
    if training.labels is None or validation.labels is None:
        return None
    known = set(training.labels[training.labels >= 0].tolist())
    if not known & set(validation.labels.tolist()):
        return None
    return RetrievalCheck(splits, seed, untrained)


def _labelled_sample(labels: Labels, count: int, random: np.random.Generator) -> Rows:
    rows = np.flatnonzero(labels >= 0)
    return np.sort(random.permutation(rows)[:count])


def _readable(dataset: Dataset, rows: Rows, spec: InputSpec) -> tuple[Rows, Floats]:
    """Return those of the rows whose images can be read, and the images."""
    images = read_rows(dataset, rows, spec)
    good = dataset.readable(rows)
    return rows[good], images[good]


def constant_loss(splits: Splits) -> float:
    """Return the validation MSE of the mean training image, the best constant prediction.

    An autoencoder with a loss as high has collapsed. Of both datasets the first MAX_IMAGES images
    are read, batch by batch.
    """
    total = np.zeros(splits.spec.shape)
    count = 0
    for images in _image_batches(splits.training, splits.spec):
        total = total + images.sum(axis=0, dtype=np.float64)
        count = count + len(images)
    mean = total / count
    error = 0.0
    count = 0
    for images in _image_batches(splits.validation, splits.spec):
        error = error + np.square(images - mean).sum()
        count = count + len(images)
    return float(error / (count * mean.size))


def _image_batches(dataset: Dataset, spec: InputSpec) -> Iterator[Floats]:
    rows = np.arange(min(len(dataset), MAX_IMAGES))
    for batch in dataset.batches(spec, rows=rows):
        warn_unreadable(batch.unreadable)
        yield batch.images


def blank(loss: float, constant: float) -> list[str]:
    """Return a warning, in a list, when a validation MSE is not below that of a constant image.

    It says nothing about the codes, by which a search may work nevertheless.
    """
    if loss < 0.99 * constant:
        return []
    return [
        f"BLANK: the validation MSE {loss:.4f} is no better than that of one constant image "
        f"({constant:.4f}), so the reconstructions show little; for a search the codes count. Try "
        "more --epochs, another --learning-rate or more images."
    ]


def collapse(codes: Floats) -> list[str]:
    """Return a warning, in a list, when codes, float32 (n, d), are the same for all images."""
    spread = np.sqrt(codes.var(axis=0, dtype=np.float64).sum())
    length = np.sqrt(np.square(codes, dtype=np.float64).sum(axis=1).mean())
    if len(codes) < 2 or spread > COLLAPSED_SPREAD * length:
        return []
    return [
        f"COLLAPSED: the codes differ by {spread:.2g} for a length of {length:.2g}, so they do not "
        "distinguish images. Try a smaller --learning-rate, another --seed, more --epochs or more "
        "images."
    ]


def dead_dimensions(codes: Floats) -> list[str]:
    """Return a warning, in a list, when dimensions of codes, float32 (n, d), hardly vary.

    Of n images no more than n - 1 can be expected to do so.
    """
    spread = codes.std(axis=0)
    dead = np.flatnonzero(~(spread > DEAD_SPREAD * spread.max()))
    if len(spread) - len(dead) >= min(len(spread), len(codes) - 1):
        return []
    shown = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
    return [
        f"DEAD: {len(dead)} of {len(spread)} dimensions of the code ({shown}) have the same value "
        "for all images. Try a smaller --latent-dim or --learning-rate, more --epochs, or another "
        "--architecture."
    ]


def weak_codes(precision: float, baselines: dict[str, float], best: float = 1.0) -> list[str]:
    """Return a warning, in a list, about baselines, P@10 by name, that codes do not exceed.

    `best` is the P@10 of a perfect ranking, which cannot be exceeded.
    """
    better = [
        f"{name} ({value:.3f})"
        for name, value in baselines.items()
        if not precision > min(value, best - 2 * MIN_GAIN) + MIN_GAIN
    ]
    if not better:
        return []
    return [
        f"WEAK: the P@10 of the codes ({precision:.3f}) is no better than that of "
        f"{', '.join(better)}, without training. Try another --objective (views, or supcon, which "
        "learns the labels), a network trained on photographs (--backbone mobilenet_v2), a "
        "larger --latent-dim or, except for views, more --epochs."
    ]
