"""How well an index retrieves, beside codes of its pictures that need no training."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from pyimagesearch.arrays import AnyArray, Floats, Labels, Rows, Scores
from pyimagesearch.datasets.dataset import Dataset, same_images
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import warn_unreadable
from pyimagesearch.engines.engine import Engine
from pyimagesearch.evaluation.baselines import baseline_points, describe_metrics, reduced
from pyimagesearch.evaluation.copies import COPIES, SAMPLE, make_copies
from pyimagesearch.evaluation.metrics import KS, evaluate
from pyimagesearch.pictures.input_spec import InputSpec

Convert = Callable[[Floats], AnyArray]  # of images (n, h, w, c)

logger = logging.getLogger(__name__)

MAX_BASELINE_VALUES = 200_000_000  # values of pixels that are held for the baselines
BATCH = 256  # images read at once


def evaluate_index(
    codes: Floats,
    encoder: Encoder,
    gallery: Dataset,
    engine: Engine,
    *,
    queries: Dataset | None = None,
) -> Scores:
    """Measure codes, float32 (n, d), of the dataset `gallery`, and the codes of all BASELINES.

    Relevant is an image with the query's label. `queries` is a dataset, by default the gallery's
    test images, or where it has none the gallery itself; an image is left out of its own results.
    In a gallery without labels the queries are copies of random images, and relevant is the image
    itself.

    Returns the scores of `metrics.evaluate` by the name of the code, for rankings by true distance
    in the metric of the `engine`; under "engine", for one that is not exact, the part of the
    nearest that it finds. Raises ValueError for queries without labels.
    """
    queries = gallery.test_images() if queries is None else queries
    images_of, labels, query_labels = _query_images(gallery, queries)
    same = gallery.labels is not None and same_images(gallery, queries)
    itself = gallery.labels is not None and queries is gallery
    query_codes = codes if itself else images_of(encoder.spec, encoder.encode)
    dim = codes.shape[1]
    metric = engine.metric
    points = {f"code, {dim}-d": (metric.exact_points(codes), metric.exact_points(query_codes))}
    spec = reduced(encoder.spec)
    if (len(gallery) + len(query_labels)) * math.prod(spec.shape) <= MAX_BASELINE_VALUES:
        pixels = read_rows(gallery, np.arange(len(gallery)), spec)
        logger.info(f"beside codes that need no training, by {describe_metrics()}")
        points |= baseline_points(pixels, pixels if itself else images_of(spec), dim)
    else:
        logger.info(f"no baselines: the pixels of {len(gallery):,} images would not fit in memory")
    labels = _without_unreadable(gallery, labels)
    with tqdm(
        total=len(points) * len(query_labels), unit="query", leave=False, disable=None
    ) as bar:
        scores = {
            name: evaluate(
                query_points,
                query_labels,
                gallery_points,
                labels,
                skip_own_row=same,
                progress=bar.update,
            )
            for name, (gallery_points, query_points) in points.items()
        }
    if engine.name != "exact":
        scores["engine"] = engine_scores(engine, codes, None if same else query_codes)
    return scores


def _query_images(gallery: Dataset, queries: Dataset) -> tuple[Callable[..., Any], Labels, Labels]:
    """Return a function that reads the images of the queries, and the labels to measure by.

    The function takes an InputSpec and optionally a conversion of images, as `read_rows` does.
    """
    if gallery.labels is None and queries.labels is None:
        sample = np.sort(gallery.random_rows(SAMPLE, seed=0))
        logger.info(
            f"no labels: searching for copies, {', '.join(COPIES)}, of {len(sample):,} images"
        )
        labels = np.arange(len(gallery))

        def copies(spec: InputSpec, convert: Convert = np.asarray) -> Any:
            return convert(make_copies(read_rows(gallery, sample, spec)))

        return copies, labels, np.tile(sample, len(COPIES))
    labels = _known_labels(gallery)
    query_labels = labels_in(gallery, queries)
    all_rows = np.arange(len(queries))

    def images(spec: InputSpec, convert: Convert = np.asarray) -> Any:
        return read_rows(queries, all_rows, spec, convert)

    return images, labels, query_labels


def _known_labels(dataset: Dataset) -> Labels:
    """Return the labels of a dataset, int64 (n,), or raise ValueError where it has none."""
    if dataset.labels is None:
        raise ValueError(
            f"{dataset.source['name']} has no labels to measure retrieval by: put its pictures "
            "into sub-folders by class"
        )
    return dataset.labels


def _without_unreadable(dataset: Dataset, labels: Labels) -> Labels:
    """Return labels of all rows of a dataset, -1 for those that could not be read."""
    rows = list(dataset.rows_of(dataset.unreadable).values())
    labels = np.array(labels)
    labels[rows] = -1
    return labels


def labels_in(gallery: Dataset, queries: Dataset) -> Labels:
    """Return the labels of `queries`, int64 (q,), as the gallery counts them; -1 for others.

    Raises ValueError where the queries have no labels.
    """
    labels = _known_labels(queries)
    if gallery.label_names is None or queries.label_names is None:
        return labels
    numbers = {name: number for number, name in enumerate(gallery.label_names)}
    lookup = np.array([*(numbers.get(name, -1) for name in queries.label_names), -1])
    return lookup[labels]


def read_rows(
    dataset: Dataset, rows: Rows, spec: InputSpec, convert: Convert = np.asarray
) -> Floats:
    """Return `convert(images)` of ascending rows of a dataset: float32 (len(rows), ...).

    `convert` takes float32 images (n, h, w, c). Rows that cannot be read are zeros,
    and named in warnings.
    """
    values = None
    for batch in dataset.batches(spec, BATCH, rows):
        warn_unreadable(batch.unreadable)
        if len(batch.rows):
            converted = convert(batch.images)
            if values is None:
                values = np.zeros((len(rows), *converted.shape[1:]), np.float32)
            values[np.searchsorted(rows, batch.rows)] = converted
    if values is None:
        raise ValueError(f"none of the pictures of {dataset.source['name']} can be read")
    return values


def engine_scores(engine: Engine, codes: Floats, queries: Floats | None = None) -> dict[str, Any]:
    """Return how many of the nearest codes, by exact search, an engine finds, and how fast.

    `codes` are float32 (n, d), `queries` (q, d), by default codes that are each left out of their
    results. The result holds its `name`, `probe`, `recall@10` and `recall@225`, and the median
    milliseconds of one query by it, `ms`, and by exact search, `exact_ms`.
    """
    from pyimagesearch.engines.tuning import QuerySample

    sample = QuerySample(codes, engine.metric.name, queries=queries)
    return {
        "name": engine.name,
        "probe": engine.probe,
        **{f"recall@{k}": sample.recall(engine, k) for k in (10, 225)},
        "ms": sample.milliseconds(engine),
        "exact_ms": sample.milliseconds(sample.exact),
    }


def _engine_line(scores: dict[str, Any]) -> str:
    return (
        f"engine {scores['name']}, probe {scores['probe']}: of exact search's nearest 10 it finds "
        f"{scores['recall@10']:.4f}, of the nearest 225 {scores['recall@225']:.4f}, in "
        f"{scores['ms']:.2f} ms a query (exact {scores['exact_ms']:.2f} ms)"
    )


def score_table(scores: Scores) -> str:
    """Return the scores of `evaluate_index` as lines of text, a row a code."""
    names = [*(f"P@{k}" for k in KS), *(f"R@{k}" for k in KS), "mAP"]
    width = max(len(code) for code in scores) + 2
    lines = [" " * width + "".join(f"{name:>8}" for name in names)]
    for code, row in scores.items():
        if code == "engine":
            lines.append(_engine_line(row))
        else:
            lines.append(f"{code:{width}}" + "".join(f"{row[name]:8.4f}" for name in names))
    return "\n".join([*lines, *worse_than_baselines(scores)])


def worse_than_baselines(scores: Scores) -> list[str]:
    """Return a line about baselines that retrieve better than the code, in a list; else none."""
    (code, own), *baselines = [item for item in scores.items() if item[0] != "engine"]
    better = [
        f"{name} ({row[key]:.4f} to {own[key]:.4f} {key})"
        for name, row in baselines
        for key in [next((key for key in ("mAP", "P@1") if row[key] > own[key]), None)]
        if key
    ]
    if not better:
        return []
    return [f"{code}: retrieves worse than {', '.join(better)}, which need no training"]
