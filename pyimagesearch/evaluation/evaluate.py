"""How well an index retrieves, beside codes of its pictures that need no training."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Labels, Rows, Scores
from pyimagesearch.datasets.dataset import Dataset, same_images
from pyimagesearch.encoders.encoder import Encoder, finite_rows
from pyimagesearch.encoders.encoding import warn_unreadable
from pyimagesearch.engines.engine import Engine
from pyimagesearch.evaluation.baselines import Points, baseline_points, reduced
from pyimagesearch.evaluation.copies import COPIES, SAMPLE, make_copies
from pyimagesearch.evaluation.metrics import KS, query_scores
from pyimagesearch.files import printable
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import progress

Convert = Callable[[Floats], AnyArray]  # of images (n, h, w, c)

logger = logging.getLogger(__name__)

MAX_BASELINE_VALUES = 200_000_000  # values of pixels that are held for the baselines
QUERIES = 2_000  # images that are searched for by default
BATCH = 256  # images read at once
SHOWN_LABELS = 8  # names of labels in a warning


@dataclass(frozen=True)
class Moved:
    """A change of queries that is measured too: its name, and a function that makes it.

    `move(codes, engine, gallery, own_rows)` takes codes of queries, float32 (q, d), the engine,
    the codes of the gallery (n, d), and the rows of the queries there, int64 (q,), or None; it
    returns new codes (q, d).
    """

    name: str
    move: Callable[[Floats, Engine, Floats, Rows | None], Floats]


@dataclass(frozen=True)
class _Sought:
    """Images that are searched for: `rows` int64 (m,) of a dataset, or `copies` of them.

    `labels` int64 (q,) are theirs, as the gallery counts them in `gallery_labels` int64 (n,); q is
    m, or m for each kind of copy.
    """

    dataset: Dataset
    rows: Rows
    labels: Labels
    gallery_labels: Labels
    copies: bool = False

    def images(self, spec: InputSpec, convert: Convert = np.asarray) -> Any:
        """Return what `convert` makes of the images, for an InputSpec; see `read_rows`."""
        if self.copies:
            return convert(make_copies(read_rows(self.dataset, self.rows, spec)))
        return read_rows(self.dataset, self.rows, spec, convert)

    def readable_labels(self) -> Labels:
        """Return the labels, -1 for images that proved unreadable."""
        readable = self.dataset.readable(self.rows)
        return np.where(np.resize(readable, len(self.labels)), self.labels, -1)


def evaluate_index(
    codes: Floats,
    encoder: Encoder,
    gallery: Dataset,
    engine: Engine,
    *,
    queries: Dataset | None = None,
    most: int | None = None,
    moved: Moved | None = None,
) -> Scores:
    """Measure codes, float32 (n, d), of the dataset `gallery`, and the codes of all BASELINES.

    Relevant is an image with the query's label. `queries` is a dataset, by default the gallery's
    test images, or where it has none the gallery itself; an image is left out of its own results.
    At most `most` of them are searched for, drawn at random. In a gallery without labels the
    queries are copies of random images, and relevant is the image itself. `moved` is a change of
    the queries to measure as well.

    Returns by the name of the code the means of `metrics.query_scores`, for rankings by true
    distance, with the name of the "metric", which is that of the `engine` for the codes, the number
    of "queries" and the standard error of mAP, "mAP error". Precision and recall at more results
    than there are to rank are left out. Under "engine", for one that is not exact, is the part of
    the nearest that it finds. Raises ValueError for queries without labels, and for an index of one
    image or one label.
    """
    queries = gallery.test_images() if queries is None else queries
    if len(gallery) < 2:
        raise ValueError("the index has one image: there is nothing to rank it among")
    sought = _sought(gallery, queries, most)
    same = gallery.labels is not None and same_images(gallery.source, queries.source)
    itself = gallery.labels is not None and queries is gallery
    own_rows = sought.rows if same else None
    query_codes = codes[sought.rows] if itself else sought.images(encoder.spec, encoder.encode)
    has_code = finite_rows(query_codes)
    if not has_code.all():
        count = np.count_nonzero(~has_code)
        logger.warning(f"{count:,} queries are left out: the model gives NaN or infinity for them")
        query_codes = np.where(has_code[:, np.newaxis], query_codes, np.float32(0))
    measured = _points_of_codes(codes, query_codes, engine, moved=moved, own_rows=own_rows)
    measured |= _baselines(gallery, sought, encoder.spec, codes.shape[1], itself=itself)
    readable = gallery.readable(np.arange(len(gallery)))
    labels = np.where(readable, sought.gallery_labels, -1)
    query_labels = np.where(has_code, sought.readable_labels(), -1)
    scores = _ranking_scores(measured, query_labels, labels, own_rows)
    _tell_alone(query_labels, scores)
    if engine.name != "exact":
        scores["engine"] = engine_scores(engine, codes, None if same else query_codes[has_code])
    return scores


def _points_of_codes(
    codes: Floats,
    query_codes: Floats,
    engine: Engine,
    *,
    moved: Moved | None,
    own_rows: Rows | None,
) -> dict[str, Points]:
    """Return the Points of the codes and, where the queries are moved, of these too."""
    metric = engine.metric
    name = f"code, {codes.shape[1]}-d"
    ranked = metric.exact_points(codes)
    points = {name: Points(ranked, metric.exact_points(query_codes), metric.name)}
    if moved:
        others = metric.exact_points(moved.move(query_codes, engine, codes, own_rows))
        points[f"{name}, {moved.name}"] = Points(ranked, others, metric.name)
    return points


def _ranking_scores(
    measured: dict[str, Points], query_labels: Labels, labels: Labels, own_rows: Rows | None
) -> Scores:
    """Return the scores of rankings by each of the Points, by their names."""
    most_results = int(np.count_nonzero(labels >= 0)) - (own_rows is not None)
    ks = [k for k in KS if k <= max(1, most_results)]
    scores: Scores = {}
    with progress(len(measured) * len(query_labels), "rankings", "measuring") as done:
        for name, points in measured.items():
            of_queries = query_scores(
                points.queries,
                query_labels,
                points.gallery,
                labels,
                ks=ks,
                own_rows=own_rows,
                progress=done,
            )
            scores[name] = _row(points.metric, of_queries)
    return scores


def _row(metric: str, of_queries: dict[str, AnyArray]) -> dict[str, Any]:
    """Return the scores of one code: means over the queries, and how sure they are."""
    means = {name: float(values.mean()) for name, values in of_queries.items()}
    precisions = of_queries["mAP"]
    count = len(precisions)
    error = float(precisions.std(ddof=1) / count**0.5) if count > 1 else 0.0
    return {"metric": metric, **means, "mAP error": error, "queries": count}


def _baselines(
    gallery: Dataset, sought: _Sought, spec: InputSpec, dim: int, *, itself: bool
) -> dict[str, Points]:
    """Return the Points of all baselines, or none where the pixels do not fit in memory."""
    spec = reduced(spec)
    if (len(gallery) + len(sought.labels)) * math.prod(spec.shape) > MAX_BASELINE_VALUES:
        logger.info(f"no baselines: the pixels of {len(gallery):,} images would not fit in memory")
        return {}
    pixels = read_rows(gallery, np.arange(len(gallery)), spec)
    query_pixels = pixels[sought.rows] if itself else sought.images(spec)
    return baseline_points(pixels, query_pixels, dim)


def _sought(gallery: Dataset, queries: Dataset, most: int | None) -> _Sought:
    """Choose what is searched for, at most `most` images; see `evaluate_index`."""
    if gallery.labels is None and queries.labels is None:
        sample = np.sort(gallery.random_rows(SAMPLE, seed=0))
        logger.info(
            f"no labels: searching for copies, {', '.join(COPIES)}, of {len(sample):,} images"
        )
        return _Sought(
            gallery, sample, np.tile(sample, len(COPIES)), np.arange(len(gallery)), copies=True
        )
    gallery_labels = _known_labels(gallery)
    if len(np.unique(gallery_labels[gallery_labels >= 0])) == 1:
        raise ValueError("all images of the index have one label: any ranking of them is right")
    labels = labels_in(gallery, queries)
    _warn_left_out(gallery_labels, queries, labels)
    rows = np.flatnonzero(np.isin(labels, gallery_labels[gallery_labels >= 0]))
    if most is not None and len(rows) > most:
        logger.info(f"searching for {most:,} of {len(rows):,} images, drawn at random")
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    if not len(rows):
        raise ValueError("no query shares a label with the index, so there is nothing to measure")
    return _Sought(queries, rows, labels[rows], gallery_labels)


def _known_labels(dataset: Dataset) -> Labels:
    """Return the labels of a dataset, int64 (n,), or raise ValueError where it has none."""
    if dataset.labels is None:
        remedy = "put its pictures into sub-folders by class"
        if dataset.folder is None:
            remedy = f"store them as y_{dataset.source['split']}"
        name = dataset.source["name"]
        raise ValueError(f"{name} has no labels to measure retrieval by: {remedy}")
    return dataset.labels


def _warn_left_out(gallery_labels: Labels, queries: Dataset, labels: Labels) -> None:
    """Tell of queries without a label, and warn of those with one that the gallery lacks.

    `labels` int64 (q,) are those of the queries as the gallery counts them.
    """
    own_labels = _known_labels(queries)
    unlabelled = own_labels < 0
    lacking = ~unlabelled & ~np.isin(labels, gallery_labels[gallery_labels >= 0])
    if unlabelled.any():
        count = np.count_nonzero(unlabelled)
        logger.info(f"{count:,} of {len(labels):,} queries have no label and are left out")
    if lacking.any():
        numbers = np.unique(own_labels[lacking])
        shown = [printable(_label_text(queries, number)) for number in numbers[:SHOWN_LABELS]]
        more = ", ..." if len(numbers) > SHOWN_LABELS else ""
        logger.warning(
            f"{np.count_nonzero(lacking):,} of {len(labels):,} queries are left out: the index has "
            f"no images with their labels ({', '.join(shown)}{more})"
        )


def _tell_alone(query_labels: Labels, scores: Scores) -> None:
    """Tell of queries that were left out because no other image has their label.

    `query_labels` int64 (q,) are below 0 for queries that were left out for another reason.
    """
    [count] = {row["queries"] for row in scores.values()}
    sought = np.count_nonzero(query_labels >= 0)
    if count < sought:
        logger.info(
            f"{sought - count:,} of {sought:,} queries are left out: no other image of the index "
            "has their label"
        )


def labels_in(gallery: Dataset, queries: Dataset) -> Labels:
    """Return the labels of `queries`, int64 (q,), as the gallery counts them; -1 for others.

    Labels are the same by their text: the number 3 of an array is the folder 3. Raises ValueError
    where the queries have no labels.
    """
    labels = _known_labels(queries)
    if gallery.label_names is None and queries.label_names is None:
        return labels
    numbers = {_label_text(gallery, number): number for number in np.unique(_known_labels(gallery))}
    own_numbers, places = np.unique(labels, return_inverse=True)
    found = [numbers.get(_label_text(queries, number), -1) for number in own_numbers]
    return np.array(found)[places]


def _label_text(dataset: Dataset, number: int) -> str:
    """Return the name of a label, or its number where labels have no names; "" for none."""
    if number < 0:
        return ""
    names = dataset.label_names
    return str(number) if names is None else names[number]


def read_rows(
    dataset: Dataset, rows: Rows, spec: InputSpec, convert: Convert = np.asarray
) -> Floats:
    """Return `convert(images)` of ascending rows of a dataset: float32 (len(rows), ...).

    `convert` takes float32 images (n, h, w, c). Rows that cannot be read are zeros,
    and named in warnings.
    """
    values = None
    with progress(len(rows), "images", "reading") as done:
        for batch in dataset.batches(spec, BATCH, rows):
            warn_unreadable(batch.unreadable)
            if len(batch.rows):
                converted = convert(batch.images)
                if values is None:
                    values = np.zeros((len(rows), *converted.shape[1:]), np.float32)
                values[np.searchsorted(rows, batch.rows)] = converted
            done(len(batch.rows) + len(batch.unreadable))
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
