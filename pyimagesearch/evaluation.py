"""How well an index retrieves, beside what its pictures give without any training."""

import math

import numpy as np
from tqdm import tqdm

from pyimagesearch.cli import info
from pyimagesearch.datasets import same_images
from pyimagesearch.metrics import KS, evaluate

PIXELS = 200_000_000  # numbers of raw pixels that are held for the baselines


def evaluate_index(index, encoder, gallery, test_images, engine):
    """Measure the codes of `index`, and two baselines: raw pixels, and PCA of the same dimension.

    `gallery` is the dataset that was indexed, `test_images` the dataset of the queries; relevant is
    what has the query's label. A query that is indexed is left out of its own results. Returns the
    scores of `metrics.evaluate` by the name of the code, for rankings by true distance in the
    metric of the `engine`; how near that comes to them is under "engine" where it is not exact.
    """
    if index.labels is None or test_images.labels is None:
        raise ValueError(f"{gallery.location['name']} has no labels to measure retrieval by")
    same = same_images(gallery, test_images)
    codes = index.features if test_images is gallery else encoder.encode_dataset(test_images)
    dim = codes.shape[1]
    candidates = {f"code, {dim}-d": (index.features, codes)}
    p = math.prod(encoder.spec.shape)
    if len(gallery) * p <= PIXELS:
        pixels = flat_pixels(gallery, encoder.spec), flat_pixels(test_images, encoder.spec)
        candidates[f"raw pixels, {p}-d"] = pixels
        candidates[f"PCA, {dim}-d"] = pca_codes(*pixels, dim)
    else:
        info(f"no baselines: the pixels of {len(gallery):,} images would not fit in memory")
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


def flat_pixels(dataset, spec):
    """Return a whole dataset as float32 in [0, 1], (n, height * width * channels)."""
    return dataset.read(np.arange(len(dataset)), spec).reshape(len(dataset), -1)


def pca_codes(gallery, queries, dim):
    """Project flat images, float32 (n, p), on the first `dim` principal components of `gallery`."""
    mean = gallery.mean(axis=0)
    centred = gallery - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending eigenvalues
    components = vectors[:, ::-1][:, :dim]
    return centred @ components, (queries - mean) @ components


def engine_scores(engine, queries):
    """Return how much of what exact search finds for `queries`, float32 (q, d), an engine finds.

    Without queries, codes of its own are, each left out of its results. The result holds its
    `name`, `probe`, `recall@10` and `recall@225`, and the median milliseconds of one query by it,
    `ms`, and by exact search, `exact_ms`.
    """
    from pyimagesearch.tuning import HeldOut

    sample = HeldOut(engine.codes, engine.metric, queries=queries)
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
