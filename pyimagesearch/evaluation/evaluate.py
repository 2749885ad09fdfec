"""How well an index retrieves, beside what its pictures give without any training."""

import logging
import math

from tqdm import tqdm

from pyimagesearch.datasets.array import same_images
from pyimagesearch.evaluation.baselines import flat_pixels, pca_codes
from pyimagesearch.evaluation.metrics import KS, evaluate

logger = logging.getLogger(__name__)

PIXELS = 200_000_000  # numbers of raw pixels that are held for the baselines


def evaluate_index(index, encoder, gallery, test_images, engine):
    """Measure the codes of `index`, and two baselines: raw pixels, and PCA of the same dimension.

    `gallery` is the dataset that was indexed, `test_images` the dataset of the queries; relevant is
    what has the query's label. A query that is indexed is left out of its own results. Returns the
    scores of `metrics.evaluate` by the name of the code, for rankings by true distance in the
    metric of the `engine`; how near that comes to them is under "engine" where it is not exact.
    """
    if index.labels is None or test_images.labels is None:
        raise ValueError(f"{gallery.source['name']} has no labels to measure retrieval by")
    same = same_images(gallery, test_images)
    codes = index.codes if test_images is gallery else encoder.encode_dataset(test_images)
    dim = codes.shape[1]
    candidates = {f"code, {dim}-d": (index.codes, codes)}
    p = math.prod(encoder.spec.shape)
    if len(gallery) * p <= PIXELS:
        pixels = flat_pixels(gallery, encoder.spec), flat_pixels(test_images, encoder.spec)
        candidates[f"raw pixels, {p}-d"] = pixels
        candidates[f"PCA, {dim}-d"] = pca_codes(*pixels, dim)
    else:
        logger.info(f"no baselines: the pixels of {len(gallery):,} images would not fit in memory")
    with tqdm(total=len(candidates) * len(codes), unit="query", leave=False, disable=None) as bar:
        scores = {
            name: evaluate(
                queries,
                test_images.labels,
                database,
                index.labels,
                engine.metric,
                skip_own_row=same,
                progress=bar.update,
            )
            for name, (database, queries) in candidates.items()
        }
    if engine.name != "exact":
        scores["engine"] = engine_scores(engine, None if same else codes)
    return scores


def engine_scores(engine, queries):
    """Return how much of what exact search finds for `queries`, float32 (q, d), an engine finds.

    Without queries, codes of its own are, each left out of its results. The result holds its
    `name`, `probe`, `recall@10` and `recall@225`, and the median milliseconds of one query by it,
    `ms`, and by exact search, `exact_ms`.
    """
    from pyimagesearch.search.tuning import QuerySample

    sample = QuerySample(engine.codes, engine.metric, queries=queries)
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
