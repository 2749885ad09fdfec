"""Diagnosis: what a training came to, and what to try when that is nothing."""

import logging

import numpy as np

from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.models.keras_files import encoder_of
from pyimagesearch.training.batches import encode_rows

logger = logging.getLogger(__name__)

PICTURES = "reconstruct", "denoise", "decode"  # the phases whose loss compares pictures

SAMPLED = 10_000  # images that tell what a constant picture would score, or that are searched
QUERIES = 1_000
DEAD = 0.01  # of the spread of the widest dimension
SAME = 0.01  # a difference in P@10 that 1,000 queries do not show for sure


class Diagnosis:
    """Made before a training, asked after it. `check` is a RetrievalCheck, None without labels."""

    def __init__(self, untrained, training, validation, spec, seed):
        """Measure by P@10 what needs no training: raw pixels, and the codes of `untrained`."""
        self.training, self.validation, self.spec = training, validation, spec
        self.check, self.baselines = retrieval_check(training, validation, spec, seed), {}
        if self.check:
            untrained = self.check.precision(encoder_of(untrained))
            self.baselines = {"raw pixels": self.check.pixels, "untrained": untrained}

    def report(self, autoencoder, history):
        """Print how good the kept model is, and loudly what is wrong with it, if anything is.

        `history` has a dict an epoch. The loss is that of the last phase that ended in pictures.
        """
        warnings = []
        losses = {row["phase"]: [] for row in history if row["phase"] in PICTURES}
        for row in history:
            losses.get(row["phase"], []).append(row["val_loss"])
        if losses:
            loss = min(list(losses.values())[-1])
            constant = constant_loss(self.training, self.validation, self.spec)
            logger.info(f"validation MSE {loss:.4f} (best constant image: {constant:.4f})")
            warnings += collapse(loss, constant)
        rows = np.arange(min(QUERIES, len(self.validation)))
        encoder = encoder_of(autoencoder)
        warnings += dead_dimensions(encode_rows(encoder, self.validation, self.spec, rows)[1])
        if self.check:
            precision = self.check.precision(encoder)
            others = ", ".join(f"{name} {value:.3f}" for name, value in self.baselines.items())
            logger.info(f"validation P@10 {precision:.3f} ({others})")
            warnings += useless_codes(precision, self.baselines)
        for line in warnings:
            logger.warning(line)


class RetrievalCheck:
    """Searches a sample of the training images for a sample of the validation images.

    `pixels` is the precision@10 of raw pixels, to compare with. Relevant is the same label.
    """

    def __init__(self, training, validation, spec, seed):
        """Draw the samples. Raises ValueError when no image has a label."""
        self.training, self.validation, self.spec = training, validation, spec
        random = np.random.default_rng(seed)
        self.rows = _labelled_sample(training.labels, SAMPLED, random)
        self.queries = _labelled_sample(validation.labels, QUERIES, random)
        self.pixels = self._score(
            *(
                (good, images.reshape(len(good), -1))
                for good, images, _ in (
                    training.read_good(self.rows, spec),
                    validation.read_good(self.queries, spec),
                )
            )
        )

    def precision(self, network):
        """Return the precision@10, by Euclidean distance, of a network that gives flat codes."""
        return self._score(
            encode_rows(network, self.training, self.spec, self.rows),
            encode_rows(network, self.validation, self.spec, self.queries),
        )

    def _score(self, gallery, queries):
        (rows, codes), (query_rows, query_codes) = gallery, queries
        labels = self.validation.labels[query_rows], self.training.labels[rows]
        return evaluate(query_codes, labels[0], codes, labels[1], ks=(10,))["P@10"]


def retrieval_check(training, validation, spec, seed):
    """Return a RetrievalCheck, or None when there are no labels to measure by."""
    if training.labels is None or validation.labels is None:
        return None
    known = set(training.labels[training.labels >= 0].tolist())
    if not known & set(validation.labels.tolist()):
        return None
    return RetrievalCheck(training, validation, spec, seed)


def _labelled_sample(labels, count, random):
    rows = np.flatnonzero(labels >= 0)
    return np.sort(random.permutation(rows)[:count])


def constant_loss(training, validation, spec):
    """Return the validation MSE of the best picture that ignores its input: the training mean.

    An autoencoder that does no better has collapsed. Both are datasets, of which the first SAMPLED
    images are read, and never held.
    """
    total, count = 0, 0
    for images in _sample(training, spec):
        total, count = total + images.sum(axis=0, dtype=np.float64), count + len(images)
    mean, error, count = total / count, 0.0, 0
    for images in _sample(validation, spec):
        error, count = error + np.square(images - mean).sum(), count + len(images)
    return float(error / (count * mean.size))


def _sample(dataset, spec, batch_size=256):
    for start in range(0, min(len(dataset), SAMPLED), batch_size):
        rows = np.arange(start, min(start + batch_size, len(dataset)))
        yield dataset.read_good(rows, spec)[1]


def collapse(loss, constant):
    """Return a warning when a validation MSE is that of one constant image, or worse."""
    if loss < 0.99 * constant:
        return []
    return [
        f"COLLAPSED: validation MSE {loss:.4f} is no better than one constant image for every "
        f"input ({constant:.4f}), so its codes cannot tell images apart. Try a smaller "
        "--learning-rate, another --seed, more --epochs or more images."
    ]


def dead_dimensions(codes):
    """Return a warning when some numbers of the codes, float32 (n, d), hardly ever change."""
    spread = codes.std(axis=0)
    dead = np.flatnonzero(~(spread > DEAD * spread.max()))
    if not len(dead):
        return []
    shown = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
    return [
        f"DEAD: {len(dead)} of {len(spread)} numbers of the code are the same for all images "
        f"({shown}) and tell nothing. Try a smaller --latent-dim or --learning-rate, more "
        "--epochs, or another --architecture."
    ]


def useless_codes(precision, baselines):
    """Return warnings when codes retrieve no better, by P@10, than what needs no training."""
    return [
        f"USELESS: P@10 {precision:.3f} of the codes is no better than that of {name} "
        f"({value:.3f}). Try --objective neighbours (or triplet, with labels), more --epochs or a "
        "larger --latent-dim."
        for name, value in baselines.items()
        if not precision > min(value, 1 - 2 * SAME) + SAME  # nothing is better than perfect
    ]
