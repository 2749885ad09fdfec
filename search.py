"""Find the images most like a query in an index made by index_images.py.

usage: python search.py --index output/index.pickle --query picture.png
"""

import argparse
import json
import sys

from pyimagesearch.cli import HelpFormatter, command, info, positive_int
from pyimagesearch.datasets import open_dataset
from pyimagesearch.encoders import Encoder
from pyimagesearch.engines import ExactEngine
from pyimagesearch.files import sha256_of
from pyimagesearch.indexes import METRICS, load_index
from pyimagesearch.queries import file_queries, sample_queries, search_queries
from pyimagesearch.visuals import (
    SHOWN,
    has_display,
    query_sheet,
    results_sheet,
    show_windows,
    write_image,
)


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description="Find the images most like a query, by the distance of their codes.",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument_group("what to search").add_argument
    add("-i", "--index", required=True, help="index made by index_images.py")
    add("-m", "--model", help="the index's model: checked, or needed by an index without encoder")
    add("--dataset", help="where the indexed images are now, if they are not where they were")
    add("-q", "--query", nargs="+", metavar="FILE", help="image files to search for")
    add("-s", "--sample", type=positive_int, default=10, help="or so many random test images")
    add("--seed", type=int, help="same seed, same random test images")
    add("--invert", action="store_true", help="swap dark and light in query files")

    add = parser.add_argument_group("how to search").add_argument
    add("-k", "--max-results", type=positive_int, default=SHOWN, help="results a query")
    add("--metric", choices=METRICS, help="distance to rank by (default: the index's)")
    add("--evaluate", action="store_true", help="measure retrieval with all test images instead")

    add = parser.add_argument_group("what to show").add_argument
    add("--output", metavar="DIR", help="write pictures there instead of opening windows")
    add("--json", action="store_true", help="print results as JSON, a query a line")
    return parser.parse_args(argv)


@command
def main(argv=None):
    args = parse_args(argv)
    info(f"loading {args.index}...")
    index = load_index(args.index)
    encoder = choose_encoder(index, args.model)
    gallery = open_gallery(index, args.dataset)
    engine = ExactEngine(index.features, args.metric or index.metric)
    if args.evaluate:
        return print_evaluation(index, encoder, gallery, engine.metric, args.json)

    if args.query:
        queries = file_queries(args.query, args.invert)
    else:
        queries = sample_queries(gallery, args.sample, args.seed)
    output = args.output
    if not output and not args.json and not has_display():
        output = "output"
        info(f"no display: writing pictures to {output}/")

    if output or not args.json:
        gallery.prefetch()
    found = search_queries(queries, index, encoder, engine, args.max_results)
    for number, (query, results) in enumerate(zip(queries, found, strict=True)):
        print(to_json(query, results) if args.json else to_line(query, results), flush=True)
        if args.json and not output:
            continue
        pictures = [gallery.picture(row) for row in results.rows[:SHOWN]]
        sheets = {"Query": query_sheet(query), "Results": results_sheet(query, results, pictures)}
        if output:
            for title, sheet in sheets.items():
                write_image(f"{output}/{title.lower()}_{number}.png", sheet)
        elif not show_windows(sheets):
            break
    if output:
        info(f"wrote query_0.png and results_0.png to {number} in {output}/")


def choose_encoder(index, model):
    """Return the index's own encoder, checked against `model` if given, or else the model's."""
    if index.encoder is None:
        if model is None:
            raise ValueError(
                "this index carries no encoder: name the model that made it with --model"
            )
        encoder, dim = Encoder.from_keras(model), index.features.shape[1]
        if encoder.dim != dim:
            raise ValueError(
                f"{model} gives codes of {encoder.dim} numbers, those of the index have {dim}: "
                "name the model that made it"
            )
        return encoder
    expected = index.encoder.model_sha256
    if model is not None and (received := sha256_of(model)) != expected:
        raise ValueError(
            f"the index was made with {index.encoder.model} (SHA-256 {expected}), not with "
            f"{model} (SHA-256 {received}): leave --model out, or index again with it"
        )
    return index.encoder


def open_gallery(index, moved_to):
    """Open the dataset that was indexed; for an index that does not say, MNIST's training split."""
    location = index.dataset or {"name": "mnist", "split": "train"}
    gallery = open_dataset(**{**location, "name": moved_to or location["name"]})
    if len(gallery) != len(index):
        raise ValueError(
            f"the index holds {len(index):,} codes, but {gallery.name} ({gallery.split}) has "
            f"{len(gallery):,} images: name the images that were indexed with --dataset"
        )
    if index.dataset is None:
        index.labels = gallery.labels
    return gallery


def to_line(query, results):
    """Return the line that the terminal shows for a query."""
    text = f"query {query.id}" + ("" if query.label is None else f" (label {query.label})")
    text += ": distances " + " ".join(f"{distance:.3f}" for distance in results.distances[:5])
    if len(results.distances) > 5:
        text += f" ... {results.distances[-1]:.3f}"
    hits = results.hits(query)
    return text if hits is None else f"{text}, precision@{len(hits)} {hits.mean():.3f}"


def to_json(query, results):
    """Return a query's results as one JSON object on one line."""
    labels = [None] * len(results.ids) if results.labels is None else results.labels.tolist()
    rows = zip(results.ids, results.distances.tolist(), labels, strict=True)
    found = [{"id": id, "distance": distance, "label": label} for id, distance, label in rows]
    return json.dumps({"query": query.id, "label": query.label, "results": found})


def print_evaluation(index, encoder, gallery, metric, as_json):
    """Measure retrieval with all test images and print a table, or JSON."""
    from pyimagesearch.evaluation import evaluate_index, score_table

    test_images = open_dataset(gallery.name, "test")
    count = len(test_images)
    info(f"searching {len(index):,} images for {count:,} test images by {metric} distance...")
    scores = evaluate_index(index, encoder, gallery, test_images, metric)
    print(json.dumps(scores) if as_json else score_table(scores))


if __name__ == "__main__":
    sys.exit(main())
