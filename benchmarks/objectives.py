"""Retrieval by training objective, as `search.py --evaluate` measures it, for several seeds.

Trains models with train_autoencoder.py into FOLDER, unless they exist there, and prints a table of
means and, for several seeds, standard deviations over the test images. Baselines are raw pixels,
PCA and the untrained network. The last column is the mAP of the codes as bits within the 5,000
nearest by Hamming distance, for 1,000 queries.

usage: python -m benchmarks.objectives FOLDER [--dataset mnist] [--seeds 1 2 3]
           [--objectives reconstruction neighbours supcon] [--metric cosine] [--bits 32]
"""

import argparse
from pathlib import Path

import faiss
import numpy as np

import train_autoencoder
from benchmarks.codes import encode_all
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.encoders.export import encoder_from_network, open_encoder
from pyimagesearch.evaluation.baselines import baseline_points, reduced
from pyimagesearch.evaluation.evaluate import read_rows
from pyimagesearch.evaluation.metrics import evaluate, ranking_scores
from pyimagesearch.training.plan import OBJECTIVES

SCORES = "P@1", "P@10", "P@225", "mAP"
DEPTH, QUERIES = 5_000, 1_000


def trained(folder, dataset, objective, seed):
    """Return the encoder of a model; train it if its file does not exist."""
    path = folder / f"{dataset}_{objective}_{seed}.h5"
    if not path.exists():
        flags = ["--model", path, "--vis", path.with_suffix(".png"), "--dataset", dataset]
        flags += ["--plot", path.with_suffix(".plot.png"), "--log", path.with_suffix(".csv")]
        flags += ["--schedule", "fast", "--epochs", 5, "--resume"]
        flags += ["--objective", objective, "--seed", seed]
        if train_autoencoder.main([str(flag) for flag in flags]):
            raise SystemExit(1)
    return open_encoder(str(path))


def untrained(seed):
    """Return the encoder of an untrained network."""
    from pyimagesearch.backend import keras
    from pyimagesearch.encoders.keras_network import encoder_of
    from pyimagesearch.pictures.input_spec import InputSpec
    from pyimagesearch.training.architectures import build

    spec = InputSpec(28, 28, 1)
    keras.utils.set_random_seed(seed)
    return encoder_from_network(encoder_of(build("conv", spec)), spec, "untrained", "")


def hamming_map(gallery, gallery_labels, queries, query_labels, bits):
    """Return the mAP within the DEPTH nearest by Hamming distance of ITQ codes of `bits` bits.

    ITQ (Gong and Lazebnik, 2011) is learned from the gallery, without labels. Ties are ordered by
    row. Average precision is over the relevant among the DEPTH, as usual in papers on hashing.
    """
    dim = gallery.shape[1]
    # As in the engine hash:BITS: with more bits than dimensions, a random rotation adds dimensions.
    factory = f"RR{bits},ITQ,LSH" if bits > dim else f"ITQ{bits},LSH"
    hashing = faiss.index_factory(dim, factory)
    hashing.train(gallery)
    hashing.add(gallery)
    rows = np.random.default_rng(0).permutation(len(queries))[:QUERIES]
    _, found = hashing.search(queries[rows], DEPTH)
    hits = gallery_labels[found] == query_labels[rows, np.newaxis]
    return np.mean([ranking_scores(row)[-1] if row.any() else 0.0 for row in hits])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    names = [name for name in OBJECTIVES if name != "denoising"]
    parser.add_argument("--objectives", nargs="*", default=names)
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--bits", type=int, default=32, help="of the codes as bits")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    gallery, queries = (open_dataset(args.dataset, split) for split in ("train", "test"))
    labels = gallery.labels, queries.labels

    def row(name, codes):
        results = []
        for database, sought in codes:
            scores = evaluate(sought, labels[1], database, labels[0], metric=args.metric)
            scores["bits"] = hamming_map(database, labels[0], sought, labels[1], args.bits)
            results.append([scores[score] for score in (*SCORES, "bits")])
        means, spreads = np.mean(results, axis=0), np.std(results, axis=0)
        cells = [
            f"{mean:.4f}" + (f" ± {spread:.4f}" if len(results) > 1 else "")
            for mean, spread in zip(means, spreads, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    def encoded(encoder):
        return encode_all(encoder, gallery), encode_all(encoder, queries)

    print(f"| {args.dataset}, {args.metric} | {' | '.join(SCORES)} | mAP of {args.bits} bits |")
    print("|---" * (len(SCORES) + 2) + "|")
    encoder = untrained(args.seeds[0])
    spec = reduced(encoder.spec)
    pixels, query_pixels = (
        read_rows(part, np.arange(len(part)), spec) for part in (gallery, queries)
    )
    for name, points in baseline_points(pixels, query_pixels, encoder.dim).items():
        row(name, [(points.gallery, points.queries)])
    row("untrained", [encoded(encoder)])
    for name in args.objectives:
        models = (trained(args.folder, args.dataset, name, seed) for seed in args.seeds)
        row(f"{name}, {len(args.seeds)} seeds", [encoded(encoder) for encoder in models])


if __name__ == "__main__":
    main()
