"""Binary codes on MNIST: mean average precision within the first 5,000 for 1,000 test queries.

For each model and number of bits: ranked by Hamming distance alone, as a search does it (what is
nearest by Hamming distance, ranked again by true distance), and by exact search of the codes. As
published (Deep Binary Representation, 2017, table 3) ITQ reaches .388, .436 and .422 at 12, 24 and
32 bits.

usage: python -m benchmarks.hashing [--models output/autoencoder.h5 output/neighbours.h5]
"""

import argparse

import numpy as np

from benchmarks.codes import MODEL, mnist_codes
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.engines.faiss_engine import FaissEngine
from pyimagesearch.evaluation.metrics import ranking_scores

QUERIES, DEPTH = 1_000, 5_000
BITS = 16, 24, 32, 64


def mean_average_precision(rows, labels, gallery_labels):
    """Return the mean over queries of the average precision within their results, (q, DEPTH)."""
    hits = gallery_labels[rows] == labels[:, np.newaxis]
    return np.mean([ranking_scores(each, (1,))[-1] if each.any() else 0 for each in hits])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[MODEL], help="models to take codes from")
    args = parser.parse_args()
    gallery_labels = open_dataset("mnist", "train").labels
    labels = open_dataset("mnist", "test").labels[:QUERIES]
    for model in args.models:
        gallery, queries, origin = mnist_codes(model)
        queries = queries[:QUERIES]
        rows = ExactEngine(gallery).search(queries, DEPTH)[1]
        exact = mean_average_precision(rows, labels, gallery_labels)
        print(f"{origin}: mAP within {DEPTH:,} by exact search {exact:.3f}")
        print("  bits  Hamming  re-ranked  bytes a picture")
        for bits in BITS:
            engine = build_engine(gallery, f"hash:{bits}")
            assert isinstance(engine, FaissEngine)
            scores = [
                mean_average_precision(rows, labels, gallery_labels)
                for rows in (
                    engine.index.search(queries, DEPTH)[1],
                    engine.search(queries, DEPTH)[1],
                )
            ]
            size = engine.report.bytes_per_vector
            print(f"{bits:6}{scores[0]:9.3f}{scores[1]:11.3f}{size:17.1f}", flush=True)


if __name__ == "__main__":
    main()
