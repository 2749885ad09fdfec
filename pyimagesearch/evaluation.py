"""How well an index retrieves, beside what its pictures give without any training."""

import math

import numpy as np
from tqdm import tqdm

from pyimagesearch.cli import info
from pyimagesearch.datasets import same_images
from pyimagesearch.metrics import KS, evaluate

PIXELS = 200_000_000  # numbers of raw pixels that are held for the baselines


def evaluate_index(index, encoder, gallery, test_images, metric):
    """Measure the codes of `index`, and two baselines: raw pixels, and PCA of the same dimension.

    `gallery` is the dataset that was indexed, `test_images` the dataset of the queries; relevant is
    what has the query's label. A query that is indexed is left out of its own results. Returns the
    scores of `metrics.evaluate` by the name of the code.
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
        return {
            name: evaluate(
                queries,
                test_images.labels,
                database,
                index.labels,
                metric,
                skip_own_row=same,
                progress=bar.update,
            )
            for name, (database, queries) in candidates.items()
        }


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


def score_table(scores):
    """Return the scores of `evaluate_index` as lines of text, a row a code."""
    names = [*(f"P@{k}" for k in KS), *(f"R@{k}" for k in KS), "mAP"]
    width = max(len(code) for code in scores) + 2
    lines = [" " * width + "".join(f"{name:>8}" for name in names)]
    for code, row in scores.items():
        lines.append(f"{code:{width}}" + "".join(f"{row[name]:8.4f}" for name in names))
    return "\n".join(lines)
