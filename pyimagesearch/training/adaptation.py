"""Adapting a network to pictures: its features once, then a map of them, in one model file.

The features of a network stay as they are; only what is put after them is computed. On a few
thousand pictures that takes seconds, where training the network itself would take hours.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyimagesearch.arrays import Floats, Labels, Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.decomposition.adapted_map import (
    Blocks,
    Components,
    LinearMap,
    adapted_map,
    components_of,
)
from pyimagesearch.encoders.adapted_head import with_head
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.feature_file import FeatureFile, origin_of
from pyimagesearch.encoders.miniatures import MiniatureNetwork, miniature_spec, with_miniatures
from pyimagesearch.encoders.model_source import ModelFlags, find_model
from pyimagesearch.encoders.trial import require_codes
from pyimagesearch.training.patches import MIN_SIDE
from pyimagesearch.training.plan import require_labels

logger = logging.getLogger(__name__)

DIM = 128  # of the codes: 64 are as good for photographs of ten kinds, not for a hundred
MAX_PICTURES = 20_000  # that are learnt from: the map does not become better with more
MAX_FEATURES = 8192  # a network gives for a picture: the covariance has the square of it


@dataclass(frozen=True)
class Adaptation:
    """How a network is adapted.

    `supcon` says whether labels are used, and `patches` whether a network of this architecture
    stands beside it; `dim` is the dimension of the codes.
    """

    supcon: bool = False
    patches: bool = False
    dim: int = DIM
    seed: int = 42


def train_from_backbone(
    backbone: ModelFlags, dataset: Dataset, path: str, settings: Adaptation
) -> None:
    """Adapt the network that is named to the pictures of a dataset, and write it to `path`.

    The features are kept in a file beside it. Raises ValueError for too few pictures, labels that
    are missing, or codes that cannot be adapted, and OSError when a file cannot be read or written.
    """
    if settings.supcon:
        remedy = "put the pictures into sub-folders by class, or leave out --objective"
        require_labels(dataset, "to adapt to", remedy)
    logger.info(f"loading {backbone.name}...")
    encoder = find_model(backbone).open()
    if encoder.text is not None:
        logger.warning(
            f"{path} will not be searched by --text: a map that is learnt from pictures does not "
            f"fit words; for these, index with {backbone.name} itself"
        )
    adapted = adapt(encoder, dataset, Path(path).parent, settings)
    require_codes(adapted)
    adapted.save_onnx(path, dataset.source)
    logger.info(f"wrote {path}")


def adapt(encoder: Encoder, dataset: Dataset, folder: Path, settings: Adaptation) -> Encoder:
    """Return an encoder with a head that is fitted to the pictures of a dataset.

    At most MAX_PICTURES are used, chosen at random. Their features are kept in `folder`.
    """
    _require_sizes(encoder, settings)
    whole = with_miniatures(encoder) if settings.patches else encoder
    rows = _chosen_rows(dataset, settings)
    features = FeatureFile(folder, origin_of(whole)).features(dataset, rows, whole)
    started = time.perf_counter()
    components = components_of(lambda: (block[:, : encoder.dim] for block in features.blocks()))
    beside = None
    if settings.patches:
        beside, codes = fit_beside(features.blocks, encoder, settings.seed)
        components = components.beside(codes)
    labels = None if dataset.labels is None else dataset.labels[features.rows]
    adapted = with_head(whole, _fit_head(components, labels, settings), beside)
    logger.info(
        f"adapted {encoder.dim:,} features to codes of {adapted.dim} dimensions by "
        f"{len(features):,} pictures in {time.perf_counter() - started:.1f} s"
    )
    return adapted


def _require_sizes(encoder: Encoder, settings: Adaptation) -> None:
    """Raise ValueError for codes that are too large to be adapted, or too small images."""
    if encoder.dim > MAX_FEATURES:
        raise ValueError(
            f"{encoder.model} gives {encoder.dim:,} numbers for a picture, and up to "
            f"{MAX_FEATURES:,} can be adapted: use a network that averages its features"
        )
    side = min(encoder.spec.height, encoder.spec.width)
    if settings.patches and side < MIN_SIDE:
        raise ValueError(
            f"{encoder.model} takes images of {side} pixels, and the architecture patches beside "
            f"it needs {MIN_SIDE}: use another network, or --objective neighbours"
        )


def fit_beside(blocks: Blocks, encoder: Encoder, seed: int) -> tuple[MiniatureNetwork, Floats]:
    """Return `fit_miniatures` of the miniatures that stand after the features of an encoder.

    `blocks` yields codes of `with_miniatures`, float32 (k, d).
    """
    from pyimagesearch.training.miniatures import fit_miniatures

    spec = miniature_spec(encoder.spec)
    shape = -1, spec.channels, spec.height, spec.width
    pixels = (block[:, encoder.dim :].reshape(shape) for block in blocks())
    images = [np.ascontiguousarray(block.transpose(0, 2, 3, 1)) for block in pixels]
    return fit_miniatures(np.concatenate(images), seed)


def _fit_head(
    components: Components, labels: Labels | None, settings: Adaptation
) -> Sequence[LinearMap]:
    """Return the layers of a head on the components, whose labels are int64 (n,)."""
    if not settings.supcon:
        return [adapted_map(components, settings.dim)]
    from pyimagesearch.training.contrast_head import train_contrast_head

    assert labels is not None
    return train_contrast_head(components, labels, settings.dim, settings.seed)


def _chosen_rows(dataset: Dataset, settings: Adaptation) -> Rows:
    """Return the rows to learn from, sorted: those with a label if labels are used."""
    rows = np.arange(len(dataset))
    if settings.supcon and dataset.labels is not None:
        rows = rows[dataset.labels >= 0]
    if len(rows) <= MAX_PICTURES:
        return rows
    return np.sort(np.random.default_rng(settings.seed).choice(rows, MAX_PICTURES, replace=False))
