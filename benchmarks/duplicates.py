"""Duplicates among 60,000 digits with 1,000 planted copies: time, memory, and what is found.

usage: python -m benchmarks.duplicates
"""

import time
import tracemalloc

import cv2
import numpy as np

from benchmarks.codes import encode_all
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.export import encoder_from_keras
from pyimagesearch.engines.duplicates import default_distance, find_duplicates
from pyimagesearch.metric import METRICS
from pyimagesearch.pictures.input_spec import unit_float

COPIES = 1000


def jpeg(picture, quality):
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[..., np.newaxis]


def brighter(picture, factor):
    return np.clip(picture * factor, 0, 255).astype(np.uint8)


def resized(picture):
    twice = cv2.resize(picture, (56, 56), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(twice, (28, 28), interpolation=cv2.INTER_AREA)[..., np.newaxis]


ALTERED = {
    "the same file": lambda picture: picture,
    "JPEG, quality 95": lambda picture: jpeg(picture, 95),
    "JPEG, quality 75": lambda picture: jpeg(picture, 75),
    "brighter by 5 %": lambda picture: brighter(picture, 1.05),
    "brighter by 10 %": lambda picture: brighter(picture, 1.1),
    "enlarged and reduced": resized,
    "moved by 1 pixel": lambda picture: np.roll(picture, 1, axis=1),
}


def measured(function, *arguments):
    """Return what a function returns, its seconds, and its peak memory in MB in a second run."""
    started = time.perf_counter()
    result = function(*arguments)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    function(*arguments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return result, seconds, peak / 1e6


def main():
    encoder, dataset = encoder_from_keras("output/autoencoder.h5"), open_dataset("mnist")
    originals, n = encode_all(encoder, dataset), len(dataset)
    sources = np.random.default_rng(0).permutation(n)[:COPIES]
    for metric in METRICS:
        distance, seconds, peak = measured(default_distance, originals, metric)
        print(f"{metric}: default distance {distance:.4g}, {seconds:.1f} s, {peak:.0f} MB")
        _, seconds, peak = measured(find_duplicates, originals, metric, distance)
        print(f"  grouping {n:,} codes: {seconds:.1f} s, {peak:.0f} MB")
        for name, alter in ALTERED.items():
            copies = np.stack([alter(dataset.picture(row)) for row in sources])
            codes = np.concatenate([originals, encoder.encode(unit_float(copies))])
            groups = find_duplicates(codes, metric, default_distance(codes, metric))
            of_row = {row: i for i, group in enumerate(groups) for row in group.rows.tolist()}
            # A copy is found where it is in the group of what it was made from.
            found = sum(
                of_row.get(row, -1) == of_row.get(n + i, -2)
                for i, row in enumerate(sources.tolist())
            )
            other = sum(set(group.rows[group.rows < n]) - set(sources) != set() for group in groups)
            print(f"  {name:22} {found:5} of {COPIES:,} found, {other} groups hold other digits")


if __name__ == "__main__":
    main()
