"""How well an index retrieves, beside what its pictures give without any training."""

import logging
import math

from tqdm import tqdm

from pyimagesearch.datasets.dataset import same_images
from pyimagesearch.evaluation.baselines import flat_pixels, pca_codes
from pyimagesearch.evaluation.metrics import KS, evaluate

logger = logging.getLogger(__name__)

PIXELS = 200_000_000  # numbers of raw pixels that are held for the baselines


def evaluate_index(codes, encoder, gallery, test_images, engine, rows=None):
    """Measure codes, and two baselines: raw pixels, and PCA of the same dimension.

    `codes` float32 (n, d) are those of the dataset `gallery`, `test_images` is the dataset of the
    queries; relevant is an image with the query's label. A query that is indexed is left out of
    its own results. Returns the scores of `metrics.evaluate` by the name of the code, for rankings
    by true distance in the metric of the `engine`; under "engine", for one that is not exact, how
    many of the nearest it finds. `rows` int64 (n,) are its row numbers of the codes, by default 0
    to n - 1.
    """
    if gallery.labels is None or test_images.labels is None:
        raise ValueError(f"{gallery.source['name']} has no labels to measure retrieval by")
    same = same_images(gallery, test_images)
    queries = codes if test_images is gallery else encoder.encode_dataset(test_images)
    dim = codes.shape[1]
    candidates = {f"code, {dim}-d": (codes, queries)}
    p = math.prod(encoder.spec.shape)
    if len(gallery) * p <= PIXELS:
        pixels = flat_pixels(gallery, encoder.spec), flat_pixels(test_images, encoder.spec)
        candidates[f"raw pixels, {p}-d"] = pixels
        candidates[f"PCA, {dim}-d"] = pca_codes(*pixels, dim)
    else:
        logger.info(f"no baselines: the pixels of {len(gallery):,} images would not fit in memory")
    with tqdm(total=len(candidates) * len(queries), unit="query", leave=False, disable=None) as bar:
        scores = {
            name: evaluate(
                points,
                test_images.labels,
                database,
                gallery.labels,
                engine.metric.name,
                skip_own_row=same,
                progress=bar.update,
            )
            for name, (database, points) in candidates.items()
        }
    if engine.name != "exact":
        scores["engine"] = engine_scores(engine, codes, None if same else queries, rows)
    return scores


def engine_scores(engine, codes, queries=None, rows=None):
    """Return how many of the nearest codes, by exact search, an engine finds, and how fast.

    `codes` are float32 (n, d), `queries` (q, d), by default codes that are each left out of their
    results; `rows` int64 (n,) are the engine's row numbers of the codes. The result holds its
    `name`, `probe`, `recall@10` and `recall@225`, and the median milliseconds of one query by it,
    `ms`, and by exact search, `exact_ms`.
    """
    from pyimagesearch.search.tuning import QuerySample

    sample = QuerySample(codes, engine.metric.name, queries=queries, rows=rows)
    return {
        "name": engine.name,
        "probe": engine.probe,
        **{f"recall@{k}": sample.recall(engine, k) for k in (10, 225)},
        "ms": sample.milliseconds(engine),
        "exact_ms": sample.milliseconds(sample.exact),
    }


def _engine_line(scores):
    return (
        f"engine {scores['name']}, probe {scores['probe']}: of exact search's nearest 10 it finds "
        f"{scores['recall@10']:.4f}, of the nearest 225 {scores['recall@225']:.4f}, in "
        f"{scores['ms']:.2f} ms a query (exact {scores['exact_ms']:.2f} ms)"
    )


def score_table(scores):
    """Return the scores of `evaluate_index` as lines of text, a row a code."""
    names = [*(f"P@{k}" for k in KS), *(f"R@{k}" for k in KS), "mAP"]
    width = max(len(code) for code in scores) + 2
    lines = [" " * width + "".join(f"{name:>8}" for name in names)]
    for code, row in scores.items():
        if code == "engine":
            lines.append(_engine_line(row))
        else:
            lines.append(f"{code:{width}}" + "".join(f"{row[name]:8.4f}" for name in names))
    return "\n".join(lines)
