"""Retrieval on pictures of any kind: trained codes beside codes that need no training.

Trains by train_autoencoder.py on each dataset, with each objective and seed, and prints P@1, P@10
and mAP of all images of the queries in the whole gallery, by class, and the time of the training
process. Relevant is the first sub-folder, or the label. Without --queries, the queries are the test
images of the dataset, or where it has none each image in turn, left out of its own results.

usage: python -m benchmarks.photos DATASET [--queries DATASET] [--objectives views supcon]
           [--dim 64] [--metric euclidean] [--seeds 1 2 3]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.codes import encode_all
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import same_images
from pyimagesearch.encoders.export import open_encoder
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.evaluation.evaluate import evaluate_index, labels_in
from pyimagesearch.evaluation.metrics import evaluate
from pyimagesearch.metric import METRICS

SCORES = "P@1", "P@10", "mAP"
SCRIPT = Path(__file__).parents[1] / "train_autoencoder.py"


def train(folder, dataset, objective, dim, seed):
    """Return the encoder of a model and the seconds that its training process took."""
    model = folder / f"{objective}_{seed}.keras"
    flags = ["--model", model, "--vis", folder / "vis.png", "--plot", folder / "plot.png"]
    flags += ["--dataset", dataset, "--latent-dim", dim, "--seed", seed]
    flags += [] if objective == "default" else ["--objective", objective]
    start = time.perf_counter()
    subprocess.run([sys.executable, SCRIPT, *map(str, flags)], check=True, stdout=sys.stderr)
    return open_encoder(str(model)), time.perf_counter() - start


def measure(codes, encoder, gallery, queries, metric):
    """Return the scores of codes, float32 (n, d), of a gallery, as `evaluate_index` does."""
    same = same_images(gallery.source, queries.source)
    sought = codes if same else encode_all(encoder, queries)
    labels = labels_in(gallery, queries)
    return evaluate(sought, labels, codes, gallery.labels, metric=metric, skip_own_row=same)


def table_row(name, scores, seconds=None):
    """Return a row of the table: means of the scores, and of several seeds their deviations."""
    rows = [[score[key] for key in SCORES] for score in scores]
    means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0)
    cells = [
        f"{mean:.3f}" + (f" ± {spread:.3f}" if len(rows) > 1 else "")
        for mean, spread in zip(means, spreads, strict=True)
    ]
    return f"| {' | '.join([name, *cells, f'{np.mean(seconds):.0f} s' if seconds else '-'])} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--queries")
    parser.add_argument("--objectives", nargs="*", default=["default", "supcon"])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--metric", choices=METRICS, default="euclidean")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    gallery = open_dataset(args.dataset, "train")
    queries = open_dataset(args.queries) if args.queries else gallery.test_images()
    sizes = f"{len(gallery):,} images, {len(queries):,} queries, {len(args.seeds)} seeds"
    print(f"| {Path(args.dataset).name}, {sizes} | {' | '.join(SCORES)} | training |")
    print("|---" * (len(SCORES) + 2) + "|")
    for objective in args.objectives:
        scores, seconds = [], []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                encoder, took = train(Path(folder), args.dataset, objective, args.dim, seed)
            codes = encode_all(encoder, gallery)
            engine = build_engine(codes, "exact", args.metric)
            if scores or objective != args.objectives[0]:
                scores.append(measure(codes, encoder, gallery, queries, args.metric))
            else:
                own, *others = evaluate_index(
                    codes, encoder, gallery, engine, queries=queries
                ).items()
                for name, row in others:
                    print(table_row(name, [row]), flush=True)
                scores.append(own[1])
            seconds.append(took)
        print(table_row(f"{objective}, {args.dim}-d", scores, seconds), flush=True)


if __name__ == "__main__":
    main()
