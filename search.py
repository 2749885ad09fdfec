"""Find the images most like a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from pyimagesearch.cli import command, info, positive_int
from pyimagesearch.datasets import open_dataset
from pyimagesearch.encoders import Encoder
from pyimagesearch.engines import ExactEngine
from pyimagesearch.files import sha256_of
from pyimagesearch.images import read_picture
from pyimagesearch.indexes import METRICS, load_index
from pyimagesearch.metrics import KS, evaluate, pca_codes
from pyimagesearch.visuals import (
    has_display,
    montage,
    show_windows,
    tile,
    tile_side,
    with_caption,
    write_image,
)

SHOWN = 225  # tiles in a montage, as many as fit a screen


@dataclass
class Query:
    """A picture to search for; `row` is its own row in the index, to be left out of its results."""

    id: object
    picture: np.ndarray
    label: int | None = None
    row: int | None = None


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Find the images most like a query, by the distance of their codes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    what = parser.add_argument_group("what to search")
    what.add_argument("-i", "--index", required=True, help="index made by index_images.py")
    what.add_argument(
        "-m", "--model", help="the index's model: needed when the index carries no encoder, else checked"
    )
    what.add_argument("--dataset", help="where the indexed images are now, if not where they were")
    what.add_argument("-q", "--query", nargs="+", metavar="FILE", help="image files to search for")
    what.add_argument(
        "-s", "--sample", type=positive_int, default=10, help="random test images, without --query"
    )
    what.add_argument("--seed", type=int, help="same seed, same random test images")
    what.add_argument(
        "--invert", action="store_true", help="swap dark and light in query files (MNIST is light on dark)"
    )

    how = parser.add_argument_group("how")
    how.add_argument("-k", "--max-results", type=positive_int, default=225, help="results a query")
    how.add_argument("--metric", choices=METRICS, help="distance to rank by (default: the index's)")
    how.add_argument(
        "--evaluate", action="store_true", help="measure retrieval over all test images instead"
    )

    show = parser.add_argument_group("what to show")
    show.add_argument("--output", metavar="DIR", help="write pictures here instead of opening windows")
    show.add_argument("--json", action="store_true", help="print results as JSON, one query a line")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    info(f"loading {args.index}...")
    index = load_index(args.index)
    encoder = choose_encoder(index, args.model)
    location = index.dataset or {"name": "mnist", "split": "train"}
    if args.dataset:
        location = {**location, "name": args.dataset}
    gallery = open_dataset(**location)
    labels = gallery.labels if index.labels is None and index.dataset is None else index.labels
    engine = ExactEngine(index.features, args.metric or index.metric)

    if args.evaluate:
        test_images = open_dataset(gallery.name, "test")
        return print_evaluation(index, labels, encoder, gallery, test_images, engine.metric, args.json)

    if args.query:
        queries = file_queries(args.query, args.invert)
    else:
        queries = sample_queries(gallery, args.sample, args.seed)
    images = np.stack([encoder.spec.prepare(query.picture) for query in queries])
    # One more than asked for, in case the query itself is among them.
    distances, rows = engine.search(encoder.encode(images), args.max_results + 1)

    output = args.output
    if not output and not args.json and not has_display():
        output = "output"
        info(f"no display: writing pictures to {output}/")
    for number, query in enumerate(queries):
        keep = np.flatnonzero(rows[number] != query.row)[: args.max_results]
        found = rows[number, keep], distances[number, keep]
        print(describe_json(query, index, labels, *found) if args.json else describe(query, labels, *found))
        if output or not args.json:
            pictures = draw(query, gallery, labels, *found)
            if output:
                for title, picture in pictures.items():
                    write_image(f"{output}/{title.lower()}_{number}.png", picture)
            elif not show_windows(pictures):
                break


def choose_encoder(index, model):
    """Return the index's own encoder, checked against `model` if given, or else the model's."""
    if index.encoder is None:
        if model is None:
            raise ValueError("this index carries no encoder: name the model that made it with --model")
        encoder = Encoder.from_keras(model)
        if encoder.dim != index.features.shape[1]:
            raise ValueError(
                f"{model} gives codes of {encoder.dim} numbers, the index has {index.features.shape[1]}: "
                "it was made with another model"
            )
        return encoder
    if model is not None and (received := sha256_of(model)) != index.encoder.model_sha256:
        raise ValueError(
            f"the index was made with {index.encoder.model} (SHA-256 {index.encoder.model_sha256}), "
            f"not with {model} (SHA-256 {received}): leave --model out, or index again with it"
        )
    return index.encoder


def file_queries(paths, invert):
    """Read image files as queries."""
    pictures = [read_picture(path) for path in paths]
    return [
        Query(path, 255 - picture if invert else picture)
        for path, picture in zip(paths, pictures, strict=True)
    ]


def sample_queries(gallery, count, seed):
    """Draw random test images, without replacement."""
    test_images = open_dataset(gallery.name, "test")
    indexed = len(gallery) if gallery.split == "test" else 0
    rows = np.random.default_rng(seed).permutation(len(test_images))[:count].tolist()
    labels = test_images.labels
    return [
        Query(
            row,
            test_images.picture(row),
            label=None if labels is None else int(labels[row]),
            row=row if row < indexed else None,
        )
        for row in rows
    ]


def describe(query, labels, rows, distances):
    """Return the line that the terminal shows for a query."""
    text = f"query {query.id}"
    if query.label is not None:
        text += f" (label {query.label})"
    text += ": distances " + " ".join(f"{distance:.3f}" for distance in distances[:5])
    if len(distances) > 5:
        text += f" ... {distances[-1]:.3f}"
    if query.label is not None and labels is not None:
        text += f", precision@{len(rows)} {np.mean(labels[rows] == query.label):.3f}"
    return text


def describe_json(query, index, labels, rows, distances):
    """Return a query's results as one JSON object."""
    results = [
        {
            "id": index.ids[row],
            "distance": float(distance),
            "label": None if labels is None else int(labels[row]),
        }
        for row, distance in zip(rows, distances, strict=True)
    ]
    return json.dumps({"query": query.id, "label": query.label, "results": results})


def draw(query, gallery, labels, rows, distances):
    """Return the pictures of the windows "Query" and "Results" by their titles."""
    shown = rows[:SHOWN]
    judged = query.label is not None and labels is not None
    wrong = labels[rows] != query.label if judged else np.zeros(len(rows), bool)
    pictures = [gallery.picture(row) for row in shown]
    side = tile_side(pictures[0])
    tiles = [tile(*each) for each in zip(pictures, [side] * len(shown), wrong, strict=False)]

    caption = f"{len(rows)} results, distance {distances[0]:.3f} to {distances[-1]:.3f}"
    if len(rows) > len(shown):
        caption += f" (first {len(shown)} shown)"
    if judged:
        caption += f", {np.count_nonzero(~wrong)} of {len(rows)} are {query.label}"
    title = f"query {query.id}" + (f": {query.label}" if query.label is not None else "")
    columns = math.ceil(math.sqrt(len(shown)))
    return {
        "Query": with_caption(tile(query.picture, max(140, side)), [title]),
        "Results": with_caption(montage(tiles, columns), [caption]),
    }


def print_evaluation(index, labels, encoder, gallery, test_images, metric, as_json):
    """Measure the index's codes beside two baselines: raw pixels, and PCA of the same dimension."""
    if labels is None or test_images.labels is None:
        raise ValueError(f"{gallery.name} has no labels, so retrieval cannot be measured")
    info(f"encoding {len(test_images):,} queries...")
    pixels = [
        dataset.read(np.arange(len(dataset)), encoder.spec).reshape(len(dataset), -1)
        for dataset in (gallery, test_images)
    ]
    dim = index.features.shape[1]
    codes = {
        f"code, {dim}-d": (index.features, encoder.encode_dataset(test_images)),
        f"raw pixels, {pixels[0].shape[1]}-d": pixels,
        f"PCA, {dim}-d": pca_codes(*pixels, dim),
    }
    scores = {}
    with tqdm(total=len(codes) * len(test_images), unit="query", leave=False, disable=None) as bar:
        for name, (database, queries) in codes.items():
            scores[name] = evaluate(
                queries, test_images.labels, database, labels, metric, progress=bar.update
            )
    if as_json:
        return print(json.dumps(scores))
    print(f"{len(test_images):,} test queries against {len(index):,} images, {metric} distance")
    names = [*(f"P@{k}" for k in KS), *(f"R@{k}" for k in KS), "mAP"]
    print(" " * 20 + "".join(f"{name:>8}" for name in names))
    for code, row in scores.items():
        print(f"{code:20}" + "".join(f"{row[name]:8.4f}" for name in names))


if __name__ == "__main__":
    sys.exit(main())
